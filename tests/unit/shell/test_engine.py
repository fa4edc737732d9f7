"""The engine on a real store and broker, turn by turn: what users see, and what survives which fault."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.core.workflow import Timeouts
from headrace.engine.ports.messages import ErrorInfo
from headrace.engine.shell.commands import RerunBody, StopBody, TaskBody
from headrace.engine.shell.plans import KEPT
from tests.support.flows import flow, gate, noop, over, py, sleep, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, fails, rig


async def test_a_diamond_runs_in_order_and_replays_without_a_difference(bench: Rig) -> None:
    view = await bench.run(flow(py("a"), py("b", "a"), py("c", "a"), py("d", "b", "c")))
    assert view.run.state == 6
    assert bench.worker.names[0] == "a"
    assert bench.worker.names[-1] == "d"
    assert {task.state for task in view.tasks} == {"succeeded"}
    await bench.agrees(view.run.no)


async def test_outputs_reach_downstream_inputs_expressions_and_the_run(bench: Rig) -> None:
    plan = flow(
        py("a"),
        py("b", with_={"rows": "${{ tasks.a.output.rows }}"}),
        noop("c", when="tasks.b.output > 1"),
        output={"b": "${{ tasks.b.output }}"},
    )
    bench.worker.body = lambda d: Answer(
        output={"rows": 3} if d.job.task_id == "a" else d.inputs["with"]["rows"]
    )
    view = await bench.run(plan)
    assert json.loads(view.run.output or b"") == {"b": 3}
    assert (await bench.states(view.run.no))["c"] == "succeeded"
    await bench.agrees(view.run.no)


async def test_a_mapped_task_keeps_the_order_of_its_items(bench: Rig) -> None:
    plan = flow(
        py("list"),
        py("each", map=over("${{ tasks.list.output }}"), with_={"x": "${{ item }}"}),
        py("sum", with_={"all": "${{ tasks.each.output }}"}),
        output="${{ tasks.sum.output }}",
    )

    def body(dispatch: Any) -> Answer:
        match dispatch.job.task_id:
            case "list":
                return Answer(output=[5, 6, 7])
            case "each":
                return Answer(output=dispatch.inputs["with"]["x"] * 2)
            case _:
                return Answer(output=dispatch.inputs["with"]["all"])

    bench.worker.body = body
    view = await bench.run(plan)
    assert json.loads(view.run.output or b"") == [10, 12, 14]
    assert [(t.written, t.map_index, t.state) for t in view.tasks if t.id == "each"] == [
        ("each[0]", 0, "succeeded"),
        ("each[1]", 1, "succeeded"),
        ("each[2]", 2, "succeeded"),
    ]
    await bench.agrees(view.run.no)


async def test_a_failed_attempt_is_retried_with_its_stored_inputs_when_its_delay_has_passed(
    bench: Rig,
) -> None:
    plan = flow(py("a"), py("b", with_={"x": "${{ tasks.a.output }}"}, retry=tries(2, 30)))
    bench.worker.body = lambda d: (
        Answer(output=7) if d.job.task_id == "a" else fails() if d.attempt == 1 else Answer()
    )
    row = await bench.submit(plan)
    await bench.settle()
    assert (await bench.states(row.no))["b"] == "retrying"
    await bench.advance(29)
    assert (await bench.states(row.no))["b"] == "retrying"
    await bench.advance(1)
    view = await bench.view(row.no)
    (b,) = [task for task in view.tasks if task.id == "b"]
    assert (b.state, b.attempts) == ("succeeded", 2)
    assert bench.worker.seen[-1].inputs["with"] == {"x": 7}
    await bench.agrees(row.no)


async def test_what_failed_for_good_is_a_dead_letter_and_shows_its_error(bench: Rig) -> None:
    view_body = fails("no such column", "KeyError", retryable=False)
    bench.worker.body = lambda d: view_body
    view = await bench.run(flow(py("a"), py("b", "a")))
    assert view.run.reason == "tasks_failed"
    a, b = view.tasks
    assert a.error == {"kind": "KeyError", "message": "no such column"}
    assert b.state == "upstream_failed"
    letters = await bench.store.dead_letters("default")
    assert [(letter.run, letter.task, letter.attempt) for letter in letters] == [(view.run.no, 0, 1)]


async def test_a_sleep_waits_without_a_worker_and_ends_with_its_timer(bench: Rig) -> None:
    row = await bench.submit(flow(sleep("nap", 3600), py("after", "nap")))
    await bench.settle()
    assert bench.engine.in_flight == 0
    await bench.advance(3599)
    assert bench.worker.names == []
    await bench.advance(1)
    assert bench.worker.names == ["after"]
    assert (await bench.row(row.no)).state == 6


async def test_reports_that_are_late_repeated_or_of_another_delivery_change_nothing(bench: Rig) -> None:
    """faults 19, 20, 54."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    (dispatch,) = bench.worker.seen
    await bench.worker.report(dispatch, Answer(), n=dispatch.n + 1)
    await bench.worker.report(dispatch, Answer(), epoch=dispatch.epoch - 1)
    await bench.worker.report(dispatch, Answer(), attempt=2)
    await bench.worker.report(dispatch, Answer(), generation=2)
    commits = bench.engine.counters.commits
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "dispatched"
    assert bench.engine.counters.commits == commits
    assert bench.engine.counters.stale == 4
    for _ in range(3):
        await bench.worker.report(dispatch, Answer())
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "succeeded"
    assert bench.worker.names == ["a", "b"]
    assert bench.engine.counters.stale == 6


async def test_cancel_aborts_what_runs_and_cancels_what_has_not_started(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    await bench.command(row.no, "cancel", StopBody("ann", "not today"))
    await bench.settle()
    assert [key[:4] for key in bench.worker.aborted] == [(row.no, 1, 0, 0)]
    assert await bench.states(row.no) == {"a": "cancelled", "b": "cancelled"}
    assert (await bench.row(row.no)).state == 10
    await bench.agrees(row.no)


async def test_a_command_that_makes_no_sense_is_refused_and_leaves_the_inbox(bench: Rig) -> None:
    view = await bench.run(flow(py("a")))
    await bench.command(view.run.no, "cancel", StopBody("ann"))
    await bench.settle()
    assert await bench.store.inbox(0, 0, 10) == []
    assert bench.engine.counters.refused == 1
    body = (await bench.store.history(view.run.no))[-1].body
    assert b'"refused"' in body
    assert b"succeeded already" in body
    await bench.agrees(view.run.no)


async def test_pause_keeps_ready_tasks_out_of_the_line_until_resume(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD if d.job.task_id == "a" else Answer()
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    await bench.command(row.no, "pause", {"by": "ann"})
    await bench.settle()
    await bench.worker.finish("a")
    await bench.settle()
    assert bench.worker.names == ["a"]
    await bench.command(row.no, "resume", {"by": "ann"})
    await bench.settle()
    assert bench.worker.names == ["a", "b"]
    await bench.agrees(row.no)


async def test_rerun_from_failed_begins_a_generation_and_keeps_what_succeeded(bench: Rig) -> None:
    bench.worker.body = lambda d: (
        fails() if d.job.task_id == "b" and d.generation == 1 else Answer(output=d.generation)
    )
    view = await bench.run(flow(py("a"), py("b", with_={"x": "${{ tasks.a.output }}"}), py("c", "b")))
    assert view.run.state == 7
    await bench.command(view.run.no, "rerun", RerunBody("ann"))
    await bench.settle()
    after = await bench.view(view.run.no)
    assert (after.run.state, after.run.generation) == (6, 2)
    assert {t.id: t.generation for t in after.tasks} == {"a": 1, "b": 2, "c": 2}
    assert bench.worker.seen[-2].inputs["with"] == {"x": 1}
    await bench.agrees(view.run.no)


async def test_items_that_run_again_and_again_replay_with_the_elements_of_the_first_time(bench: Rig) -> None:
    """The map keeps its elements in the generation that expanded it, and its head has a row in every later one."""
    items = py(
        "item", "list", with_={"n": "${{ item }}"}, retry=tries(2), map=over("${{ tasks.list.output }}")
    )
    bench.worker.body = lambda d: Answer(output=[1, 2, 3]) if d.job.task_id == "list" else fails()
    row = await bench.submit(flow(py("list"), items))
    for command, body in (("rerun", RerunBody("ann")), ("task", TaskBody("ann", "item[1]", "retry"))):
        await bench.settle()
        await bench.advance(2)
        await bench.command(row.no, command, body)
    await bench.settle()
    await bench.advance(2)
    assert bench.worker.seen[-1].inputs["with"] == {"n": 2}
    assert (await bench.view(row.no)).run.generation == 3
    await bench.agrees(row.no)


async def test_a_person_skips_a_waiting_task(bench: Rig) -> None:
    row = await bench.submit(flow(sleep("nap", 60), noop("after", "nap", trigger_rule="none_failed")))
    await bench.settle()
    await bench.command(row.no, "task", TaskBody("ann", "nap", "skip", "enough"))
    await bench.settle()
    view = await bench.view(row.no)
    assert [(t.id, t.state, t.by) for t in view.tasks][1] == ("nap", "skipped", "ann")
    assert view.run.state == 6
    await bench.agrees(row.no)


async def test_a_plan_is_kept_while_it_is_used_and_few_are_kept_beyond(bench: Rig) -> None:
    """I10."""
    view = await bench.run(flow(py("a")))
    plans = bench.engine.plans
    used = await plans.get(view.run.plan)
    for number in range(200):
        plans.offer(flow(noop(f"t{number}")))
    gc.collect()
    assert await plans.get(view.run.plan) is used
    assert len(plans._used) <= KEPT + 1


# -- going on ----------------------------------------------------------------------------------------------------


async def test_a_large_fan_is_decided_in_slices_and_bounded_batches(bench: Rig) -> None:
    bench.worker.slots = 10_000
    await bench.worker.beat()
    plan = flow(noop("go"), *(noop(f"t{i}", "go") for i in range(5_000)))
    view = await bench.run(plan)
    assert view.run.state == 6
    assert max(len(decision.transitions) for _, decision in bench.decisions) <= 2_100
    await bench.agrees(view.run.no)


async def test_nothing_decided_is_nothing_committed(bench: Rig) -> None:
    await bench.run(flow(gate("g", "true")))
    commits = bench.engine.counters.commits
    for _ in range(5):
        assert not await bench.engine.turn(0)
    assert bench.engine.counters.commits == commits


async def test_drain_dispatches_nothing_more_and_ends_when_nothing_is_in_flight(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    draining = asyncio.create_task(bench.engine.drain())
    await asyncio.sleep(0)
    await bench.worker.finish("a")
    await bench.settle()
    await asyncio.wait_for(draining, 5)
    assert await bench.states(row.no) == {"a": "succeeded", "b": "pending"}


async def test_run_goes_on_until_stop(tmp_path: Path) -> None:
    async with rig(tmp_path) as bench:
        running = asyncio.create_task(bench.engine.run())
        row = await bench.submit(flow(py("a")))
        ended = asyncio.Event()
        bench.engine.listen(lambda no, decision: ended.set() if bench.engine.counters.runs_ended else None)
        async with asyncio.timeout(10):
            while (await bench.row(row.no)).state != 6:
                await bench.worker.step()
                await asyncio.sleep(0)
        await bench.engine.stop()
        await asyncio.wait_for(running, 5)
        assert not await bench.store.has_owner(0)


async def test_a_queue_timeout_fires_while_no_worker_serves(bench: Rig) -> None:
    plan = flow(py("a", queue="nobody", timeouts=replace(Timeouts(), queue=timedelta(minutes=5))))
    row = await bench.submit(plan)
    await bench.settle()
    await bench.advance(299)
    assert (await bench.states(row.no))["a"] == "pending"
    await bench.advance(1)
    view = await bench.view(row.no)
    assert (view.tasks[0].state, view.tasks[0].reason) == ("failed", "timed_out")
    assert bench.engine.waiting == 0


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("bound", ["queue", "total"])
async def test_what_takes_too_long_is_stopped_before_anything_follows_upon_its_failure(
    bench: Rig, bound: str, started: bool
) -> None:
    """What its worker only holds, and what it executes: a handler must not run beside the attempt that it is to clean up after."""
    bench.worker.body = lambda d: HOLD if d.job.task_id == "a" else Answer()
    bench.worker.deaf = True
    slow = py("a", timeouts=replace(Timeouts(), **{bound: timedelta(seconds=3)}))
    row = await bench.submit(flow(slow, py("undo", "a", trigger_rule="one_failed")))
    await bench.settle()
    (held,) = bench.worker.held.values()
    if started:
        await bench.worker.report(held, Answer("started"))
        await bench.settle()
    await bench.advance(3)
    if bound == "queue" and started:
        assert bench.worker.aborted == [], "it did start in time"
        return
    assert (await bench.states(row.no)) == {"a": "running" if started else "dispatched", "undo": "pending"}
    assert [key[:4] for key in bench.worker.aborted] == [(row.no, 1, 0, 0)]
    await bench.worker.report(held, Answer("cancelled"), **({} if started else {"started_at": None}))
    await bench.settle()
    view = await bench.view(row.no)
    assert [(task.state, task.reason) for task in view.tasks] == [
        ("failed", "timed_out"),
        ("succeeded", None),
    ]
    assert json.loads((await bench.store.task_rows(row.no))[0].error or b"")["reason"] == "timed_out"
    assert len(await bench.store.dead_letters("default")) == int(started), (
        "what was executed and failed for good"
    )
    await bench.agrees(row.no)


@pytest.mark.parametrize("action", ["skip", "succeed"])
async def test_an_attempt_is_stopped_when_a_person_says_how_its_task_has_ended(
    bench: Rig, action: str
) -> None:
    """The task run ends at once; what executes it need not go on."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    await bench.command(row.no, "task", TaskBody("ann", "a", action))
    await bench.settle()
    assert [key[:4] for key in bench.worker.aborted] == [(row.no, 1, 0, 0)]
    assert await bench.states(row.no) == {"a": {"skip": "skipped", "succeed": "succeeded"}[action]}
    await bench.agrees(row.no)


async def test_an_error_of_the_task_travels_whole(bench: Rig) -> None:
    error = ErrorInfo(
        "PermissionError", "denied", ["PermissionError", "OSError"], None, None, None, True, "trace"
    )
    bench.worker.body = lambda d: Answer("failed", error=error)
    view = await bench.run(flow(py("a")))
    stored = (await bench.store.task_rows(view.run.no))[0].error
    assert json.loads(stored or b"")["kinds"] == ["PermissionError", "OSError"]
    assert b"trace" not in (stored or b"")
