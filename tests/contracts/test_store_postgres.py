"""What PostgreSQL's adapter survives: lost connections, deadlocks, other engines, dead engines."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.util import await_only

from headrace.engine.core.states import RunState
from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable
from headrace.engine.store import check, open_store, upgrade
from headrace.engine.store.checksums import checksum
from headrace.engine.store.postgres import PostgresStore
from headrace.engine.store.writes import INBOX_LOCK
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act, batch, command, history, new_run, run_update, task_row
from tests.support.postgres import Postgres


@pytest.fixture
async def store(postgres_database: Database) -> PostgresStore:
    return await opened(postgres_database)


@pytest.fixture
async def owned(store: PostgresStore) -> Ownership:
    return await store.claim(0, "engine-1")


@pytest.fixture
async def other(postgres_database: Database) -> AsyncIterator[Any]:
    """A connection of someone else's."""
    connection = await asyncpg.connect(postgres_database.url)
    yield connection
    await connection.close()


async def opened(database: Database) -> PostgresStore:
    store = await database.open()
    assert isinstance(store, PostgresStore)
    return store


async def waiting_for_lock(connection: Any, count: int = 1) -> None:
    """Returns when that many connections of the engine's wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'headrace%' "
        "AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    while await connection.fetchval(query) < count:
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees one answer


async def terminate(connection: Any, who: str = "headrace%") -> None:
    """End server processes, as a restart or a failover would, and wait until they are gone."""
    where = "application_name LIKE $1 AND datname = current_database()"
    await connection.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {where}", who
    )


async def test_a_connection_that_dies_before_the_commit_is_settled_as_not_written(
    store: PostgresStore, owned: Ownership, other: Any
) -> None:
    run = await store.create_run(new_run())
    lost = batch(owned.epoch, 1, tasks=[task_row(run.no)], history=[history(run.no, 1)])
    async with other.transaction():
        await other.execute("SELECT 1 FROM parts WHERE part = 0 FOR UPDATE")
        committing = asyncio.create_task(store.commit([lost]))
        await waiting_for_lock(other)
        await terminate(other, "headrace engine%")
        with pytest.raises(OutcomeUnknown):
            await committing
    assert not await store.settle([lost])
    assert await store.task_rows(run.no) == []
    assert await store.commit([lost]) == []
    assert await store.settle([lost])


async def test_an_answer_that_is_lost_after_the_commit_is_settled_as_written(
    postgres_database: Database,
) -> None:
    """Between the store and the server stands a wire that lets the statement through and cuts the answer off."""
    async with Wire.to(postgres_database.url) as wire:
        store = await PostgresStore.open(wire.url)
        try:
            owned = await store.claim(0, "engine-1")
            run = await store.create_run(new_run())
            await store.commit([batch(owned.epoch, 1, history=[history(run.no, 1)])])
            wire.cut_answers()
            sent = batch(owned.epoch, 2, history=[history(run.no, 2)])
            with pytest.raises(OutcomeUnknown):
                await store.commit([sent])
            wire.mend()
            assert await store.settle([sent])
            assert [row.seq for row in await store.history(run.no)] == [1, 2]
            third = batch(owned.epoch, 3, history=[history(run.no, 3)])
            assert await store.commit([third]) == []
        finally:
            await store.close()


class Wire:
    """A TCP relay that can cut answers off: what clients send still arrives, what the server says does not."""

    def __init__(self, host: str, port: int, url: str) -> None:
        self._target = (host, port)
        self.url = url
        self._cut = False
        self._fatal: bytes | None = None
        self._relays: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Wire]:
        before, _, after = url.partition("@")
        address, _, name = after.partition("/")
        host, _, port = address.partition(":")
        wire = cls(host, int(port), "")
        server = await asyncio.start_server(wire._relay, "127.0.0.1", 0)
        wire.url = f"{before}@127.0.0.1:{server.sockets[0].getsockname()[1]}/{name}"
        try:
            yield wire
        finally:
            server.close()
            for relay in wire._relays:
                relay.cancel()
            await asyncio.gather(*wire._relays, return_exceptions=True)
            await server.wait_closed()

    def cut_answers(self) -> None:
        self._cut = True

    def cut_answers_to(self, word: bytes) -> None:
        """From the moment that a client says the word."""
        self._fatal = word

    def mend(self) -> None:
        self._cut, self._fatal = False, None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        try:
            up = asyncio.create_task(self._pump(reader, up_writer))
            down = asyncio.create_task(self._answers(up_reader, writer))
            _, pending = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            for rest in pending:
                rest.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        finally:
            for end in (writer, up_writer):
                end.close()
            self._relays.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self._cut = self._cut or (self._fatal is not None and self._fatal in data)
            writer.write(data)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._cut:
                return
            writer.write(data)


async def test_a_deadlock_is_tried_again(store: PostgresStore, owned: Ownership, other: Any) -> None:
    run = await store.create_run(new_run())
    await other.execute("SET deadlock_timeout = '60s'")  # so the store's statement is the victim
    change = batch(owned.epoch, 1, runs=[run_update(run.no, started_at=1.0)], history=[history(run.no, 1)])
    async with other.transaction():
        await other.execute("UPDATE runs SET reason = 'theirs' WHERE no = $1", run.no)
        committing = asyncio.create_task(store.commit([change]))
        await waiting_for_lock(other)  # it holds the part and waits for the run
        await other.execute("SELECT 1 FROM parts WHERE part = 0 FOR UPDATE")
    assert await committing == []
    deadlocks = "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()"
    while (await other.fetchrow(deadlocks))["deadlocks"] < 1:
        pass
    assert len(await store.history(run.no)) == 1
    stored = await store.run(run.no)
    assert stored is not None
    assert (stored.started_at, stored.reason) == (1.0, None)


async def test_reads_and_keyed_writes_go_on_after_a_restart_of_the_server(
    store: PostgresStore, other: Any
) -> None:
    wanted = new_run(idempotency="once")
    created = await store.create_run(wanted)
    await terminate(other)
    assert (await store.run(created.no)) is not None
    await terminate(other)
    assert (await store.create_run(wanted)).no == created.no
    assert len(await store.inbox(0, 0, 10)) == 1


async def test_an_engine_that_dies_is_seen_dead_and_its_part_is_claimed(
    postgres_database: Database, store: PostgresStore, owned: Ownership, other: Any
) -> None:
    second = await opened(postgres_database)
    assert await second.has_owner(0)
    await terminate(other, "headrace engine engine-1")
    assert not await second.has_owner(0)
    assert (await second.claim(0, "engine-2")).epoch == owned.epoch + 1
    assert await store.commit([batch(owned.epoch, 1)]) == [0]


async def test_an_engine_whose_lease_is_over_is_dead_although_connected(
    store: PostgresStore, owned: Ownership, other: Any
) -> None:
    assert await store.has_owner(0)
    await other.execute("UPDATE engines SET lease_until = extract(epoch FROM now()) - 1")
    assert not await store.has_owner(0)


async def test_who_joins_again_is_alive_at_once(store: PostgresStore, owned: Ownership, other: Any) -> None:
    """A process that was stopped does not wait for its next renewal, nor look for it all the time."""
    await other.execute("UPDATE engines SET lease_until = 0")
    await store.join("engine-1")
    assert await store.has_owner(0)
    assert (await store.survey()).parts[0].owner == "engine-1"


async def test_a_commit_that_the_server_gives_up_can_be_tried_again(
    store: PostgresStore, owned: Ownership, other: Any
) -> None:
    """An operator, or a time limit of his, cancels the statement: that is no fault of the batch."""
    sent = batch(owned.epoch, 1)
    async with other.transaction():
        await other.execute("SELECT 1 FROM parts WHERE part = 0 FOR UPDATE")
        committing = asyncio.create_task(store.commit([sent]))
        await waiting_for_lock(other)
        await other.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'headrace engine%' AND datname = current_database()"
        )
        with pytest.raises(StoreUnavailable, match="cancel"):
            await committing
    assert await store.commit([sent]) == []


async def test_text_that_the_server_cannot_keep_does_not_hold_back_the_batch(
    store: PostgresStore, owned: Ownership
) -> None:
    """Else one message of a stranger would end every engine that reads it."""
    run = await store.create_run(new_run())
    strange = task_row(run.no)._replace(reason='a\0"\\b', worker="w\0")
    poison = PoisonRow("job-status", 0, 7, -1, 1.0, "Invalid value 'Rep\0orts'", b"\0")
    assert await store.commit([batch(owned.epoch, 1, tasks=[strange], poison=[poison])]) == []
    [row] = await store.task_rows(run.no)
    assert (row.reason, row.worker) == ('a\ufffd"\\b', "w\ufffd")
    [kept] = await store.poison()
    assert (kept.reason, kept.body) == ("Invalid value 'Rep\ufffdorts'", b"\0")


async def test_the_old_owner_is_ended_when_it_holds_the_part(
    postgres_database: Database, store: PostgresStore, owned: Ownership, other: Any
) -> None:
    """An engine sits in its statement, holding the part's row, while another one claims it."""
    run = await store.create_run(new_run())
    stuck = batch(owned.epoch, 1, runs=[run_update(run.no, RunState.SUCCEEDED)])
    second = await opened(postgres_database)
    async with other.transaction():
        await other.execute("SELECT 1 FROM runs WHERE no = $1 FOR UPDATE", run.no)
        committing = asyncio.create_task(store.commit([stuck]))
        await waiting_for_lock(other)
        assert (await second.claim(0, "engine-2")).epoch == owned.epoch + 1
    with pytest.raises(OutcomeUnknown):
        await committing
    assert not await store.settle([stuck])
    assert await store.live_runs(0) == [run.no]


async def test_of_two_claims_at_once_one_wins(
    postgres_database: Database, store: PostgresStore, owned: Ownership, other: Any
) -> None:
    await store.close()
    stores = [await opened(postgres_database) for _ in range(2)]
    async with other.transaction():
        await other.execute("SELECT 1 FROM parts WHERE part = 0 FOR UPDATE")
        claims = [asyncio.create_task(s.claim(0, f"engine-{i}")) for i, s in enumerate(stores, 2)]
        await waiting_for_lock(other, 2)  # both have seen the same epoch
    results = await asyncio.gather(*claims, return_exceptions=True)
    [winner] = [result for result in results if isinstance(result, Ownership)]
    [loser] = [result for result in results if not isinstance(result, Ownership)]
    assert winner.epoch == owned.epoch + 1
    assert isinstance(loser, StoreUnavailable)
    assert "just claimed part 0" in str(loser)


async def test_an_engine_id_is_used_once(postgres_database: Database, owned: Ownership) -> None:
    twin = await opened(postgres_database)
    with pytest.raises(StoreUnavailable, match="Another process is engine engine-1"):
        await twin.claim(1, "engine-1")


async def test_hot_updates_stay_in_their_page(store: PostgresStore, owned: Ownership, other: Any) -> None:
    """No index covers what changes, so PostgreSQL updates rows of task_runs in place.

    All versions find room in one page: whether it could prune some of them is no question of ours.
    """
    run = await store.create_run(new_run())
    for seq in range(1, 6):
        rows = [task_row(run.no, i, output=b"%d" % seq, started_at=float(seq)) for i in range(6)]
        assert await store.commit([batch(owned.epoch, seq, tasks=rows)]) == []
    await store.close()  # its statistics are flushed with its connection
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'task_runs'"
    while (found := await other.fetchrow(query))["n_tup_upd"] < 24:
        pass
    assert found["n_tup_hot_upd"] == found["n_tup_upd"]
    assert await other.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'task_runs'") == 1


async def test_one_commit_is_one_statement(store: PostgresStore, owned: Ownership, other: Any) -> None:
    run = await store.create_run(new_run())
    before = await commits(other)
    for seq in range(1, 11):
        await store.commit(
            [batch(owned.epoch, seq, tasks=[task_row(run.no)], history=[history(run.no, seq)])]
        )
    assert await commits(other) - before <= 10


async def commits(connection: Any) -> int:
    """Transactions of this database that got a number: those that wrote."""
    return int(
        await connection.fetchval(
            "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
        )
    )


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=r"cannot be reached\. Check") as caught:
            await open_store(f"postgresql://ann:secret@127.0.0.1:{port}/headrace")
    assert "secret" not in str(caught.value)


async def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    with pytest.raises(StoreUnavailable, match=r"does not exist\. Create it"):
        await open_store(postgres.url("nowhere"))


async def test_a_database_without_tables_says_how_to_get_them(postgres: Postgres) -> None:
    url = await postgres.create("bare")
    try:
        for use in (open_store, check):
            with pytest.raises(StoreUnavailable, match="headrace db upgrade"):
                await use(url)
        assert await upgrade(url) == await check(url)
        await (await open_store(url)).close()
    finally:
        await postgres.drop("bare")


async def test_a_command_that_may_be_written_is_not_sent_twice(postgres_database: Database) -> None:
    async with Wire.to(postgres_database.url) as wire:
        store = await PostgresStore.open(wire.url)
        try:
            wire.cut_answers_to(b"COMMIT;")
            with pytest.raises(OutcomeUnknown):
                await store.post(command())
            wire.mend()
            assert len(await store.inbox(0, 0, 10)) == 1
        finally:
            wire.mend()
            await store.close()


async def test_a_command_whose_connection_ends_before_its_commit_is_sent_again(
    store: PostgresStore, other: Any
) -> None:
    await store.post(command())
    await terminate(other)  # what the pool has is dead now
    await store.post(command("kill"), act=act("run.kill"))
    assert [row.kind for row in await store.inbox(0, 0, 10)] == ["cancel", "kill"]
    assert len(await store.audit(PROJECT)) == 1


async def test_a_command_that_commits_after_a_later_one_is_not_passed_over(
    store: PostgresStore, owned: Ownership, other: Any, postgres_database: Database
) -> None:
    outside = await opened(postgres_database)
    await outside.post(command("pause"))
    late = other.transaction()

    async def two_more() -> None:
        """One draws its id and stays open; another draws the next and commits."""
        await late.start()
        await other.execute("SELECT pg_advisory_xact_lock_shared($1::int, 0)", INBOX_LOCK)
        await other.execute(
            "INSERT INTO inbox (part, kind, body, body_crc, at) VALUES (0, 'resume', $1, $2, 1)",
            b"{}",
            checksum(b"{}"),
        )
        await outside.post(command("cancel"))

    def waited(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "pg_advisory_unlock" in statement:
            await_only(two_more())

    listening = (store._pool.sync_engine, "after_cursor_execute", waited)
    event.listen(*listening)
    first = await store.inbox(0, 0, 10)
    event.remove(*listening)
    await late.commit()
    rest = await store.inbox(0, first[-1].id, 10)
    assert [row.kind for row in (*first, *rest)] == ["pause", "resume", "cancel"]
