"""Backfills: kept with their moments, found when they are due or a run has ended, advanced once with the runs that they begin. On
every adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.engine.core.schedules.rules import key_of
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Once, Repeated
from headrace.engine.ports.backfills import BackfillRow, BackfillStep, NewBackfill
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import NewRun, Store
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act, batch, new_run, run_update, version

SCHEDULE = "etl.nightly"


def backfill(**fields: Any) -> NewBackfill:
    given: dict[str, Any] = {
        "project": PROJECT,
        "workflow": "etl",
        "schedule": SCHEDULE,
        "trigger": b'{"cron":"0 6 * * *"}',
        "params": b"{}",
        "reprocess": "missing",
        "order": "forward",
        "max_active": 2,
        "priority": "low",
        "by": "user:ada",
        "created_at": 100.0,
        "moments": (10.0, 20.0, 30.0),
    }
    return NewBackfill(**{**given, **fields})


async def due(store: Store, now: float = 1000.0) -> list[int]:
    return [each.backfill.no for each in await store.due_backfills(now, 10)]


async def begun(store: Store, row: BackfillRow, run: NewRun, place: int = 0) -> list[BackfillStep]:
    """A step that begins a run for one place."""
    [moment] = (await store.backfill_moments(row.no, after=place - 1))[:1]
    moved = moment._replace(state="started", run=run.id)
    return await store.advance_backfills([BackfillStep(row._replace(due_at=None), (moved,), (run,))])


class TestKept:
    async def test_it_is_kept_with_its_moments_in_their_order(self, store: Store) -> None:
        row = await store.create_backfill(backfill(moments=(30.0, 10.0, 20.0), order="backward"))
        assert (row.state, row.revision, row.due_at, row.finished_at) == ("running", 1, 100.0, None)
        assert (row.max_active, row.priority, row.by, row.order) == (2, "low", "user:ada", "backward")
        assert await store.backfill(PROJECT, row.no) == row
        moments = await store.backfill_moments(row.no)
        assert [(each.place, each.moment, each.state, each.run) for each in moments] == [
            (0, 30.0, "waiting", None),
            (1, 10.0, "waiting", None),
            (2, 20.0, "waiting", None),
        ]
        assert await store.backfill_moments(row.no, after=0, limit=1) == moments[1:2]
        assert await store.backfill_counts([row.no]) == {row.no: {"waiting": 3}}

    async def test_lists_begin_with_the_newest_and_are_confined_to_the_project(self, store: Store) -> None:
        rows = [await store.create_backfill(backfill(workflow=name)) for name in ("etl", "etl", "other")]
        assert [row.no for row in await store.backfills(PROJECT)] == [row.no for row in rows[::-1]]
        assert await store.backfills(PROJECT, workflow="etl", limit=1) == [rows[1]]
        assert await store.backfills(PROJECT, before=rows[1].no) == [rows[0]]
        assert await store.backfills(PROJECT, state="done") == []
        assert await store.backfills("elsewhere") == []
        assert await store.backfill("elsewhere", rows[0].no) is None
        assert await store.set_backfill("elsewhere", rows[0].no, 200.0, by="ada", state="paused") is None


class TestChanged:
    async def test_it_is_paused_goes_on_and_is_cancelled_once(self, store: Store) -> None:
        row = await store.create_backfill(backfill())
        paused = await store.set_backfill(PROJECT, row.no, 200.0, by="ada", state="paused", why="busy")
        assert paused is not None
        assert (paused.backfill.state, paused.backfill.paused_by, paused.backfill.paused_why) == (
            "paused",
            "ada",
            "busy",
        )
        again = await store.set_backfill(PROJECT, row.no, 300.0, by="bob", state="paused")
        assert again == paused
        resumed = await store.set_backfill(PROJECT, row.no, 400.0, by="bob", state="running")
        assert resumed is not None
        assert (resumed.backfill.state, resumed.backfill.paused_by) == ("running", None)
        cancelled = await store.set_backfill(PROJECT, row.no, 500.0, by="bob", state="cancelled")
        late = await store.set_backfill(PROJECT, row.no, 600.0, by="bob", state="running", max_active=9)
        assert late == cancelled

    async def test_limit_and_priority_are_changed_while_it_goes_on(self, store: Store) -> None:
        row = await store.create_backfill(backfill())
        await store.advance_backfills([BackfillStep(row._replace(due_at=None))])
        assert await due(store) == []
        changed = await store.set_backfill(PROJECT, row.no, 200.0, by="ada", max_active=7, priority="high")
        assert changed is not None
        assert (changed.backfill.max_active, changed.backfill.priority) == (7, "high")
        assert await due(store) == [row.no]  # there may be room now

    async def test_its_runs_that_go_on_are_told_to_stop(self, store: Store, owned: Ownership) -> None:
        row = await store.create_backfill(backfill())
        run = new_run()
        await begun(store, row, run)
        [start] = await store.inbox(0, 0, 10)
        done = await store.set_backfill(
            PROJECT, row.no, 200.0, by="ada", state="cancelled", stop=b'{"by":"a"}'
        )
        assert done is not None
        assert done.parts == (0,)
        [told] = await store.inbox(0, start.id, 10)
        assert (told.kind, told.run, told.body) == ("cancel", start.run, b'{"by":"a"}')


class TestDue:
    async def test_it_comes_with_what_deciding_takes(self, store: Store) -> None:
        await store.register(version())
        await store.register(version(plan="plan-2"))
        await store.set_workflow(PROJECT, "etl", 1.0, paused=True)
        await store.create_run(own := new_run(idempotency=key_of(SCHEDULE, 20.0)))
        row = await store.create_backfill(backfill())
        assert await store.due_backfills(99.0, 10) == []
        [found] = await store.due_backfills(100.0, 10)
        assert found.backfill == row
        assert found.version is not None
        assert found.settings is not None
        assert (found.version.version, found.settings.paused) == (2, True)
        assert [each.moment for each in found.coming] == [10.0, 20.0, 30.0]
        assert {moment: end.id for moment, end in found.newest.items()} == {20.0: own.id}
        assert (found.started, found.ends, found.more) == ((), {}, False)

    async def test_one_is_found_when_a_run_of_it_has_ended(self, store: Store, owned: Ownership) -> None:
        row = await store.create_backfill(backfill())
        run = new_run(idempotency=key_of(SCHEDULE, 10.0))
        await begun(store, row, run)
        assert await due(store) == []
        assert not (await store.upcoming()).backfill_freed
        [live] = await store.find_runs(PROJECT, run.id)
        await store.commit([batch(owned.epoch, 1, runs=[run_update(live.no, RunState.FAILED)])])
        assert (await store.upcoming()).backfill_freed
        [found] = await store.due_backfills(1000.0, 10)
        assert [each.run for each in found.started] == [run.id]
        assert found.ends[run.id].finished_at == 200.0
        assert [each.place for each in found.coming] == [1, 2]

    async def test_a_run_that_is_gone_has_ended(self, store: Store) -> None:
        row = await store.create_backfill(backfill())
        [first, *_] = await store.backfill_moments(row.no)
        gone = first._replace(state="started", run="gone")
        await store.advance_backfills([BackfillStep(row._replace(due_at=None), (gone,))])
        [found] = await store.due_backfills(1000.0, 10)
        assert (found.started, found.ends) == ((gone,), {})

    async def test_the_newest_run_counts_whoever_has_begun_it(self, store: Store) -> None:
        await store.create_run(new_run(idempotency=key_of(SCHEDULE, 10.0)))
        row = await store.create_backfill(backfill(reprocess="all"))
        await begun(store, row, again := new_run(idempotency="another"))
        newest = await store.newest_runs(PROJECT, SCHEDULE, (10.0, 20.0))
        assert {moment: end.id for moment, end in newest.items()} == {10.0: again.id}
        assert await store.newest_runs("elsewhere", SCHEDULE, (10.0,)) == {}
        assert await store.newest_runs(PROJECT, "etl.other", (10.0,)) == {}

    async def test_whether_one_goes_on(self, store: Store) -> None:
        assert not (await store.upcoming()).backfills
        row = await store.create_backfill(backfill())
        assert (await store.upcoming()).backfills
        over = row._replace(state="done", due_at=None, finished_at=200.0)
        await store.advance_backfills([BackfillStep(over)])
        assert not (await store.upcoming()).backfills


class TestAdvance:
    async def test_a_step_on_what_has_changed_meanwhile_writes_nothing(self, store: Store) -> None:
        row = await store.create_backfill(backfill())
        await store.set_backfill(PROJECT, row.no, 200.0, by="ada", state="paused")
        assert await begun(store, row, new_run()) == []
        assert await store.list_runs(PROJECT) == []
        assert await store.backfill_counts([row.no]) == {row.no: {"waiting": 3}}

    async def test_a_moment_that_has_got_its_run_meanwhile_is_passed_over(self, store: Store) -> None:
        row = await store.create_backfill(backfill())
        await store.create_run(first := new_run(idempotency=key_of(SCHEDULE, 10.0)))
        await begun(store, row, new_run(idempotency=first.idempotency))
        assert [run.id for run in await store.list_runs(PROJECT)] == [first.id]
        [moment, *_] = await store.backfill_moments(row.no)
        assert (moment.state, moment.run) == ("passed", first.id)

    async def test_of_many_who_advance_the_same_one_does(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        row = await stores[0].create_backfill(backfill())
        taken = await asyncio.gather(*(begun(stores[number % 2], row, new_run()) for number in range(8)))
        assert [len(steps) for steps in sorted(taken)] == [0] * 7 + [1]
        assert len(await stores[0].list_runs(PROJECT)) == 1


async def test_a_request_that_comes_twice_begins_one(database: Database) -> None:
    store: Any = await database.open()
    asked = act("backfill.create", "backfill")._replace(once=Once("k", "d", 1000.0))
    row = await store.create_backfill(backfill(), act=asked)
    with pytest.raises(Repeated) as repeated:
        await store.create_backfill(backfill(), act=asked)
    assert (repeated.value.object, repeated.value.same) == (f"backfill {row.no}", True)
    assert await store.backfills(PROJECT) == [row]
    [line] = await store.audit(PROJECT)
    assert (line.action, line.object) == ("backfill.create", f"backfill {row.no}")
