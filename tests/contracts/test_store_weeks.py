"""History and log chunks of PostgreSQL lie in weeks: made ahead, dropped whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from headrace.engine.core.states import RunState
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.logs import LogChunk
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import HistoryRow
from headrace.engine.store.partitions import AHEAD, WEEK, week_of
from headrace.engine.store.postgres import PostgresStore
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, batch, new_run, run_update

OLD = week_of(1_600_000_000.0)
DAY = 86400.0


@pytest.fixture
async def store(postgres_database: Database) -> PostgresStore:
    store = await postgres_database.open()
    assert isinstance(store, PostgresStore)
    return store


@pytest.fixture
async def owned(store: PostgresStore) -> Ownership:
    return await store.claim(0, "engine-1")


@pytest.fixture
async def server(postgres_database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_database.url)
    yield connection
    await connection.close()


async def weeks(server: Any, parent: str) -> set[str]:
    query = "SELECT CAST(inhrelid AS regclass)::text FROM pg_inherits WHERE inhparent = CAST($1 AS regclass)"
    return {row[0] for row in await server.fetch(query, parent)}


async def coming_weeks(server: Any, parent: str) -> set[str]:
    """This one and later ones, and the default partition: the tables that others are copied from may be a few weeks old."""
    this = name_of(parent, week_of(time.time()))
    return {name for name in await weeks(server, parent) if name >= this}


def name_of(parent: str, week: float) -> str:
    return f"{parent}_{time.strftime('%Y%m%d', time.gmtime(week))}"


async def make_week(server: Any, parent: str, week: int) -> None:
    bounds = f"FOR VALUES FROM ({week}) TO ({week + WEEK})"
    await server.execute(f"CREATE TABLE {name_of(parent, week)} PARTITION OF {parent} {bounds}")


@pytest.mark.parametrize("parent", ["history", "log_chunks"])
async def test_a_new_database_has_this_week_and_the_coming_ones(
    store: PostgresStore, server: Any, parent: str
) -> None:
    this = week_of(time.time())
    coming = {name_of(parent, this + number * WEEK) for number in range(AHEAD)}
    assert await coming_weeks(server, parent) == coming | {f"{parent}_default"}
    await store.tend()
    assert await coming_weeks(server, parent) == coming | {f"{parent}_default"}


@pytest.mark.parametrize("at", [-5.0, 0.0, 1.0e12])
async def test_a_row_of_any_time_is_taken(store: PostgresStore, owned: Ownership, at: float) -> None:
    run = await store.create_run(new_run(created_at=at))
    assert await store.commit([batch(owned.epoch, 1, history=[HistoryRow(run.no, 1, at, b"x")])]) == []
    assert [row.at for row in await store.history(run.no)] == [at]


async def test_rows_that_came_before_their_week_move_into_it(
    store: PostgresStore, owned: Ownership, server: Any
) -> None:
    """The weeks were not made in time: rows lie in the default partition until they are."""
    this = week_of(time.time())
    for number in range(AHEAD):
        await server.execute(f"DROP TABLE {name_of('history', this + number * WEEK)}")
    now = time.time()
    run = await store.create_run(new_run(created_at=now))
    rows = [HistoryRow(run.no, seq, now + seq, b"x") for seq in (1, 2)]
    assert await store.commit([batch(owned.epoch, 1, history=rows)]) == []
    assert await server.fetchval("SELECT count(*) FROM history_default") == 2
    await store.tend()
    assert await server.fetchval("SELECT count(*) FROM history_default") == 0
    assert await store.history(run.no) == rows
    assert len(await coming_weeks(server, "history")) == AHEAD + 1


async def test_engines_that_tend_at_once_make_each_week_once(
    postgres_database: Database, store: PostgresStore, owned: Ownership, server: Any
) -> None:
    others = [await postgres_database.open() for _ in range(3)]
    this = week_of(time.time())
    for number in range(1, AHEAD):
        await server.execute(f"DROP TABLE {name_of('history', this + number * WEEK)}")
    run = await store.create_run(new_run(created_at=time.time()))

    async def writing() -> None:
        for seq in range(1, 100):
            row = HistoryRow(run.no, seq, time.time() + WEEK, b"x")
            assert await store.commit([batch(owned.epoch, seq, history=[row])]) == []

    await asyncio.gather(writing(), *(other.tend() for other in others))
    await store.tend()
    assert len(await coming_weeks(server, "history")) == AHEAD + 1
    assert [row.seq for row in await store.history(run.no)] == list(range(1, 100))
    assert await server.fetchval("SELECT count(*) FROM history_default") == 0


async def test_an_old_week_is_dropped_and_what_is_still_needed_stays(
    store: PostgresStore, owned: Ownership, server: Any
) -> None:
    """Kept: history of a run that lives, of one with an open letter, and of one that ended after the time asked for."""
    await make_week(server, "history", OLD)
    before = float(OLD + 2 * WEEK)
    ends = {"gone": OLD + DAY, "live": None, "letter": OLD + DAY, "later": before + DAY}
    runs = {name: await store.create_run(new_run(created_at=float(OLD))) for name in ends}
    content: dict[str, Any] = {
        "history": [HistoryRow(run.no, 1, OLD + 5.0, name.encode()) for name, run in runs.items()],
        "runs": [
            run_update(runs[name].no, RunState.FAILED, finished_at=float(end))
            for name, end in ends.items()
            if end is not None
        ],
        "dead": [DeadLetterRow(runs["letter"].no, 1, 0, 0, 1, OLD + 5.0, b"{}")],
    }
    assert await store.commit([batch(owned.epoch, 1, **content)]) == []
    await store.tend(before=OLD + WEEK - 1.0)
    assert name_of("history", OLD) in await weeks(server, "history"), "its last second is not old enough"
    await store.tend(before)
    assert name_of("history", OLD) not in await weeks(server, "history")
    assert await server.fetchval("SELECT to_regclass($1)", name_of("history", OLD)) is None
    found = {name: [row.body for row in await store.history(run.no)] for name, run in runs.items()}
    assert found == {"gone": [], "live": [b"live"], "letter": [b"letter"], "later": [b"later"]}
    assert await store.expire(before) == 1
    [letter] = await store.dead_letters(PROJECT)
    await store.discard([letter.id], "ann", "known", 1.0)
    assert await store.expire(before) == 1
    assert await server.fetchval("SELECT count(*) FROM history_default") == 2


async def test_who_is_kept_is_found_out_before_anybody_is_shut_out(
    store: PostgresStore, server: Any, postgres_database: Database
) -> None:
    """However many runs there are to look through: engines commit meanwhile."""
    await make_week(server, "history", OLD)
    looker = await asyncpg.connect(postgres_database.url)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass"
    shut = "SELECT count(*) FROM pg_locks WHERE granted AND relation = 'history'::regclass AND mode = $1"
    try:
        async with looker.transaction():
            await looker.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            tending = asyncio.create_task(store.tend(float(OLD + 2 * WEEK)))
            while not await server.fetchval(waiting):
                assert not tending.done()
            assert await server.fetchval(shut, "AccessExclusiveLock") == 0
    finally:
        await looker.close()
    await tending
    await store.tend(float(OLD + 2 * WEEK))
    assert name_of("history", OLD) not in await weeks(server, "history")


async def test_a_week_that_is_in_use_is_dropped_another_time(
    store: PostgresStore, server: Any, postgres_database: Database
) -> None:
    await make_week(server, "history", OLD)
    reader = await asyncpg.connect(postgres_database.url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT * FROM history")
            await store.tend(float(OLD + 2 * WEEK))
            assert name_of("history", OLD) in await weeks(server, "history")
    finally:
        await reader.close()
    await store.tend(float(OLD + 2 * WEEK))
    assert name_of("history", OLD) not in await weeks(server, "history")


async def test_a_run_is_not_looked_for_in_weeks_before_it(
    store: PostgresStore, owned: Ownership, server: Any
) -> None:
    for number in range(20):
        await make_week(server, "history", OLD + number * WEEK)
    now = time.time()
    run = await store.create_run(new_run(created_at=now))
    await store.commit([batch(owned.epoch, 1, history=[HistoryRow(run.no, 1, now, b"x")])])
    touched = "SELECT sum(idx_scan + coalesce(seq_scan, 0)) FROM pg_stat_user_tables WHERE relname LIKE 'history_2020%'"
    assert len(await store.history(run.no)) == 1
    stored = await store.run(run.no)
    assert stored is not None
    assert stored.seq == 1
    await store.close()  # its statistics are flushed with its connections
    assert await server.fetchval(touched) == 0


class TestLogs:
    def chunk(self, seq: int, **fields: Any) -> LogChunk:
        return LogChunk("01a-run", "load", 1, 0, 1, seq, 50.0 + seq, b"\x00body")._replace(**fields)

    async def test_chunks_are_read_in_order_and_written_once(self, store: PostgresStore) -> None:
        chunks = [self.chunk(seq) for seq in (2, 0, 1)]
        await store.write_logs(chunks)
        await store.write_logs([self.chunk(1), self.chunk(3), self.chunk(3)])
        await store.write_logs(
            [self.chunk(0, attempt=2), self.chunk(0, map=1 << 60), self.chunk(0, task_id="x")]
        )
        key = ("01a-run", "load", 1, 0, 1)
        assert await store.read_logs(*key) == [self.chunk(seq) for seq in range(4)]
        assert [chunk.seq for chunk in await store.read_logs(*key, after=0, limit=2)] == [1, 2]
        assert await store.read_logs("01a-run", "load", 1, 1 << 60, 1) == [self.chunk(0, map=1 << 60)]
        assert await store.read_logs("other", "load", 1, 0, 1) == []
        await store.write_logs([])

    async def test_old_chunks_go(self, store: PostgresStore, server: Any) -> None:
        await make_week(server, "log_chunks", OLD)
        await store.write_logs([self.chunk(0, at=OLD + 5.0), self.chunk(1), self.chunk(2, at=time.time())])
        await store.tend(float(OLD + WEEK))
        assert [chunk.seq for chunk in await store.read_logs("01a-run", "load", 1, 0, 1)] == [2]
        assert name_of("log_chunks", OLD) not in await weeks(server, "log_chunks")
