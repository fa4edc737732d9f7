"""Backfills on a real store and engine, a clock that is moved by hand, and tickers that look when they are told to (faults 12)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from headrace.dsl import source
from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.backfills import BackfillRow, BackfillStep
from headrace.engine.ports.store import RunRow, StoreUnavailable
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.schedules.asking import Refused, Wanted, outlook
from headrace.engine.shell.schedules.filling import LOOK_EVERY
from headrace.engine.shell.schedules.firing import Firing
from headrace.engine.shell.schedules.reading import by_time
from headrace.engine.shell.schedules.ticking import Ticker
from headrace.runners.authored import checker, version_row
from tests.unit.shell.rig import HOLD, Answer, Rig, fails

PROJECT = "default"
DAILY = """
workflow: sales
params:
  day: {type: string, format: date, default: "${{ run.date }}"}
  since: {type: [string, "null"], default: null}
triggers:
  - {id: daily, cron: "0 6 * * *", timezone: Asia/Tokyo, params: {since: "${{ event.previous_at }}"}}
tasks: {load: {python: "bodies:body"}}
"""
"""The rig's clock stands at 2023-11-14T22:13:20Z, a day later in Tokyo, after that day's moment."""
TEN = {"begin": "2023-11-06", "end": "2023-11-15"}


async def registered(bench: Rig, text: str = DAILY) -> None:
    plan = source.plan(source.read_text(text.encode(), json=False)).plan
    row = version_row(plan, PROJECT, bench.clock.now())
    await bench.store.register(row, schedules=by_time(plan.workflow.name, plan.workflow.triggers))


def firing(bench: Rig) -> Firing:
    evaluator = CelEvaluator()
    return Firing(Plans(bench.store), IanaCalendar(), evaluator, checker(evaluator), 1)


def ticker(bench: Rig, store: Any = None) -> Ticker:
    return Ticker(store or bench.store, firing(bench), bench.clock, lambda part: bench.engine.wake())


async def tick(bench: Rig, times: int = 1) -> None:
    ticks = ticker(bench)
    for _ in range(times):
        await ticks.tick()
        await bench.settle()


async def asked(bench: Rig, **wanted: Any) -> BackfillRow:
    made = await outlook(
        bench.store,
        firing(bench),
        PROJECT,
        Wanted(**{"workflow": "sales"} | (wanted if "dates" in wanted else TEN | wanted)),
        "user:ada",
        bench.clock.now(),
    )
    return await bench.store.create_backfill(made.new)


async def stands(bench: Rig, row: BackfillRow) -> BackfillRow:
    found = await bench.store.backfill(PROJECT, row.no)
    assert found is not None
    return found


async def counts(bench: Rig, row: BackfillRow) -> dict[str, int]:
    return (await bench.store.backfill_counts([row.no]))[row.no]


async def runs(bench: Rig) -> Sequence[RunRow]:
    """Oldest first."""
    return (await bench.store.list_runs(PROJECT, limit=500))[::-1]


def live(rows: Sequence[RunRow]) -> list[RunRow]:
    return [row for row in rows if not RunState(row.state).final]


async def test_a_run_is_given_what_the_schedule_would_have_given_it(bench: Rig) -> None:
    await registered(bench)
    row = await asked(bench, dates=("2023-11-10",))
    await tick(bench)
    [run] = await runs(bench)
    assert run.scheduled_at == 1_699_563_600.0  # 2023-11-09T21:00:00Z
    assert json.loads(run.params) == {"day": "2023-11-10", "since": "2023-11-08T21:00:00Z"}
    assert json.loads(run.trigger) == {
        "kind": "cron",
        "schedule": "sales.daily",
        "date": "2023-11-10",
        "backfill": row.no,
    }
    assert json.loads(run.event or b"")["next_at"] == "2023-11-10T21:00:00Z"
    assert run.priority == "low"
    await tick(bench)
    done = await stands(bench, row)
    assert (done.state, done.due_at, done.finished_at) == ("done", None, bench.clock.now())
    assert await counts(bench, row) == {"succeeded": 1}


async def test_what_is_asked_for_is_laid_over_what_the_trigger_gives(bench: Rig) -> None:
    await registered(bench)
    await asked(bench, dates=("2023-11-10",), params={"since": "ever"}, priority="high")
    await tick(bench)
    [run] = await runs(bench)
    assert json.loads(run.params) == {"day": "2023-11-10", "since": "ever"}
    assert run.priority == "high"


async def test_its_runs_may_be_of_a_part_of_the_workflow(bench: Rig) -> None:
    tasks = 'tasks: {load: {python: "bodies:body"}, mail: {python: "bodies:body", depends_on: load}}'
    await registered(bench, DAILY.replace('tasks: {load: {python: "bodies:body"}}', tasks))
    row = await asked(bench, dates=("2023-11-10",), exclude=("mail",))
    await tick(bench)
    [run] = await runs(bench)
    trigger = json.loads(run.trigger)
    assert (trigger["backfill"], trigger["exclude"], trigger["selected"]) == (row.no, ["mail"], ["load"])
    assert bench.worker.names == ["load"]
    with pytest.raises(Refused, match="laod") as refused:
        await asked(bench, select=("laod",))
    assert refused.value.field == "select"


async def test_a_part_that_a_newer_version_does_not_have_is_told(bench: Rig) -> None:
    await registered(bench)
    row = await asked(bench, dates=("2023-11-10",), select=("load",))
    await registered(bench, DAILY.replace("{load: {", "{fetch: {"))
    await tick(bench)
    assert await counts(bench, row) == {"refused": 1}
    assert "load" in ((await stands(bench, row)).problem or "")


@pytest.mark.parametrize("order", ["forward", "backward"])
async def test_each_moment_has_one_run_in_order_and_no_more_go_on_than_may(bench: Rig, order: str) -> None:
    await registered(bench)
    row = await asked(bench, order=order, max_active=3)
    bench.worker.body = lambda dispatch: HOLD
    tickers = [ticker(bench) for _ in range(4)]
    first = 1_699_218_000.0
    turns = sorted((first + 86_400 * day for day in range(10)), reverse=order == "backward")
    for _ in range(40):
        await asyncio.gather(*(each.tick() for each in tickers))
        await bench.settle()
        going = live(begun := await runs(bench))
        assert len(going) <= 3
        assert sorted(run.scheduled_at for run in begun) == sorted(turns[: len(begun)])
        if going:
            await bench.worker.finish("load")
        await bench.settle()
    assert len(await runs(bench)) == 10
    assert await counts(bench, row) == {"succeeded": 10}
    assert (await stands(bench, row)).state == "done"


class DyingStore:
    """Loses the connection before, or after, a step is written."""

    def __init__(self, store: Any, *, written: bool) -> None:
        self._store = store
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def advance_backfills(self, steps: Sequence[BackfillStep]) -> list[BackfillStep]:
        if self._written:
            await self._store.advance_backfills(steps)
        raise StoreUnavailable("gone")


@pytest.mark.parametrize("written", [False, True])
async def test_an_engine_that_dies_around_the_commit_loses_and_doubles_nothing(
    bench: Rig, written: bool
) -> None:
    await registered(bench)
    row = await asked(bench, max_active=2)
    with pytest.raises(StoreUnavailable):
        await ticker(bench, DyingStore(bench.store, written=written)).tick()
    for _ in range(12):
        with suppress(StoreUnavailable):
            await ticker(bench, DyingStore(bench.store, written=written)).tick()
        bench.engine.wake()  # an engine that was not nudged reads its inbox all the same
        await bench.settle()
        await tick(bench)
    assert Counter(run.scheduled_at for run in await runs(bench)).most_common(1)[0][1] == 1
    assert await counts(bench, row) == {"succeeded": 10}


async def test_what_has_its_run_is_passed_over_and_what_the_schedule_begins_is_not_begun_again(
    bench: Rig,
) -> None:
    await registered(bench)
    first = await asked(bench, dates=("2023-11-10",))
    await tick(bench, 2)
    second = await asked(bench)
    await tick(bench, 4)
    assert len(await runs(bench)) == 10
    assert await counts(bench, second) == {"succeeded": 9, "passed": 1}
    [passed] = await bench.store.backfill_moments(second.no, state="passed")
    [begun] = await bench.store.backfill_moments(first.no)
    assert passed.run == begun.run


async def test_reprocessing_what_failed_and_reprocessing_all(bench: Rig) -> None:
    await registered(bench)
    bench.worker.body = lambda dispatch: fails(retryable=False)
    failed = await asked(bench, dates=("2023-11-10", "2023-11-11"))
    await tick(bench, 2)
    assert await counts(bench, failed) == {"failed": 2}
    bench.worker.body = lambda dispatch: Answer()
    again = await asked(bench, dates=("2023-11-10", "2023-11-12"), reprocess="failed")
    await tick(bench, 2)
    assert await counts(bench, again) == {"succeeded": 2}
    missing = await asked(bench, dates=("2023-11-10", "2023-11-11", "2023-11-12"))
    await tick(bench, 2)
    assert await counts(bench, missing) == {"passed": 3}
    rest = await asked(bench, dates=("2023-11-10", "2023-11-11", "2023-11-12"), reprocess="failed")
    await tick(bench, 2)
    assert await counts(bench, rest) == {"passed": 2, "succeeded": 1}
    every = await asked(bench, dates=("2023-11-10", "2023-11-11", "2023-11-12"), reprocess="all")
    await tick(bench, 2)
    assert await counts(bench, every) == {"succeeded": 3}
    by_moment = Counter(run.scheduled_at for run in await runs(bench))
    assert sorted(by_moment.values()) == [2, 3, 3]


async def test_two_backfills_of_what_failed_rerun_it_once(bench: Rig) -> None:
    await registered(bench)
    bench.worker.body = lambda dispatch: fails(retryable=False)
    await asked(bench, dates=("2023-11-10",))
    await tick(bench, 2)
    bench.worker.body = lambda dispatch: HOLD
    one = await asked(bench, dates=("2023-11-10",), reprocess="failed")
    other = await asked(bench, dates=("2023-11-10",), reprocess="failed")
    await tick(bench, 3)
    assert len(await runs(bench)) == 2
    states = [await counts(bench, row) for row in (one, other)]
    assert sorted(map(str, states)) == ["{'passed': 1}", "{'started': 1}"]


async def test_a_pause_begins_nothing_and_its_runs_go_on(bench: Rig) -> None:
    await registered(bench)
    bench.worker.body = lambda dispatch: HOLD
    row = await asked(bench, max_active=2)
    await tick(bench)
    await bench.store.set_backfill(PROJECT, row.no, bench.clock.now(), by="ada", state="paused")
    await bench.worker.finish("load")
    await bench.settle()
    await tick(bench, 2)
    assert await counts(bench, row) == {"waiting": 8, "started": 1, "succeeded": 1}
    await bench.store.set_backfill(PROJECT, row.no, bench.clock.now(), by="ada", state="running")
    await tick(bench)
    assert await counts(bench, row) == {"waiting": 7, "started": 2, "succeeded": 1}


async def test_a_larger_limit_is_used_at_once(bench: Rig) -> None:
    await registered(bench)
    bench.worker.body = lambda dispatch: HOLD
    row = await asked(bench, max_active=1)
    await tick(bench)
    await bench.store.set_backfill(
        PROJECT, row.no, bench.clock.now(), by="ada", max_active=4, priority="normal"
    )
    await tick(bench)
    assert [run.priority for run in await runs(bench)] == ["low", "normal", "normal", "normal"]


async def test_a_cancelled_one_is_over_when_its_runs_are(bench: Rig) -> None:
    await registered(bench)
    bench.worker.body = lambda dispatch: HOLD
    row = await asked(bench, max_active=2)
    await tick(bench)
    await bench.store.set_backfill(
        PROJECT, row.no, bench.clock.now(), by="ada", state="cancelled", stop=b'{"by":"ada","reason":null}'
    )
    await tick(bench)
    assert (await stands(bench, row)).finished_at is None
    bench.engine.wake()
    await bench.settle()
    await tick(bench, 2)
    assert await counts(bench, row) == {"waiting": 8, "cancelled": 2}
    over = await stands(bench, row)
    assert (over.state, over.finished_at) == ("cancelled", bench.clock.now())
    assert await ticker(bench).tick() > LOOK_EVERY


async def test_a_paused_workflow_is_waited_for(bench: Rig) -> None:
    await registered(bench)
    row = await asked(bench)
    await bench.store.set_workflow(PROJECT, "sales", bench.clock.now(), paused=True)
    await tick(bench)
    assert await runs(bench) == []
    await bench.store.set_workflow(PROJECT, "sales", bench.clock.now(), paused=False)
    await bench.advance(6)
    await tick(bench, 4)
    assert await counts(bench, row) == {"succeeded": 10}


async def test_a_moment_whose_run_cannot_be_had_is_refused_and_the_others_go_on(bench: Rig) -> None:
    await registered(bench)
    row = await asked(bench)
    await registered(
        bench, DAILY.replace('since: {type: [string, "null"]', "since: {type: [integer, 'null']")
    )
    await tick(bench, 2)
    assert await counts(bench, row) == {"refused": 10}
    done = await stands(bench, row)
    assert done.state == "done"
    assert "since" in (done.problem or "")


async def test_many_moments_are_dealt_with_share_by_share(bench: Rig) -> None:
    await registered(bench, DAILY.replace("0 6 * * *", "0 * * * *"))
    row = await asked(bench, max_active=200)
    await tick(bench, 3)
    assert await counts(bench, row) == {"succeeded": 224}  # the last day has had 8 of its 24 hours


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"workflow": "none"}, "no_workflow", "workflow"),
        ({"schedule": "nightly"}, "no_schedule", "schedule"),
        ({"begin": "soon"}, "invalid", "from"),
        ({"begin": "2023-11-06T06:00:00"}, "invalid", "from"),
        ({"begin": None}, "invalid", "from"),
        ({"end": None}, "invalid", "to"),
        ({"begin": "2023-11-12", "end": "2023-11-10"}, "invalid", "to"),
        ({"begin": "9999-12-31", "end": "9999-12-31"}, "invalid", "from"),
        ({"end": "2023-11-16"}, "in_the_future", "to"),
        ({"dates": ("2023-11-16",)}, "in_the_future", "dates"),
        ({"dates": ("x",)}, "invalid", "dates"),
        ({"begin": "2023-11-06T00:00:00Z", "end": "2023-11-06T01:00:00Z"}, "nothing_to_do", "from"),
        ({"begin": "1990-01-01"}, "too_many_moments", "from"),
        ({"params": {"unknown": 1}}, "cannot_start", "params"),
    ],
)
async def test_what_no_backfill_comes_of_is_refused(
    bench: Rig, wanted: dict[str, Any], code: str, field: str
) -> None:
    await registered(bench)
    with pytest.raises(Refused) as refused:
        await asked(bench, **wanted)
    assert (refused.value.code, refused.value.field) == (code, field)


async def test_an_outlook_counts_what_there_is(bench: Rig) -> None:
    await registered(bench)
    await asked(bench, dates=("2023-11-10",))
    await tick(bench, 2)
    wanted = Wanted(workflow="sales", begin=TEN["begin"], end=TEN["end"])
    made = await outlook(bench.store, firing(bench), PROJECT, wanted, "ada", bench.clock.now())
    assert (made.found, len(made.todo), len(made.new.moments)) == ({"missing": 9, "succeeded": 1}, 9, 10)
