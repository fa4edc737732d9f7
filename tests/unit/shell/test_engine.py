"""The engine on a real store and broker, turn by turn: what users see, and what survives which fault."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.core.workflow import Limits, Pool, Timeouts
from headrace.engine.ports.messages import ErrorInfo
from headrace.engine.ports.store import Batch, OutcomeUnknown, StoreUnavailable
from headrace.engine.shell.commands import RerunBody, StopBody, TaskBody
from headrace.engine.shell.patient import PartLost
from headrace.engine.shell.plans import KEPT
from tests.support.flows import child, flow, gate, noop, over, py, sleep, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, ScriptedWorker, fails, rig


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        yield made


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


# -- children ----------------------------------------------------------------------------------------------------


async def test_a_child_runs_and_its_output_is_the_tasks(bench: Rig) -> None:
    inner = flow(
        py("work", with_={"d": "${{ params.day }}"}),
        params={"day": {"type": "string"}},
        output="${{ tasks.work.output }}",
    )
    await bench.register(inner, "inner")
    bench.worker.body = lambda d: Answer(output="did " + d.inputs["with"]["d"])
    view = await bench.run(
        flow(child("call", "inner", with_={"day": "monday"}), output="${{ tasks.call.output }}")
    )
    assert json.loads(view.run.output or b"") == "did monday"
    (made,) = await bench.store.children(view.run.no)
    assert view.tasks[0].child_run == made.id
    assert (made.depth, made.state) == (1, 6)
    await bench.agrees(view.run.no)
    await bench.agrees(made.no)


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [("nowhere", {}, "child_unknown"), ("inner", {"nope": 1}, "invalid_input")],
)
async def test_a_child_that_cannot_start_fails_its_task(
    bench: Rig, name: str, given: dict[str, Any], reason: str
) -> None:
    await bench.register(flow(py("work")), "inner")
    view = await bench.run(flow(child("call", name, with_=given)))
    assert (view.tasks[0].state, view.tasks[0].reason) == ("failed", reason)
    assert await bench.store.children(view.run.no) == []
    await bench.agrees(view.run.no)


async def test_a_child_that_is_not_waited_for_outlives_its_parent(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    await bench.register(flow(py("work")), "inner")
    view = await bench.run(flow(child("call", "inner", wait=False)))
    assert view.run.state == 6
    (made,) = await bench.store.children(view.run.no)
    assert view.tasks[0].child_run == made.id
    assert not made.finished_at
    await bench.worker.finish("work")
    await bench.settle()
    assert (await bench.row(made.no)).state == 6


async def test_cancel_goes_down_to_children_and_up_again(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    await bench.register(flow(py("work")), "inner")
    row = await bench.submit(flow(child("call", "inner")))
    await bench.settle()
    await bench.command(row.no, "cancel", StopBody("ann"))
    await bench.settle()
    (made,) = await bench.store.children(row.no)
    assert (made.state, (await bench.row(row.no)).state) == (10, 10)
    assert len(bench.worker.aborted) == 1


async def test_children_nest_eight_deep_and_no_deeper(bench: Rig) -> None:
    plan = flow(child("again", "w"))
    view = await bench.run(plan)
    assert view.run.state == 7
    deepest, depth = view.run, 0
    while below := await bench.store.children(deepest.no):
        deepest, depth = below[0], depth + 1
    assert depth == 8
    assert (await bench.view(deepest.no)).tasks[0].reason == "child_too_deep"


# -- workers -----------------------------------------------------------------------------------------------------


async def test_nobody_gets_more_than_there_is_room_for(bench: Rig) -> None:
    bench.worker.slots = 3
    await bench.worker.beat()
    bench.worker.body = lambda d: HOLD
    await bench.submit(flow(*(py(f"t{i}") for i in range(8))))
    await bench.settle()
    assert len(bench.worker.seen) == 3
    assert bench.engine.waiting == 5
    await bench.worker.finish(bench.worker.names[0])
    await bench.settle()
    assert len(bench.worker.seen) == 4


async def test_queues_and_labels_decide_who_gets_a_task(bench: Rig) -> None:
    other = ScriptedWorker(
        bench.broker, bench.clock, worker="w2", queues=("default", "gpu"), labels={"zone": "b"}, inbox=1
    )
    await other.side.start()
    row = await bench.submit(
        flow(py("x", queue="gpu"), py("y", labels={"zone": "b"}), py("z", labels={"zone": "c"}))
    )
    await bench.settle(bench.worker, other)
    assert bench.worker.seen == other.seen == []
    await other.beat()
    await bench.settle(bench.worker, other)
    assert sorted(other.names) == ["x", "y"]
    assert (await bench.states(row.no))["z"] == "pending"
    assert bench.engine.depths() == {"default": (0, 1, 0)}


async def test_priority_acts_until_the_last_moment(bench: Rig) -> None:
    bench.worker.slots = 1
    await bench.worker.beat()
    bench.worker.body = lambda d: HOLD
    await bench.submit(flow(py("a"), py("b")))
    await bench.settle()
    await bench.submit(flow(py("c")), priority="high")
    await bench.settle()
    await bench.worker.finish("a")
    await bench.settle()
    assert bench.worker.names == ["a", "c"]


async def test_what_a_worker_hands_back_costs_no_attempt_and_it_gets_nothing_until_its_next_beat(
    bench: Rig,
) -> None:
    answers = iter([Answer("handed_back"), Answer()])
    bench.worker.body = lambda d: next(answers)
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "queued"
    await bench.worker.beat()
    await bench.settle()
    view = await bench.view(row.no)
    assert (view.tasks[0].state, view.tasks[0].attempts) == ("succeeded", 1)
    assert bench.worker.seen[1].n > bench.worker.seen[0].n
    await bench.agrees(row.no)


async def test_a_new_incarnation_ends_what_the_old_one_had(bench: Rig) -> None:
    """faults 53: started attempts cost a try, others do not."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b"), py("c", on_lost="fail")))
    await bench.settle()
    started = next(d for d in bench.worker.seen if d.job.task_id == "a")
    await bench.worker.report(started, Answer("started"))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "running"
    bench.worker.held.clear()
    bench.worker.incarnation = "i2"
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    for _ in range(4):
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts, t.reason) for t in view.tasks} == {
        "a": ("succeeded", 2, None),
        "b": ("succeeded", 1, None),
        "c": ("failed", 1, "lease_lost"),
    }
    await bench.agrees(row.no)


async def test_a_result_that_was_reported_before_the_restart_counts(bench: Rig) -> None:
    """E8, crash point 8: the new incarnation is heard before the old one's last report is read."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b", on_lost="fail")))
    await bench.settle()
    started = next(d for d in bench.worker.seen if d.job.task_id == "a")
    await bench.worker.report(started, Answer("started"))
    await bench.settle()
    await bench.worker.finish("a")
    await bench.worker.finish("b")
    bench.worker.incarnation = "i2"
    await bench.worker.beat()
    for _ in range(4):
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts) for t in view.tasks} == {"a": ("succeeded", 1), "b": ("succeeded", 1)}
    await bench.agrees(row.no)


async def test_a_lease_that_is_not_renewed_is_lost_and_one_that_is_lives_on(bench: Rig) -> None:
    """faults 53, 55."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b")))
    await bench.settle()
    for dispatch in bench.worker.seen:
        await bench.worker.report(dispatch, Answer("started"))
    await bench.settle()
    lost = next(key for key, d in bench.worker.held.items() if d.job.task_id == "a")
    del bench.worker.held[lost]
    bench.worker.body = lambda d: Answer()
    for _ in range(40):
        await bench.worker.alive(1)
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts) for t in view.tasks} == {"a": ("succeeded", 2), "b": ("running", 1)}
    assert [key[2] for ask in bench.worker.asked for key in ask.keys or []] != []


async def test_an_unanswered_dispatch_is_asked_after_and_sent_again_when_unknown(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    for _ in range(7):
        await bench.advance(1)
    (ask,) = bench.worker.asked
    assert ask.keys == [(row.no, 1, 0, 0, 1)]
    (dispatch,) = bench.worker.seen
    bench.worker.body = lambda d: Answer()
    await bench.worker.report(dispatch, Answer("unknown"))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "succeeded"
    assert [d.attempt for d in bench.worker.seen] == [1, 1]
    await bench.agrees(row.no)


async def test_a_worker_without_beats_gets_nothing_and_its_unstarted_work_goes_elsewhere(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    other = ScriptedWorker(bench.broker, bench.clock, worker="w2", inbox=1)
    await other.side.start()
    for _ in range(8):
        bench.clock.advance(1)
        await other.beat()
        await bench.settle(bench.worker, other)
    assert other.names == ["a"]
    assert (await bench.states(row.no))["a"] == "succeeded"


# -- limits ------------------------------------------------------------------------------------------------------


async def test_active_runs_lets_the_next_run_start_when_one_has_ended(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    plan = flow(py("a"), limits=Limits(active_runs=1))
    first, second = await bench.submit(plan), await bench.submit(plan)
    await bench.settle()
    assert [(await bench.row(no)).state for no in (first.no, second.no)] == [1, 0]
    await bench.worker.finish("a")
    await bench.settle()
    assert [(await bench.row(no)).state for no in (first.no, second.no)] == [6, 1]


async def test_a_pool_grants_its_slots_and_no_more(tmp_path: Path) -> None:
    async with rig(tmp_path, pools={"db": 2}) as bench:
        bench.worker.body = lambda d: HOLD
        row = await bench.submit(flow(*(py(f"t{i}", pool=Pool("db")) for i in range(3))))
        await bench.settle()
        assert len(bench.worker.seen) == 2
        await bench.worker.finish(bench.worker.names[0])
        await bench.settle()
        assert len(bench.worker.seen) == 3
        for name in bench.worker.names[1:]:
            await bench.worker.finish(name)
        await bench.settle()
        assert (await bench.row(row.no)).state == 6
        await bench.agrees(row.no)


# -- crashes -----------------------------------------------------------------------------------------------------


async def crash(bench: Rig) -> None:
    """The engine dies without a word; a new one claims the part."""
    bench.engine._forget()
    await bench.store.release(0, "engine")
    bench.make()
    await bench.engine.start()


async def test_after_a_crash_everything_goes_on_where_it_was_committed(bench: Rig) -> None:
    """faults 16 of the crash points: in the embedded mode no attempt outlives the engine."""
    bench.worker.body = lambda d: HOLD if d.job.task_id == "b" else Answer(output=1)
    row = await bench.submit(
        flow(py("a"), py("b", "a", retry=tries(2, 0)), py("c", "b"), sleep("nap", 50), py("d", "nap"))
    )
    await bench.settle()
    (b,) = [d for d in bench.worker.seen if d.job.task_id == "b"]
    await bench.worker.report(b, Answer("started"))
    await bench.settle()
    await crash(bench)
    bench.worker.held.clear()
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    await bench.advance(0.5)
    assert (await bench.states(row.no))["b"] == "succeeded"
    await bench.advance(50)
    view = await bench.view(row.no)
    assert view.run.state == 6
    assert bench.worker.names.count("a") == 1
    assert next(t for t in view.tasks if t.id == "b").attempts == 2
    await bench.agrees(row.no)


async def test_a_new_owner_leaves_attempts_with_workers_that_still_hold_them(tmp_path: Path) -> None:
    """E9: what is held stays, what is not held is sent again with a new delivery and the same attempt."""
    async with rig(tmp_path, sole=False) as bench:
        bench.worker.body = lambda d: HOLD
        row = await bench.submit(flow(py("a"), py("b")))
        await bench.settle()
        gone = next(key for key, d in bench.worker.held.items() if d.job.task_id == "b")
        del bench.worker.held[gone]
        await crash(bench)
        await bench.worker.beat()
        await bench.settle()
        assert any(ask.keys is None for ask in bench.worker.asked)
        assert bench.worker.names == ["a", "b"]
        bench.worker.body = lambda d: Answer()
        await bench.worker.alive(2)
        await bench.settle()
        assert bench.worker.names == ["a", "b", "b"]
        await bench.worker.finish("a")
        await bench.settle()
        view = await bench.view(row.no)
        assert {t.id: (t.state, t.attempts) for t in view.tasks} == {
            "a": ("succeeded", 1),
            "b": ("succeeded", 1),
        }


async def test_a_stale_owner_writes_and_sends_nothing(bench: Rig) -> None:
    """faults 23, 24."""
    row = await bench.submit(flow(py("a")))
    await bench.store.release(0, "engine")
    await bench.store.claim(0, "another")
    with pytest.raises(PartLost):
        await bench.settle()
    await bench.worker.step()
    assert bench.worker.seen == []
    assert (await bench.row(row.no)).state == 0
    assert bench.engine.live == 0


class Faulty:
    """The real store, but for what a test makes go wrong. `fail` gives, call by call, what commit does."""

    def __init__(self, store: Any, *fail: str) -> None:
        self._store = store
        self._fail = list(fail)
        self.commits: list[int] = []
        self.was_away = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        how = self._fail.pop(0) if self._fail else "well"
        self.commits.append(batches[0].seq)
        if how == "away":
            self.was_away.set()
            raise StoreUnavailable("it is away")
        if how == "lost":
            raise OutcomeUnknown
        lost: list[int] = await self._store.commit(batches)
        if how == "unanswered":
            raise OutcomeUnknown
        return lost

    async def settle(self, batches: Sequence[Batch]) -> bool:
        # The store's own answer for SQLite is moot: its connection cannot die. The history tells.
        row = batches[0].history[0]
        return any(past.seq == row.seq for past in await self._store.history(row.run))


@pytest.mark.parametrize("fault", ["away", "lost", "unanswered"])
async def test_a_commit_that_fails_or_whose_answer_is_lost_happens_once(tmp_path: Path, fault: str) -> None:
    """faults 28, 33, 34, 38."""
    async with rig(tmp_path) as bench:
        faulty = Faulty(bench.store, "well", fault, "well")
        await bench.engine.stop()
        bench.make(faulty)
        await bench.engine.start()
        row = await bench.submit(flow(py("a"), py("b", "a")))
        await bench.settle()
        assert await bench.states(row.no) == {"a": "succeeded", "b": "succeeded"}
        assert bench.worker.names == ["a", "b"]
        assert bench.engine.trouble is None
        repeated = len(faulty.commits) - len(set(faulty.commits))
        assert repeated == (0 if fault == "unanswered" else 1)
        await bench.agrees(row.no)


async def test_a_run_whose_machine_fails_is_set_aside_and_the_others_go_on(
    bench: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """faults 45: what is wrong with one run concerns that run only."""
    from headrace.engine.core.machine import RunMachine

    bench.worker.body = lambda d: HOLD
    bad, good = await bench.submit(flow(py("a"))), await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    decide = RunMachine.decide_at_once

    def broken(self: RunMachine, decision: Any, events: Any) -> Any:
        if self.info.no == bad.no:
            raise AssertionError("a fault of ours")
        return decide(self, decision, events)

    monkeypatch.setattr(RunMachine, "decide_at_once", broken)
    for dispatch in list(bench.worker.held.values()):
        await bench.worker.report(dispatch, Answer())
    bench.worker.body = lambda d: Answer()
    await bench.settle()
    assert (await bench.row(good.no)).state == 6
    assert (await bench.states(bad.no))["a"] == "dispatched"
    assert "a fault of ours" in bench.engine.counters.broken[bad.no]
    assert "set aside" in caplog.text
    monkeypatch.setattr(RunMachine, "decide_at_once", decide)
    await crash(bench)
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(bad.no)).state == 6


@pytest.mark.parametrize("when", ["with it", "before it"])
async def test_what_a_run_that_is_set_aside_was_told_waits_until_it_is_decided_again(
    bench: Rig, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its child ends in the turn that fails, or later: nobody would tell it a second time."""
    from headrace.engine.core.machine import RunMachine

    await bench.register(flow(py("a")), "inner")
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(child("call", "inner"), py("b")))
    await bench.settle()
    assert sorted(bench.worker.names) == ["a", "b"]
    decide = RunMachine.decide_at_once

    def broken(self: RunMachine, decision: Any, events: Any) -> Any:
        if self.info.no == row.no:
            raise AssertionError("a fault of ours")
        return decide(self, decision, events)

    monkeypatch.setattr(RunMachine, "decide_at_once", broken)
    if when == "before it":
        await bench.worker.finish("b")
        await bench.settle()
        assert row.no in bench.engine.broken
    await bench.worker.finish("a")
    await bench.settle()
    assert row.no in bench.engine.broken
    monkeypatch.setattr(RunMachine, "decide_at_once", decide)
    await crash(bench)
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(row.no)).state == 6


async def test_a_damaged_run_is_set_aside_and_the_others_are_taken_over(bench: Rig, tmp_path: Path) -> None:
    """faults 45: a flipped byte concerns its run only."""
    bench.worker.body = lambda d: HOLD
    bad, good = await bench.submit(flow(py("a"))), await bench.submit(flow(py("a")))
    await bench.settle()
    with closing(sqlite3.connect(tmp_path / "rig.db")) as database:
        database.execute("update runs set params = ? where no = ?", (b'{"x":1}', bad.no))
        database.commit()
    await crash(bench)
    bench.worker.held.clear()
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(good.no)).state == 6
    assert "damaged" in bench.engine.broken[bad.no]


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


async def test_an_engine_that_waits_for_its_store_ends_quietly_when_told_to_stop(tmp_path: Path) -> None:
    async with rig(tmp_path) as bench:
        await bench.engine.stop()
        faulty = Faulty(bench.store, *["away"] * 1_000)
        engine = bench.make(faulty)
        await engine.start()
        running = asyncio.create_task(engine.run())
        await bench.submit(flow(py("a")))
        await asyncio.wait_for(faulty.was_away.wait(), 10)
        assert not running.done()
        await engine.stop()
        await running


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


async def test_an_error_of_the_task_travels_whole(bench: Rig) -> None:
    error = ErrorInfo(
        "PermissionError", "denied", ["PermissionError", "OSError"], None, None, None, True, "trace"
    )
    bench.worker.body = lambda d: Answer("failed", error=error)
    view = await bench.run(flow(py("a")))
    stored = (await bench.store.task_rows(view.run.no))[0].error
    assert json.loads(stored or b"")["kinds"] == ["PermissionError", "OSError"]
    assert b"trace" not in (stored or b"")
