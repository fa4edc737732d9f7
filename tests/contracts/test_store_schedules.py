"""Schedules: kept with versions, found when they are due, advanced once with the runs that they start. On every adapter."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from headrace.engine.core.states import RunState
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.schedules import NewSchedule, ScheduleRow, ScheduleStep, Upcoming
from headrace.engine.ports.store import Store
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act, batch, command, new_run, run_update, version


def nightly(id: str = "etl.nightly", **trigger: Any) -> NewSchedule:
    return NewSchedule(id, json.dumps({"cron": "0 6 * * *", "timezone": "UTC", **trigger}).encode())


async def registered(store: Store, *schedules: NewSchedule, at: float = 100.0) -> list[ScheduleRow]:
    await store.register(version(created_at=at), schedules=schedules)
    return await store.schedules(PROJECT, workflow="etl")


def stepped(row: ScheduleRow, **fields: Any) -> ScheduleStep:
    return ScheduleStep(row._replace(cursor=200.0, due_at=300.0, changed_at=200.0, **fields))


class TestWithVersions:
    async def test_a_schedule_begins_when_it_is_registered(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        assert (row.id, row.workflow, row.cursor, row.due_at, row.paused) == (
            "etl.nightly",
            "etl",
            100.0,
            100.0,
            False,
        )
        assert (row.waiting, row.running, row.failures, row.skipped) == ((), (), 0, 0)
        assert json.loads(row.trigger)["cron"] == "0 6 * * *"

    async def test_the_same_again_changes_nothing(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        assert await registered(store, nightly(), at=500.0) == [row]

    async def test_what_says_when_begins_anew_and_the_rest_goes_on(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        await store.advance([stepped(row, waiting=(150.0,), running=("r1",), waits_for="r1")])
        [other] = await registered(store, nightly(overlap="allow"), at=500.0)
        assert (other.no, other.cursor, other.waiting, other.due_at) == (row.no, 200.0, (150.0,), 500.0)
        [later] = await registered(store, nightly(cron="0 7 * * *"), at=600.0)
        assert (later.no, later.cursor, later.waiting, later.due_at) == (row.no, 600.0, (), 600.0)

    async def test_a_version_without_it_ends_it_and_one_that_leaves_schedules_alone_does_not(
        self, store: Store
    ) -> None:
        await registered(store, nightly(), nightly("etl.hourly"))
        await store.register(version(plan="plan-2"))
        assert [row.id for row in await store.schedules(PROJECT)] == ["etl.hourly", "etl.nightly"]
        assert [row.id for row in await registered(store, nightly("etl.hourly"))] == ["etl.hourly"]
        assert await registered(store) == []

    async def test_lists_are_paged_by_id_and_confined_to_the_project(self, store: Store) -> None:
        await registered(store, *(nightly(f"etl.s{number}") for number in range(5)))
        page = await store.schedules(PROJECT, after="etl.s1", limit=2)
        assert [row.id for row in page] == ["etl.s2", "etl.s3"]
        assert await store.schedules("other") == []
        assert await store.schedule("other", "etl.s1") is None
        assert await store.schedule(PROJECT, "etl.s1") is not None


class TestPause:
    async def test_a_pause_forgets_what_waits_and_a_resume_passes_over_what_came(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        await store.advance([stepped(row, waiting=(150.0,), running=("r1",), waits_for="r1", failures=2)])
        paused = await store.set_schedule(PROJECT, row.id, 400.0, paused=True, by="ada", why="audit")
        assert paused is not None
        assert (paused.paused, paused.paused_by, paused.paused_why) == (True, "ada", "audit")
        assert (paused.due_at, paused.waits_for, paused.waiting) == (None, None, ())
        assert await store.due_schedules(1e9, 10) == []
        resumed = await store.set_schedule(PROJECT, row.id, 500.0, paused=False, by="ada")
        assert resumed is not None
        assert (resumed.paused, resumed.paused_by, resumed.cursor, resumed.due_at) == (
            False,
            None,
            500.0,
            500.0,
        )
        assert (resumed.failures, resumed.running) == (0, ("r1",))

    async def test_what_stands_so_already_is_left_and_an_unknown_one_is_none(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        assert await store.set_schedule(PROJECT, row.id, 400.0, paused=False, by="ada") == row
        assert await store.set_schedule(PROJECT, "etl.none", 400.0, paused=True, by="ada") is None

    async def test_a_paused_one_stays_paused_when_its_workflow_is_registered_anew(self, store: Store) -> None:
        await registered(store, nightly())
        await store.set_schedule(PROJECT, "etl.nightly", 400.0, paused=True, by="ada")
        [row] = await registered(store, nightly(cron="0 7 * * *"), at=500.0)
        assert (row.paused, row.due_at) == (True, None)


class TestDue:
    async def test_what_is_due_comes_with_the_newest_version_and_what_was_set(self, store: Store) -> None:
        await registered(store, nightly())
        await store.register(version(plan="plan-2", tags=("a",)))
        await store.set_workflow(PROJECT, "etl", 1.0, paused=True, priority="high")
        assert await store.due_schedules(99.0, 10) == []
        assert (await store.upcoming()).schedule_at == 100.0
        [due] = await store.due_schedules(100.0, 10)
        assert due.version is not None
        assert due.settings is not None
        assert (due.version.version, due.version.plan, due.version.tags) == (2, "plan-2", ("a",))
        assert (due.settings.paused, due.settings.priority) == (True, "high")

    async def test_the_longest_due_come_first(self, store: Store) -> None:
        rows = await registered(store, *(nightly(f"etl.s{number}") for number in range(3)))
        await store.advance([ScheduleStep(row._replace(due_at=50.0 - row.no)) for row in rows])
        found = await store.due_schedules(100.0, 2)
        assert [due.schedule.id for due in found] == ["etl.s2", "etl.s1"]

    async def test_one_that_waits_is_found_when_its_run_has_ended_or_is_gone(
        self, store: Store, owned: Ownership
    ) -> None:
        one, other = await registered(store, nightly("etl.a"), nightly("etl.b"))
        run = new_run()
        created = await store.create_run(run)
        waits: dict[str, Any] = {"running": (run.id,), "waits_for": run.id, "waiting": (150.0,)}
        gone: dict[str, Any] = {"running": ("gone",), "waits_for": "gone", "waiting": (150.0,)}
        await store.advance([stepped(one, **waits), stepped(other, **gone)])
        assert [due.schedule.id for due in await store.due_schedules(250.0, 10)] == ["etl.b"]
        await store.commit([batch(owned.epoch, 1, runs=[run_update(created.no, RunState.FAILED)])])
        first, second = await store.due_schedules(250.0, 10)
        assert (first.schedule.id, second.runs) == ("etl.a", {})
        assert (first.runs[run.id].state, first.runs[run.id].finished_at) == (int(RunState.FAILED), 200.0)

    async def test_what_comes_next_is_told_at_once(self, store: Store, owned: Ownership) -> None:
        assert await store.upcoming() == Upcoming(None, False, None, False, False)
        [row] = await registered(store, nightly())
        run = new_run()
        created = await store.create_run(run)
        waits = row._replace(running=(run.id,), waits_for=run.id, due_at=300.0)
        await store.advance([ScheduleStep(waits)])
        assert await store.upcoming() == Upcoming(300.0, False, None, False, False)
        await store.commit([batch(owned.epoch, 1, runs=[run_update(created.no, RunState.FAILED)])])
        assert (await store.upcoming()).schedule_freed


class TestAdvance:
    async def test_a_step_is_written_with_its_runs_commands_and_line(self, store: Store) -> None:
        [row] = await registered(store, nightly())
        run = new_run(idempotency="schedule:etl.nightly:200")
        step = stepped(row, running=(run.id,), last_at=200.0, last_run=run.id, skipped=3, problem="none")
        said = act("schedule.pause", "schedule etl.nightly")
        assert len(await store.advance([step._replace(runs=(run,), commands=(command(),), act=said)])) == 1
        found = await store.schedule(PROJECT, row.id)
        assert found == step.schedule._replace(revision=2)
        assert [one.id for one in await store.list_runs(PROJECT)] == [run.id]
        assert [one.kind for one in await store.inbox(0, 0, 10)] == ["start", "cancel"]

    async def test_a_step_on_what_has_changed_meanwhile_writes_nothing(self, store: Store) -> None:
        one, other = await registered(store, nightly("etl.a"), nightly("etl.b"))
        await store.set_schedule(PROJECT, one.id, 150.0, paused=True, by="ada")
        steps = [ScheduleStep(stepped(row).schedule, (new_run(idempotency=row.id),)) for row in (one, other)]
        assert [step.schedule.id for step in await store.advance(steps)] == ["etl.b"]
        assert await store.advance(steps) == []
        assert [run.id for run in await store.list_runs(PROJECT)] == [steps[1].runs[0].id]

    async def test_a_run_that_was_begun_for_the_moment_before_is_left(self, store: Store) -> None:
        """As after a copy from before was restored: the cursor has gone back, the moment has its run."""
        [row] = await registered(store, nightly())
        first = new_run(idempotency="schedule:etl.nightly:200")
        await store.create_run(first)
        await store.advance([ScheduleStep(stepped(row).schedule, (new_run(idempotency=first.idempotency),))])
        assert [run.id for run in await store.list_runs(PROJECT)] == [first.id]

    async def test_of_many_who_advance_the_same_one_does(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        rows = await registered(stores[0], *(nightly(f"etl.s{number:02}") for number in range(40)))

        async def advance(store: Store) -> list[ScheduleStep]:
            return await store.advance(
                [ScheduleStep(stepped(row).schedule, (new_run(idempotency=row.id),)) for row in rows]
            )

        taken = await asyncio.gather(*(advance(stores[number % 2]) for number in range(8)))
        assert sorted(step.schedule.id for steps in taken for step in steps) == [row.id for row in rows]
        assert len(await stores[0].list_runs(PROJECT, limit=100)) == 40
