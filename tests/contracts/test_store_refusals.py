"""What PostgreSQL refuses: faults of what is asked pass by themselves, what the server lacks is waited for."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import string
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiokafka import ConsumerRecord
from sqlalchemy.exc import DBAPIError

from headrace.engine.broker.streams.logs import LogKeeper
from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.logs import LogChunk
from headrace.engine.ports.requests import Asked
from headrace.engine.ports.store import StoreUnavailable, VersionRow
from headrace.engine.shell.clock import SystemClock
from headrace.engine.shell.intake import Intake
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.plans import Plans
from headrace.engine.store import check, open_store, ownership, upgrade
from headrace.engine.store.postgres import PostgresStore
from headrace.engine.store.postgres_link import Address
from headrace.runners import authored
from tests.contracts.conftest import Database
from tests.support.flows import flow, py


@pytest.fixture
async def store(postgres_database: Database) -> PostgresStore:
    store = await postgres_database.open()
    assert isinstance(store, PostgresStore)
    return store


@pytest.fixture
async def other(postgres_database: Database) -> AsyncIterator[Any]:
    """A connection of someone else's."""
    connection = await asyncpg.connect(postgres_database.url)
    yield connection
    await connection.close()


async def terminate(connection: Any) -> None:
    """End Headrace's connections, so that the next ones are made as the database says now."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name LIKE 'headrace%' AND datname = current_database()"
    )


def test_an_address_that_cannot_be_read_is_one_clear_message() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read: its port is no number") as refused:
        Address("postgresql://u:p@h:secret/x")
    assert "secret" not in str(refused.value)


async def test_a_fault_of_what_is_asked_is_told_as_such_and_not_waited_for(store: PostgresStore) -> None:
    chunk = LogChunk("a\0b", "t", 1, 0, 1, 0, 0.0, b"")
    patient = PatientStore(store)
    for asked in (patient.run(2**70), patient.version("a\0b", "w"), store.write_logs([chunk])):
        with pytest.raises(DBAPIError):
            await asyncio.wait_for(asked, 10)


async def test_what_somebody_puts_right_from_outside_is_waited_for(store: PostgresStore, other: Any) -> None:
    await other.execute("ALTER TABLE log_chunks RENAME TO elsewhere")
    with pytest.raises(StoreUnavailable, match="lacks tables"):
        await store.log_ends("r")
    await other.execute("ALTER TABLE elsewhere RENAME TO log_chunks")
    assert await store.log_ends("r") == {}
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await terminate(other)
    with pytest.raises(StoreUnavailable, match="read-only"):
        await store.write_logs([LogChunk("r", "t", 1, 0, 1, 0, 0.0, b"")])


REFUSE = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'not this one' USING ERRCODE = '22023'; END $$"""


async def test_a_fault_of_the_engine_s_own_connection_is_told_as_such(
    store: PostgresStore, other: Any
) -> None:
    await other.execute(REFUSE)
    await other.execute("CREATE TRIGGER refuse BEFORE INSERT ON engines EXECUTE FUNCTION refuse()")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="not this one"):
        await store.join("e")
    await other.execute("DROP TRIGGER refuse ON engines")
    await other.execute("CREATE TRIGGER refuse BEFORE UPDATE ON parts EXECUTE FUNCTION refuse()")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="not this one"):
        await store.claim(0, "e")
    await other.execute("DROP TRIGGER refuse ON parts")
    assert (await store.claim(0, "e")).epoch == 1


async def test_a_fault_in_one_step_of_the_upkeep_is_told_and_hinders_no_other(
    store: PostgresStore, other: Any, postgres_database: Database
) -> None:
    await store.tend()
    weeks = "SELECT max(relname) FROM pg_class WHERE relkind = 'r' AND relname LIKE $1 || '\\_20%'"
    newest = {table: await other.fetchval(weeks, table) for table in ("history", "log_chunks")}
    for name in newest.values():
        await other.execute(f"DROP TABLE {name}")
    await other.execute(
        """CREATE FUNCTION refuse_history() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%history\\_20%') THEN
                RAISE EXCEPTION 'not this one' USING ERRCODE = '22023';
            END IF; END $$"""
    )
    await other.execute("CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION refuse_history()")
    for upkeep in (store.tend, lambda: upgrade(postgres_database.url)):
        with pytest.raises(DBAPIError, match="not this one"):
            await upkeep()
        assert await other.fetchval(weeks, "log_chunks") == newest["log_chunks"]
        assert await other.fetchval(weeks, "history") < newest["history"]
        await other.execute(f"DROP TABLE {newest['log_chunks']}")


async def test_tables_of_somebody_else_s_are_one_clear_message(
    store: PostgresStore, other: Any, postgres_database: Database
) -> None:
    await other.execute("ALTER TABLE headrace_schema RENAME version_num TO version")
    for opening in (open_store, check, upgrade):
        with pytest.raises(StoreUnavailable, match="somebody else's"):
            await opening(postgres_database.url)


async def test_log_lines_that_the_store_refuses_cost_no_others(store: PostgresStore) -> None:
    """A name too long for its index: the server says so every time."""
    odd = "".join(random.Random(1).choices(string.ascii_letters, k=4000))
    named = {"v": 1, "type": "LogLines", "task": "t", "generation": 1, "map": 0, "attempt": 1}
    bodies = [
        json.dumps({**named, "run_id": run, "seq": 0, "at": 1.0, "lines": [[1.0, "stdout", "x"]]}).encode()
        for run in ("a", odd, "b")
    ]
    records = [
        ConsumerRecord("job-logs", 0, n, 1, 0, None, body, None, 0, len(body), ())
        for n, body in enumerate(bodies)
    ]
    await asyncio.wait_for(LogKeeper(store, lambda: 1.0).take(records), 20)
    assert len(await store.log_ends("a")) == len(await store.log_ends("b")) == 1
    [letter] = await store.poison(10)
    assert (letter.topic, letter.offset) == ("job-logs", 1)
    assert "index row" in letter.reason


async def test_a_request_that_the_store_refuses_is_a_dead_letter_and_its_neighbours_become_runs(
    store: PostgresStore, other: Any
) -> None:
    plan = flow(py("a"))
    document = canonical_json(to_document(plan.workflow))
    await store.register(VersionRow("default", plan.workflow.name, 0, plan.hash, document, None, (), 0.0))
    await other.execute(REFUSE)
    await other.execute(
        """CREATE TRIGGER refuse BEFORE INSERT ON runs FOR EACH ROW
            WHEN (NEW.idempotency LIKE '%odd') EXECUTE FUNCTION refuse()"""
    )
    asked = [
        Asked("job-requests", 0, n, n, json.dumps({"workflow": "w", "idempotency": key}).encode())
        for n, key in enumerate(("x", "odd", "y"))
    ]
    check = authored.checker(CelEvaluator())
    intake = Intake(store, Plans(store), check, lambda part: None, SystemClock(), project="default")
    await asyncio.wait_for(intake.take(asked), 20)
    [letter] = await store.poison(10)
    assert letter.offset == 1
    assert "not this one" in letter.reason
    assert len(await store.list_runs("default")) == 2


async def test_what_a_lost_connection_left_must_be_gone_before_another_goes_on(
    store: PostgresStore, other: Any, postgres_database: Database
) -> None:
    """Its server process hangs here, as it does in a write to a disk that does not answer."""
    name = "headrace engine e"
    left = await asyncpg.connect(postgres_database.url, server_settings={"application_name": name})
    pid = left.get_server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        told = await asyncio.gather(
            ownership.enter(other, "e", pid),
            store._write(ownership.end_backend, pid, "e"),
            return_exceptions=True,
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [type(each) for each in told] == [StoreUnavailable, StoreUnavailable]
    left.terminate()
    while await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
        pass
    assert await ownership.enter(other, "e", pid)
    await store._write(ownership.end_backend, pid, "e")
