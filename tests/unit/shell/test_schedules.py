"""Schedules on a real store and engine, a clock that is moved by hand, and tickers that look when they are told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from headrace.dsl import source
from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.schedules import ScheduleRow, ScheduleStep
from headrace.engine.ports.store import RunRow, StoreUnavailable
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.schedules.firing import Firing
from headrace.engine.shell.schedules.reading import by_time
from headrace.engine.shell.schedules.ticking import EVERY, Ticker
from headrace.runners.authored import checker, version_row
from tests.unit.shell.rig import HOLD, Rig, fails

PROJECT = "default"
FLOW = """
workflow: sales
params:
  day: {type: string, format: date, default: "${{ run.date }}"}
  since: {type: string, default: none}
triggers:
  - {id: nightly, cron: "0 6 * * *", timezone: Asia/Tokyo, params: {since: "${{ event.previous_at }}"}}
tasks:
  load: {python: "bodies:body", with: {day: "${{ params.day }}", at: "${{ event.at }}", by: "${{ run.trigger }}"}}
"""
MINUTELY = """
workflow: sales
triggers: [{id: minutely, every: 1m, EXTRA}]
tasks: {load: {python: "bodies:body"}}
"""


def planned(text: str) -> Plan:
    return source.plan(source.read_text(text.encode(), json=False)).plan


def minutely(**extra: Any) -> str:
    given = ", ".join(f"{key}: {json.dumps(value)}" for key, value in extra.items())
    return MINUTELY.replace(", EXTRA", f", {given}" if given else "")


async def registered(bench: Rig, text: str) -> list[ScheduleRow]:
    plan = planned(text)
    row = version_row(plan, PROJECT, bench.clock.now())
    schedules = by_time(plan.workflow.name, plan.workflow.triggers)
    await bench.store.register(row, schedules=schedules)
    return await bench.store.schedules(PROJECT)


def ticker(bench: Rig, store: Any = None) -> Ticker:
    evaluator = CelEvaluator()
    firing = Firing(Plans(bench.store), IanaCalendar(), evaluator, checker(evaluator), 1)
    return Ticker(store or bench.store, firing, bench.clock, lambda part: bench.engine.wake())


async def tick(bench: Rig, seconds: float = 0.0, times: int = 1) -> None:
    """Let time pass and look, so many times; the engine works after each look."""
    ticks = ticker(bench)
    for _ in range(times):
        await bench.advance(seconds)
        await ticks.tick()
        await bench.settle()


async def runs(bench: Rig) -> Sequence[RunRow]:
    """Oldest first."""
    return (await bench.store.list_runs(PROJECT))[::-1]


async def schedule(bench: Rig) -> ScheduleRow:
    [row] = await bench.store.schedules(PROJECT)
    return row


async def test_a_moment_begins_one_run_that_knows_what_it_is_for(bench: Rig) -> None:
    await registered(bench, FLOW)
    await tick(bench)
    assert await runs(bench) == []
    await tick(bench, 3600)  # 06:00 in Tokyo was at 21:00 the day before in UTC; the next is in 22:46
    assert await runs(bench) == []
    await tick(bench, 22 * 3600)
    [run] = await runs(bench)
    assert run.scheduled_at == 1_700_082_000.0  # 2023-11-15T21:00:00Z
    assert json.loads(run.params) == {"day": "2023-11-16", "since": "2023-11-14T21:00:00Z"}
    assert json.loads(run.trigger) == {"kind": "cron", "schedule": "sales.nightly", "date": "2023-11-16"}
    assert json.loads(run.event or b"") == {
        "at": "2023-11-15T21:00:00Z",
        "date": "2023-11-16",
        "previous_at": "2023-11-14T21:00:00Z",
        "next_at": "2023-11-16T21:00:00Z",
    }
    assert RunState(run.state) is RunState.SUCCEEDED
    [given] = bench.worker.seen
    assert given.inputs["with"] == {"day": "2023-11-16", "at": "2023-11-15T21:00:00Z", "by": "cron"}
    row = await schedule(bench)
    assert (row.last_at, row.last_run, row.cursor, row.problem) == (
        run.scheduled_at,
        run.id,
        run.scheduled_at,
        None,
    )
    assert row.due_at == run.scheduled_at + 86_400


async def test_any_number_of_engines_begin_a_moment_once(bench: Rig) -> None:
    await registered(bench, minutely(overlap="allow"))
    tickers = [ticker(bench) for _ in range(4)]
    for _ in range(5):
        bench.clock.advance(60)
        await asyncio.gather(*(each.tick() for each in tickers))
    moments = [run.scheduled_at for run in await runs(bench)]
    assert moments == [1_700_000_040.0 + 60 * number for number in range(5)]


class DyingStore:
    """Loses the connection before, or after, a step is written."""

    def __init__(self, store: Any, *, written: bool) -> None:
        self._store = store
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def advance(self, steps: Sequence[ScheduleStep]) -> list[ScheduleStep]:
        if self._written:
            await self._store.advance(steps)
        raise StoreUnavailable("gone")


@pytest.mark.parametrize("written", [False, True])
async def test_an_engine_that_dies_around_the_commit_loses_and_doubles_nothing(
    bench: Rig, written: bool
) -> None:
    await registered(bench, minutely())
    bench.clock.advance(60)
    with pytest.raises(StoreUnavailable):
        await ticker(bench, DyingStore(bench.store, written=written)).tick()
    await tick(bench)
    assert [run.scheduled_at for run in await runs(bench)] == [1_700_000_040.0]


async def test_a_moment_that_comes_while_a_run_goes_on_is_skipped(bench: Rig) -> None:
    await registered(bench, minutely())
    bench.worker.body = lambda dispatch: HOLD
    await tick(bench, 60, times=3)
    assert len(await runs(bench)) == 1
    assert (await schedule(bench)).skipped == 2
    await bench.worker.finish("load")
    await bench.settle()
    await tick(bench, 60)
    assert len(await runs(bench)) == 2


async def test_a_moment_that_waits_begins_when_the_run_has_ended(bench: Rig) -> None:
    await registered(bench, minutely(overlap="queue_one"))
    bench.worker.body = lambda dispatch: HOLD
    await tick(bench, 60, times=3)
    row = await schedule(bench)
    assert (row.waiting, row.skipped, row.waits_for) == ((1_700_000_100.0,), 1, row.last_run)
    await bench.worker.finish("load")
    await bench.settle()
    await tick(bench)
    assert [run.scheduled_at for run in await runs(bench)] == [1_700_000_040.0, 1_700_000_100.0]
    assert (await schedule(bench)).waits_for is None


async def test_the_run_that_goes_on_is_cancelled_and_the_next_one_takes_its_place(bench: Rig) -> None:
    await registered(bench, minutely(overlap="cancel_running"))
    bench.worker.body = lambda dispatch: HOLD
    await tick(bench, 60, times=2)
    await bench.settle()
    await tick(bench)
    first, second = await runs(bench)
    assert RunState(first.state) is RunState.CANCELLED
    assert RunState(second.state) is RunState.RUNNING
    assert second.scheduled_at == 1_700_000_100.0


async def test_failures_in_a_row_pause_it_with_a_line_in_the_audit(bench: Rig) -> None:
    await registered(bench, minutely(pause_after=2))
    bench.worker.body = lambda dispatch: fails(retryable=False)
    await tick(bench, 60, times=4)
    row = await schedule(bench)
    assert (row.paused, row.paused_by, row.paused_why) == (True, "schedules", "2 runs in a row have failed")
    assert len(await runs(bench)) == 2
    store: Any = bench.store
    [line] = await store.audit(PROJECT)
    assert (line.action, line.object, line.actor) == (
        "schedule.pause",
        "schedule sales.minutely",
        "schedules",
    )
    await bench.store.set_schedule(PROJECT, row.id, bench.clock.now(), paused=False, by="ada")
    await tick(bench, 60)
    assert len(await runs(bench)) == 3


async def test_a_paused_workflow_starts_nothing_and_what_came_is_passed_over(bench: Rig) -> None:
    await registered(bench, minutely())
    await bench.store.set_workflow(PROJECT, "sales", 1.0, paused=True)
    await tick(bench, 60, times=2)
    assert await runs(bench) == []
    await bench.store.set_workflow(PROJECT, "sales", 1.0, paused=False, priority="high")
    await tick(bench, 60)
    [run] = await runs(bench)
    assert (run.scheduled_at, run.priority) == (1_700_000_160.0, "high")


async def test_a_trigger_that_is_not_enabled_starts_nothing(bench: Rig) -> None:
    await registered(bench, minutely(enabled=False))
    await tick(bench, 60, times=2)
    assert await runs(bench) == []


async def test_parameters_that_cannot_be_had_are_told_and_the_next_moment_is_tried(bench: Rig) -> None:
    text = minutely(params={"day": "${{ event.nothing }}"})
    await registered(bench, text.replace("triggers", "params: {day: {type: string}}\ntriggers"))
    await tick(bench, 60)
    row = await schedule(bench)
    assert await runs(bench) == []
    assert "event.nothing" in (row.problem or "")
    assert (row.failures, row.last_at, row.due_at) == (1, 1_700_000_040.0, 1_700_000_100.0)


@pytest.mark.parametrize(("catchup", "moments"), [("none", [5940.0]), ("last", [5880.0, 5940.0])])
async def test_what_was_missed_while_no_engine_lived(bench: Rig, catchup: str, moments: list[float]) -> None:
    await registered(bench, minutely(overlap="allow", catchup=catchup))
    await tick(bench)
    await tick(bench, 5981)
    assert [run.scheduled_at - 1_700_000_040 for run in await runs(bench)] == moments


async def test_all_that_was_missed_is_run_one_after_the_other(bench: Rig) -> None:
    await registered(bench, minutely(catchup="all"))
    await tick(bench)
    await bench.advance(5981)
    for _ in range(130):
        await tick(bench)
    moments = [
        run.scheduled_at - 1_700_000_040 for run in (await bench.store.list_runs(PROJECT, limit=500))[::-1]
    ]
    assert moments[:99] == [60.0 * number for number in range(99)]


async def test_the_newest_version_is_run(bench: Rig) -> None:
    await registered(bench, minutely())
    await tick(bench, 60)
    await registered(bench, minutely().replace("{load:", "{more: {noop: {}}, load:"))
    await tick(bench, 60)
    assert [run.version for run in await runs(bench)] == [1, 2]


async def test_a_ticker_sleeps_until_the_next_moment_and_a_second_at_most(bench: Rig) -> None:
    assert await ticker(bench).tick() == EVERY
    await registered(bench, minutely())
    assert await ticker(bench).tick() == EVERY
    bench.clock.advance(39.7)
    assert await ticker(bench).tick() == pytest.approx(0.3, abs=0.01)


async def test_what_no_release_has_written_stands_still_and_says_so(bench: Rig) -> None:
    from headrace.engine.ports.schedules import NewSchedule

    row = version_row(planned(minutely()), PROJECT, bench.clock.now())
    await bench.store.register(row, schedules=[NewSchedule("sales.odd", b'{"moon": "full"}')])
    await tick(bench, 60)
    found = await schedule(bench)
    assert found.due_at is None
    assert "cannot be read" in (found.problem or "")
