"""What people are shown, and what replay says when history and store do not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.store import HistoryRow, TaskRow
from headrace.engine.shell.replay import replay
from headrace.engine.shell.views import Change, Changes, RunUnknown, run_view
from tests.support.flows import flow, group, noop, over, py, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, fails


async def test_what_has_no_row_is_pending_and_groups_are_not_listed(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    plan = flow(
        py("a"),
        py("late", map=over("${{ tasks.a.output }}")),
        group("each", py("x"), py("deep", map=over([1])), map=over("${{ tasks.a.output }}")),
        group("plain", py("y", "a")),
    )
    view = await bench.run(plan)
    assert {(t.written, t.map_index, t.map_path, t.state) for t in view.tasks} == {
        ("a", None, (), "dispatched"),
        ("late", None, (), "pending"),
        ("each.x", None, (), "pending"),
        ("each.deep", None, (), "pending"),
        ("plain.y", None, (), "pending"),
    }
    assert view.counts() == {"dispatched": 1, "pending": 4}


async def test_a_group_that_failed_by_its_output_is_listed_for_no_task_tells_of_it(bench: Rig) -> None:
    bad = "${{ tasks.x.output.rows }}"
    plan = flow(
        group("each", noop("x"), output="${{ 1 / item }}", map=over([1, 0])),
        group("plain", noop("x"), output=bad),
        group("well", noop("x"), output="${{ tasks.x.output }}"),
    )
    view = await bench.run(plan)
    failed = [t for t in view.tasks if t.state == "failed"]
    assert [(t.written, t.kind, t.reason) for t in failed] == [
        ("each[1]", "group", "expression_error"),
        ("plain", "group", "expression_error"),
    ]
    assert failed[1].error is not None
    assert "rows" in failed[1].error["message"]
    assert {t.written for t in view.tasks} == {
        "each[1]",
        "each.x[0]",
        "each.x[1]",
        "plain",
        "plain.x",
        "well.x",
    }


async def test_items_are_listed_by_index_and_path_and_empty_maps_once(bench: Rig) -> None:
    plan = flow(
        group("each", py("x"), py("deep", map=over("${{ item }}")), map=over([[1, 2], [], [3]])),
        py("none", map=over([])),
    )
    view = await bench.run(plan)
    assert [(t.written, t.map_index, t.map_path, t.state) for t in view.tasks] == [
        ("none", None, (), "skipped"),
        ("each.deep[0,0]", 0, (0, 0), "succeeded"),
        ("each.deep[0,1]", 1, (0, 1), "succeeded"),
        ("each.deep[1]", None, (1,), "skipped"),
        ("each.deep[2,0]", 0, (2, 0), "succeeded"),
        ("each.x[0]", 0, (0,), "succeeded"),
        ("each.x[1]", 1, (1,), "succeeded"),
        ("each.x[2]", 2, (2,), "succeeded"),
    ]


async def test_tasks_of_a_mapped_group_that_is_never_entered_say_so(bench: Rig) -> None:
    bench.worker.body = lambda d: fails()
    plan = flow(py("a"), group("each", py("x"), map=over([1]), after=("a",)))
    view = await bench.run(plan)
    assert [(t.written, t.state) for t in view.tasks] == [("a", "failed"), ("each.x", "upstream_failed")]


async def test_a_task_run_shows_its_times_attempts_and_error(bench: Rig) -> None:
    bench.worker.body = lambda d: fails("no", "OSError") if d.attempt == 1 else HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0))))
    await bench.settle()
    await bench.advance(1)
    bench.clock.advance(2.5)
    began = bench.clock.now() - 2
    (held,) = bench.worker.held.values()
    await bench.worker.report(held, Answer(), started_at=began, finished_at=began + 1.25)
    await bench.settle()
    (task,) = (await bench.view(row.no)).tasks
    assert (task.state, task.attempts, task.error, task.duration_seconds) == ("succeeded", 2, None, 1.25)


async def test_an_unknown_run_is_named(bench: Rig) -> None:
    with pytest.raises(RunUnknown, match="77"):
        await run_view(bench.store, 77)


async def test_changes_tell_the_run_and_its_tasks_in_order(bench: Rig) -> None:
    plan = flow(py("a"))
    told: list[Change] = []
    changes = Changes(plan, RunState.QUEUED)
    bench.engine.listen(lambda no, decision: told.extend(changes.decided(decision)))
    await bench.run(plan)
    assert [(change.task, change.before, change.after) for change in told] == [
        (None, "queued", "running"),
        ("a", "pending", "dispatched"),
        ("a", "dispatched", "succeeded"),
        (None, "running", "succeeded"),
    ]
    assert changes.final


class Altered:
    """The real store, read through glasses that change what replay compares."""

    def __init__(
        self,
        store: Any,
        *,
        rows: Callable[[TaskRow], TaskRow] = lambda row: row,
        history: Callable[[HistoryRow], HistoryRow] = lambda row: row,
    ) -> None:
        self._store, self._rows, self._history = store, rows, history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def task_rows(self, run: int) -> list[TaskRow]:
        return [self._rows(row) for row in await self._store.task_rows(run)]

    async def history(self, run: int, after: int = 0) -> list[HistoryRow]:
        return [self._history(row) for row in await self._store.history(run, after)]


async def test_replay_names_every_kind_of_difference(bench: Rig) -> None:
    bench.worker.body = lambda d: Answer(output=1)
    view = await bench.run(flow(py("a"), noop("b", "a")))
    no = view.run.no
    evaluator = CelEvaluator()

    async def differences(**altered: Any) -> str:
        return "\n".join(await replay(Altered(bench.store, **altered), evaluator, no))

    assert await differences() == ""
    found = await differences(rows=lambda row: row._replace(attempt=9) if row.task == 0 else row)
    assert found == "a of generation 1: attempt is 9 in the store, 1 when decided again"
    found = await differences(rows=lambda row: row._replace(output=b"2") if row.task == 0 else row)
    assert "a of generation 1: output is 2 in the store, None when decided again" in found
    found = await differences(rows=lambda row: row._replace(task=1) if row.task == 0 else row)
    assert "a of generation 1: decided as succeeded, but not stored" in found
    found = await differences(
        history=lambda row: row._replace(body=row.body.replace(b"AttemptSucceeded", b"AttemptStarted  "))
    )
    assert "does not know" in found
    found = await differences(
        history=lambda row: row._replace(body=row.body.replace(b"[[0,[0,0],2,6", b"[[0,[0,0],2,7"))
    )
    assert "transition 1: a dispatched → failed (None, attempt 1) then, a dispatched → succeeded" in found
    with pytest.raises(LookupError, match="77"):
        await replay(bench.store, evaluator, 77)
