"""faults 41 and 42: migrations that are cut off anywhere, begun twice, and run beside engines that write."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import check, open_store, schema, upgrade
from headrace.engine.store.checksums import checksum
from headrace.engine.store.lane import Lane
from tests.contracts.samples import batch, history, new_run
from tests.support.postgres import Postgres

OLD = "headrace_0001"
SHARES = 4
RUN = "INSERT INTO runs ({}) VALUES ({})"


async def at_first_schema(server: Postgres, name: str) -> str:
    """A database of the first release."""
    url = await server.create(name)
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))

    def bring_up(connection: Connection) -> None:
        command.upgrade(schema.configuration(connection), "0001")
        connection.commit()

    async with engine.connect() as connection:
        await connection.run_sync(bring_up)
    await engine.dispose()
    return url


@pytest.fixture
async def url(postgres: Postgres) -> AsyncIterator[str]:
    """A database of the first release that was in use: runs, history, a dead letter, parts made at need."""
    name = f"old_{uuid.uuid4().hex}"
    url = await at_first_schema(postgres, name)
    connection = await asyncpg.connect(url)
    await fill(lambda text, *values: connection.execute(text, *values), "$")
    await connection.close()
    yield url
    await postgres.drop(name)


async def fill(execute: Callable[..., Any], mark: str) -> None:
    run = {
        "id": "01a-old",
        "project": "default",
        "workflow": "etl",
        "version": 1,
        "plan": "p",
        "part": 2,
        "state": 1,
        "generation": 1,
        "paused": False,
        "params": b"{}",
        "trigger": b"{}",
        "given_crc": checksum(b"{}", b"{}"),
        "depth": 0,
        "priority": "normal",
        "tags": "[]",
        "created_at": 100.0,
        "scheduled_at": 100.0,
    }
    marks = [f"{mark}{number}" if mark == "$" else mark for number in range(1, len(run) + 1)]
    await execute(RUN.format(", ".join(run), ", ".join(marks)), *run.values())
    for seq in range(1, 51):
        await execute(
            "INSERT INTO history (run, seq, at, body, body_crc) "
            f"VALUES (1, {seq}, {100.0 + seq}, {blob(mark, b'old')}, {checksum(b'old')})"
        )
    error = blob(mark, json.dumps({"kind": "E", "message": "m"}).encode())
    await execute(
        "INSERT INTO dead_letters (run, generation, task, map, attempt, project, at, error) "
        f"VALUES (1, 1, 0, 0, 1, 'default', 5.0, {error})"
    )
    await execute("INSERT INTO parts (part, epoch, next_offset, seq) VALUES (2, 7, 40, 50)")


def blob(mark: str, value: bytes) -> str:
    return f"'\\x{value.hex()}'::bytea" if mark == "$" else f"x'{value.hex()}'"


async def what_was_there(url: str) -> None:
    """What a database of the first release held is found by this one."""
    store = await open_store(url)
    try:
        run = await store.run(1)
        assert run is not None
        assert (run.id, run.part) == ("01a-old", 2)
        [letter] = await store.dead_letters("default")
        assert (letter.run_id, letter.workflow, letter.state, letter.at) == ("01a-old", "etl", "open", 5.0)
        owned = await store.claim(2, "engine-1")
        assert (owned.epoch, owned.next_offset, owned.seq) == (8, 40, 50)
        assert [seen.epoch for seen in (await store.survey()).parts][:3] == [0, 0, 8]
    finally:
        await store.close()


async def test_a_database_of_the_first_release_is_brought_up(url: str) -> None:
    assert await upgrade(url, 8) == schema.HEAD
    store = await open_store(url)
    assert await store.parts() == 8
    await store.close()
    await what_was_there(url)
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM history") == 50
        assert await connection.fetchval("SELECT count(*) FROM history_before") == 50
    finally:
        await connection.close()


async def test_a_file_of_the_first_release_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "headrace.db"
    lane = Lane(str(path))
    with lane.transaction("BEGIN IMMEDIATE"):
        lane.sql.begin()
        command.upgrade(schema.configuration(lane.sql), "0001")
    lane.close()
    with sqlite3.connect(path) as connection:

        async def execute(text: str, *values: object) -> None:
            connection.execute(text, values)

        await fill(execute, "?")
    connection.close()
    await what_was_there(f"sqlite:///{path}")


async def test_a_part_above_all_others_is_kept(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE runs SET part = 30")
    await connection.close()
    await upgrade(url)
    store = await open_store(url)
    assert await store.parts() == 31
    await store.close()


async def test_the_number_of_parts_is_not_changed(postgres: Postgres, tmp_path: Path) -> None:
    name = f"parts_{uuid.uuid4().hex}"
    url = await postgres.create(name)
    try:
        await upgrade(url, 3)
        await upgrade(url)
        await upgrade(url, 3)
        with pytest.raises(StoreUnavailable, match=r"made with 3 parts, and that number is fixed"):
            await upgrade(url, 16)
    finally:
        await postgres.drop(name)
    with pytest.raises(StoreUnavailable, match="SQLite file has one part"):
        await upgrade(f"sqlite:///{tmp_path / 'x.db'}", 4)


class PowerCut(BaseException):
    """Nobody catches it."""


@contextmanager
def cut_at(number: int) -> Iterator[list[str]]:
    """The process ends just before its statement of that number. Gives the statements that were reached."""
    seen: list[str] = []

    def before(_: Any, __: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)
        if len(seen) == number:
            raise PowerCut(statement)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("first", range(1, SHARES + 1))
async def test_a_migration_that_was_cut_off_anywhere_is_begun_again(
    postgres: Postgres, url: str, first: int
) -> None:
    """Every statement once, shared among the cases: before it the process ends, and the next upgrade finds its way from what
    is there."""
    template = url.rpartition("/")[2]
    cuts = 0
    for number in itertools.count(first, SHARES):
        name = f"cut_{uuid.uuid4().hex}"
        copy = await postgres.create(name, template)
        try:
            with cut_at(number) as seen:
                try:
                    await upgrade(copy)
                except (PowerCut, StoreUnavailable):
                    cuts += 1
            if len(seen) < number:
                break
            await upgrade(copy)
            assert await check(copy) == schema.HEAD
            await what_was_there(copy)
        finally:
            await postgres.drop(name)
    assert cuts > 50 // SHARES


async def test_engines_write_while_their_database_is_migrated(url: str) -> None:
    """An engine of the first release, whose statements are prepared, goes on through all of it; so does a reader."""
    engine, reader = await asyncpg.connect(url), await asyncpg.connect(url)
    insert = await engine.prepare(
        "WITH given AS (SELECT * FROM unnest($1::bigint[], $2::float8[]) AS given (seq, at)) "
        "INSERT INTO history (run, seq, at, body) SELECT 1, seq, at, ''::bytea FROM given"
    )
    done, written = asyncio.Event(), 50

    async def writing() -> None:
        nonlocal written
        while not done.is_set() or written < 500:
            await insert.fetch([written + 1], [1_000_000_000.0 + written])
            written += 1

    async def reading() -> None:
        while not done.is_set():
            assert await reader.fetchval("SELECT count(*) FROM history WHERE run = 1") >= 50

    async def migrating() -> None:
        try:
            await asyncio.gather(*(upgrade(url) for _ in range(3)))
        finally:
            done.set()

    try:
        await asyncio.gather(writing(), reading(), migrating())
        assert await reader.fetchval("SELECT count(*) FROM history") == written
        assert await reader.fetchval("SELECT max(seq) FROM history") == written
        await what_was_there(url)
    finally:
        await engine.close()
        await reader.close()


async def test_the_new_schema_serves_what_the_old_one_held_and_goes_on(url: str) -> None:
    await upgrade(url)
    store = await open_store(url)
    try:
        owned = await store.claim(2, "engine-1")
        run = await store.create_run(new_run(part=2))
        one = batch(owned.epoch, 51, part=2, history=[history(run.no, 1), history(1, 51)])
        assert await store.commit([one]) == []
        assert [row.seq for row in await store.history(1)] == list(range(1, 52))
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("what", "oldest", "newest", "said"),
    [
        ("schema", 90, 99, "of a newer Headrace"),
        ("messages", 7, 9, "speak messages of version 7 to 9, this Headrace speaks 1"),
    ],
)
async def test_a_database_whose_users_speak_another_version_is_refused(
    url: str, what: str, oldest: int, newest: int, said: str
) -> None:
    """Raised once, before anything is written."""
    await upgrade(url)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "UPDATE spoken SET oldest = $2, newest = $3 WHERE what = $1", what, oldest, newest
    )
    if what == "schema":
        await connection.execute(f"UPDATE headrace_schema SET version_num = '00{newest}'")
    await connection.close()
    for use in (open_store, check):
        with pytest.raises(StoreUnavailable, match=said):
            await use(url)


async def test_a_newer_database_that_still_serves_this_build_is_used(url: str) -> None:
    """A rolling upgrade: the schema goes ahead, engines of the version before are started again meanwhile."""
    await upgrade(url)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE spoken SET newest = 99 WHERE what = 'schema'")
    await connection.execute("UPDATE headrace_schema SET version_num = '0099'")
    await connection.close()
    await what_was_there(url)
    assert await upgrade(url) == schema.HEAD
    store = await open_store(url)
    await store.close()
