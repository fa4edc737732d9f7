"""Lists that are filtered, counts, and what goes by itself, on every adapter."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from typing import Any

import asyncpg
import pytest

from headrace.api.office import ApiStore
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.acts import Once
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.store import CacheRow
from headrace.engine.store.keeping import FORGOTTEN_SECONDS
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act, batch, command, new_run, run_update, task_row, version


@pytest.fixture
async def store(database: Database) -> ApiStore:
    found: Any = await database.open()
    return found  # type: ignore[no-any-return]


class TestRuns:
    async def test_every_filter_and_every_two_of_them_select_what_they_say(self, store: ApiStore) -> None:
        owned = await store.claim(0, "engine-1")
        made = []
        for n, (workflow, tags, key) in enumerate(
            itertools.product(("etl", "etl_2", "load"), ((), ("eu",), ("eu", "a%b")), (None, "k-1", "K-2"))
        ):
            run = new_run(
                id=f"0198{n:04x}", workflow=workflow, tags=tags, key=key and f"{key}.{n}", created_at=float(n)
            )
            made.append((await store.create_run(run), run, RunState.FAILED if n % 4 else RunState.QUEUED))
        ended = [run_update(one.no, state) for one, _, state in made if state.final]
        assert await store.commit([batch(owned.epoch, 1, runs=ended)]) == []
        filters: dict[tuple[str, Any], Any] = {
            ("workflow", "etl"): lambda run, state: run.workflow == "etl",
            ("state", int(RunState.FAILED)): lambda run, state: state == RunState.FAILED,
            ("state", int(RunState.QUEUED)): lambda run, state: state == RunState.QUEUED,
            ("tag", "eu"): lambda run, state: "eu" in run.tags,
            ("tag", "a%b"): lambda run, state: "a%b" in run.tags,
            ("tag", 'eu", "a'): lambda run, state: False,
            ("created_after", 10.0): lambda run, state: run.created_at >= 10,
            ("created_before", 20.0): lambda run, state: run.created_at < 20,
            ("text", "etl"): lambda run, state: run.workflow.startswith("etl"),
            ("text", "k-"): lambda run, state: (run.key or "").startswith("k-"),
            ("text", "0198001"): lambda run, state: run.id.startswith("0198001"),
            ("text", "%"): lambda run, state: False,
        }
        for one, other in itertools.combinations_with_replacement(filters, 2):
            if one[0] == other[0] and one != other:
                continue
            wanted = [
                run.id for _, run, state in made if filters[one](run, state) and filters[other](run, state)
            ]
            found = await store.list_runs(PROJECT, **dict((one, other)), limit=100)
            assert [run.id for run in found] == wanted[::-1], (one, other)
        pages: list[str] = []
        before = None
        while page := await store.list_runs(PROJECT, tag="eu", before=before, limit=4):
            pages += [run.id for run in page]
            before = page[-1].no
        assert pages == [run.id for _, run, _ in made if "eu" in run.tags][::-1]
        assert await store.list_runs("other", tag="eu") == []

    async def test_runs_are_counted_by_state(self, store: ApiStore) -> None:
        owned = await store.claim(0, "engine-1")
        runs = [await store.create_run(new_run()) for _ in range(7)]
        await store.create_run(new_run(project="other"))
        states = [RunState.RUNNING, *[RunState.SUCCEEDED] * 3, RunState.FAILED]
        moved = [run_update(run.no, state) for run, state in zip(runs, states, strict=False)]
        moved[1] = moved[1]._replace(finished_at=199.0)
        await store.commit([batch(owned.epoch, 1, runs=moved)])
        assert await store.count_runs(PROJECT, 200.0) == {
            RunState.QUEUED: 2,
            RunState.RUNNING: 1,
            RunState.SUCCEEDED: 2,
            RunState.FAILED: 1,
        }
        assert await store.count_runs(PROJECT, 201.0) == {RunState.QUEUED: 2, RunState.RUNNING: 1}
        assert await store.count_runs("nobody", 0.0) == {}

    async def test_task_runs_of_live_runs_are_counted_by_state(self, store: ApiStore) -> None:
        """Of the newest generation, and no more rows than were asked for."""
        owned = await store.claim(0, "engine-1")
        runs = [await store.create_run(new_run()) for _ in range(3)]
        foreign = await store.create_run(new_run(project="other"))
        moved = [
            run_update(runs[0].no, RunState.RUNNING, generation=2),
            run_update(runs[1].no, RunState.FAILED),
        ]
        tasks = [
            task_row(runs[0].no, 0, TaskState.SUCCEEDED, generation=2),
            *(task_row(runs[0].no, task, TaskState.RUNNING, generation=2) for task in (1, 2)),
            task_row(runs[0].no, 1, TaskState.FAILED),
            task_row(runs[1].no, 0, TaskState.FAILED),
            task_row(foreign.no, 0, TaskState.QUEUED),
        ]
        await store.commit([batch(owned.epoch, 1, runs=moved, tasks=tasks)])
        assert await store.count_tasks(PROJECT, 10) == {TaskState.SUCCEEDED: 1, TaskState.RUNNING: 2}
        assert sum((await store.count_tasks(PROJECT, 2)).values()) == 2
        assert await store.count_tasks("nobody", 10) == {}

    async def test_open_letters_are_counted(self, store: ApiStore) -> None:
        owned = await store.claim(0, "engine-1")
        run = await store.create_run(new_run())
        dead = [DeadLetterRow(run.no, 1, n, 0, 1, 5.0, b"{}", "etl", "load") for n in range(3)]
        await store.commit([batch(owned.epoch, 1, dead=dead)])
        newest, *_ = await store.dead_letters(PROJECT)
        await store.discard([newest.id], "ada", "known", 6.0)
        assert await store.count_letters(PROJECT) == 2
        assert await store.count_letters("other") == 0


async def test_workflows_are_listed_in_their_newest_version(store: ApiStore) -> None:
    for n in range(3):
        await store.register(version("etl", f"plan-{n}", tags=("old",) if n < 2 else ("new", "eu")))
    await store.register(version("a_load", "plan-9", tags=("eu",), description="Loads 100% of IT"))
    await store.register(version("zip", "plan-1", project="other"))
    found = await store.newest_versions(PROJECT)
    assert [(row.name, row.version) for row in found] == [("a_load", 1), ("etl", 3)]
    newest = await store.version(PROJECT, "etl")
    assert newest is not None
    assert newest._replace(**found[1]._asdict()) == newest
    named = {
        ("tag", "eu"): ["a_load", "etl"],
        ("tag", "old"): [],
        ("text", "LOAD"): ["a_load"],
        ("text", "loads 100% of it"): ["a_load"],
        ("text", "l"): ["a_load", "etl"],
        ("text", "e_l"): [],
        ("after", "a_load"): ["etl"],
        ("after", "etl"): [],
    }
    for wanted, names in named.items():
        listed = await store.newest_versions(PROJECT, **dict([wanted]))  # type: ignore[arg-type]
        assert [row.name for row in listed] == names, wanted
    assert [row.name for row in await store.newest_versions(PROJECT, limit=1)] == ["a_load"]


async def test_what_is_over_goes_without_a_retention(database: Database) -> None:
    store: Any = await database.open()
    owned = await store.claim(0, "engine-1")
    run = await store.create_run(new_run())
    now = time.time()
    rows = [CacheRow(PROJECT, "old", b"1", None, now - 1), CacheRow(PROJECT, "new", b"1", None, now + 999)]
    await store.commit([batch(owned.epoch, 1, cache=rows, runs=[run_update(run.no, RunState.FAILED)])])
    for n, until in enumerate((now - 1, now + 999)):
        await store.post(command(), act=act(at=now - 2, once=Once(f"k{n}", "d", until)))
    worker = WorkerRow("w-1", "i", ("q",), {}, ("python",), 1, 0, False, now - FORGOTTEN_SECONDS - 9)
    seen = worker._replace(id="w-2", seen_at=now - FORGOTTEN_SECONDS + 99)
    await store.saw_workers([worker, seen])
    await store.tend()
    assert await store.cached(PROJECT, ["old", "new"], 0.0) == {"new": (b"1", None)}
    assert await keys(database) == ["k1"]
    assert await store.workers() == [seen]
    assert await store.run(run.no) is not None
    assert len(await store.audit(PROJECT)) == 2


async def keys(database: Database) -> list[str]:
    """The keys of requests that are known, in order."""
    query = "SELECT key FROM once ORDER BY key"
    if database.kind == "sqlite":
        with contextlib.closing(sqlite3.connect(database.path)) as file:
            return [key for (key,) in file.execute(query)]
    server = await asyncpg.connect(database.url)
    try:
        return [row["key"] for row in await server.fetch(query)]
    finally:
        await server.close()


async def test_engines_that_went_away_are_forgotten_and_those_that_stand_are_not(
    postgres_database: Database,
) -> None:
    stores: list[Any] = [await postgres_database.open() for _ in range(3)]
    for n, store in enumerate(stores):
        await store.join(f"e-{n}")
    server = await asyncpg.connect(postgres_database.url)
    try:
        await server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'headrace engine e-0' AND datname = current_database()"
        )
        for store in stores[:2]:
            await store._lease.stop()
        long_ago = FORGOTTEN_SECONDS + 60
        await server.execute("UPDATE engines SET lease_until = lease_until - $1 WHERE id <> 'e-2'", long_ago)
        await stores[2].tend()
        left = await server.fetch("SELECT id FROM engines ORDER BY id")
        assert [row["id"] for row in left] == ["e-1", "e-2"]  # the connection of e-1 still stands
    finally:
        await server.close()
