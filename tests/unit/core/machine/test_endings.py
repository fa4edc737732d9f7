"""How runs end when they are cut off, cancelled or paused at an awkward moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import CancelChild, Decision
from headrace.engine.core.evaluation import Filled
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Child, Json, Task, Timeouts
from tests.support.flows import child, flow, group, over, py, sleep, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")


def begun(plan: Plan, outcomes: dict[str, Outcome] | None = None) -> Pilot:
    pilot = Pilot(plan, script(outcomes or {}))
    pilot.feed(e.Started(0.0))
    return pilot


@pytest.mark.parametrize("landed", [1, 2, 3])
def test_a_run_cut_off_in_its_last_handlers_goes_on_to_its_end(landed: int) -> None:
    """Handlers that ended before a restart do not keep the later ones from running. faults 56"""
    handlers = {"on_failure": [py("alert")], "finally_": [py("close"), py("report", "close")]}
    pilot = begun(flow(py("a"), **handlers), {"a": FAILED})
    for _ in range(landed):
        pilot.land()
    pilot.crash()
    pilot.fly()
    assert pilot.state == "failed"
    assert pilot.states() == {
        "a": "failed",
        "alert": "succeeded",
        "close": "succeeded",
        "report": "succeeded",
    }


def test_the_queue_timeout_bounds_the_first_wait_only() -> None:
    plan = flow(py("a", retry=tries(3, 5.0), timeouts=Timeouts(queue=timedelta(seconds=3))))
    pilot = begun(plan, {"a": Outcome(fails=1)})
    pilot.land()
    pilot.feed(e.TaskAsked(pilot.now, "ann", Key(0), "retry"))
    pilot.fire()  # the queue timeout, while the second attempt is dispatched
    assert pilot.states() == {"a": "dispatched"}
    assert pilot.fly().state == "succeeded"


def test_an_attempt_lost_with_the_engine_that_was_cancelling_it_is_cancelled() -> None:
    pilot = begun(flow(py("a")))
    sent = pilot.flying.pop()
    pilot.feed(e.AttemptStarted(0.0, sent.key, sent.attempt, sent.epoch, sent.n))
    cancelling = Decision()
    pilot._decide(cancelling, [e.CancelAsked(1.0, "ann")])  # committed; the worker dies before it answers
    pilot.rows.update({(1, key): row for key, row in cancelling.rows.items()})
    rows = [(generation, key, row) for (generation, key), row in pilot.rows.items()]
    pilot.machine = RunMachine.restore(pilot.plan, pilot.info, pilot.evaluator, pilot.machine.status, rows)
    pilot.feed(e.Resumed(2.0), e.WorkerLost(2.0, sent.key, sent.attempt, 0.5))
    assert pilot.states() == {"a": "cancelled"}
    assert pilot.state == "cancelled"


def test_handlers_and_teardowns_of_a_cancelled_run_keep_their_retries() -> None:
    pilot = begun(
        flow(py("a"), py("down", teardown_of=("a",)), py("b", "a"), finally_=[py("close", retry=tries(2))]),
        {"close": Outcome(fails=1)},
    )
    pilot.land()
    pilot.feed(e.CancelAsked(pilot.now, "ann"))
    pilot.fly()
    assert pilot.states() == {"a": "succeeded", "b": "cancelled", "down": "succeeded", "close": "succeeded"}
    assert pilot.attempts("close") == 2


@pytest.mark.parametrize("reason", ["deadline", "killed"])
def test_a_persons_reason_is_never_taken_for_a_code(reason: str) -> None:
    pilot = begun(flow(py("a"), finally_=[py("close")]))
    pilot.feed(e.CancelAsked(1.0, "ann", reason=reason))
    pilot.crash()
    pilot.fly()
    assert pilot.state == "cancelled"
    assert pilot.started == ["a", "close"]


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_cancelled_before_it_began_runs_nothing(paused: bool) -> None:
    pilot = Pilot(flow(py("a"), finally_=[py("close")]))
    if paused:
        pilot.feed(e.PauseAsked(0.0, "ann"))
    pilot.feed(e.CancelAsked(1.0, "ann"))
    assert pilot.machine.status.state is RunState.CANCELLED
    assert pilot.machine.status.reason == "cancelled"
    assert pilot.started == []


def test_a_run_paused_before_it_began_gets_its_deadline_when_it_begins() -> None:
    pilot = Pilot(flow(py("a"), deadline=timedelta(seconds=50)))
    pilot.feed(e.PauseAsked(0.0, "ann"))
    pilot.feed(e.ResumeAsked(1.0, "ann"))
    pilot.feed(e.Started(2.0))
    assert [(timer.kind, timer.due_at) for timer in pilot.timers] == [("deadline", 50.0)]


def test_a_rerun_gives_what_it_was_told_in_place_of_with() -> None:
    """To the task runs it begins with, at every attempt, also after a restart; what follows them is given its own."""
    plan = flow(
        py("a", with_={"n": "${{ params.n.missing }}"}),
        py("each", "a", map=over([1, 2]), with_={"n": "${{ item }}"}),
        py("z", "each", with_={"n": 7}),
        params={"n": {"type": "object"}},
    )
    pilot = Pilot(plan, params={"n": {}}).fly()
    assert pilot.states()["a"] == "failed"
    pilot.feed(e.RerunAsked(pilot.now, "ann", None, {"n": 5}))
    first = pilot.flying[-1]
    pilot.crash()
    pilot.feed(e.Redelivered(pilot.now, first.key, "w2", 2, 1))
    assert [send.inputs.value["with"] for send in pilot.flying] == [{"n": 5}, {"n": 5}]
    pilot.flying.pop(0)
    seen: dict[str, Json] = {}

    def body(name: str, inputs: Filled, attempt: int) -> Outcome:
        seen[name] = inputs.value["with"]["n"]
        return Outcome()

    pilot.body = body
    assert pilot.fly().state == "succeeded"
    assert seen == {"a": 5, "each[0]": 1, "each[1]": 2, "z": 7}
    pilot.feed(e.RerunAsked(pilot.now, "ann", (Key(plan.index["each"]),), {"n": 9}))
    assert pilot.fly().state == "succeeded"
    assert seen == {"a": 5, "each[0]": 9, "each[1]": 9, "z": 7}


def test_a_run_that_failed_in_its_handlers_alone_reruns_those() -> None:
    pilot = Pilot(flow(py("a"), finally_=[py("close", fails_run=True)]), script({"close": FAILED})).fly()
    assert pilot.state == "failed"
    pilot.body = script({})
    assert pilot.machine.can_rerun(None)
    pilot.feed(e.RerunAsked(pilot.now, "ann", None))
    assert pilot.fly().state == "succeeded"
    assert pilot.started == ["a", "close", "close"]


def test_a_run_whose_output_alone_failed_has_nothing_to_rerun() -> None:
    pilot = Pilot(flow(py("a"), output="${{ tasks.a.output.missing }}")).fly()
    assert pilot.state == "failed"
    assert not pilot.machine.can_rerun(None)
    assert pilot.machine.can_rerun((Key(0),))


@pytest.mark.parametrize("kind", ["sleep", "workflow"])
def test_the_total_timeout_bounds_what_waits_without_a_worker(kind: str) -> None:
    make = sleep("a", 100.0) if kind == "sleep" else child("a", "other")
    pilot = begun(flow(replace(make, timeouts=Timeouts(total=timedelta(seconds=5)))))
    pilot.fire()
    assert pilot.now == 5.0
    assert pilot.states() == {"a": "failed"}
    assert pilot.newest(Key(0)).reason == "timed_out"  # type: ignore[union-attr]


def stopped(pilot: Pilot) -> list[bool]:
    return [one.kill for batch in pilot.history for one in batch.effects if isinstance(one, CancelChild)]


def test_a_cancelled_run_waits_for_its_child_to_end_its_own_way() -> None:
    pilot = begun(flow(child("a", "other"), py("b", "a"), finally_=[py("close")]))
    pilot.feed(e.CancelAsked(1.0, "ann"))
    assert pilot.states() == {"a": "waiting", "b": "cancelled", "close": "pending"}
    pilot.crash()
    assert stopped(pilot) == [False, False]  # told again: the first telling may have been lost
    pilot.feed(e.ChildEnded(2.0, Key(0), "run-2", "cancelled", None))
    assert pilot.fly().state == "cancelled"
    assert pilot.states() == {"a": "cancelled", "b": "cancelled", "close": "succeeded"}


def test_a_killed_run_waits_for_nothing() -> None:
    pilot = begun(flow(child("a", "other"), finally_=[py("close")]))
    pilot.feed(e.CancelAsked(1.0, "ann"))
    pilot.feed(e.CancelAsked(2.0, "ann", kill=True))
    assert pilot.state == "cancelled"
    assert stopped(pilot) == [False, True]


def test_an_abandoned_child_holds_nothing_up() -> None:
    call = Task("a", Child("other", on_cancel="abandon"))
    pilot = begun(flow(call))
    pilot.feed(e.CancelAsked(1.0, "ann"))
    assert pilot.state == "cancelled"
    assert stopped(pilot) == []


def test_a_run_that_was_queued_beyond_its_deadline_fails_without_running() -> None:
    pilot = Pilot(flow(py("a"), deadline=timedelta(seconds=50), finally_=[py("close")]))
    pilot.feed(e.Started(60.0))
    pilot.fly()
    assert (pilot.state, pilot.machine.status.reason) == ("failed", "deadline")
    assert pilot.started == ["close"]


@pytest.mark.parametrize(("tolerate", "state"), [(0, "failed"), (1, "succeeded")])
def test_fails_run_counts_inside_maps_of_handlers_too(tolerate: int, state: str) -> None:
    rooms = group("g", py("x", fails_run=True), map=over([1, 2]), tolerate=tolerate)
    pilot = Pilot(flow(py("a"), finally_=[rooms]), script({"g.x[1]": FAILED})).fly()
    assert pilot.state == state


def test_fails_run_counts_where_the_item_handles_the_failure() -> None:
    rooms = group(
        "g", py("x", fails_run=True), py("y", "x", trigger_rule="all_done"), map=over([1, 2]), tolerate=1
    )
    pilot = Pilot(flow(py("a"), finally_=[rooms]), script({"g.x[1]": FAILED})).fly()
    assert pilot.states()["g.y[1]"] == "succeeded"
    assert pilot.state == "failed"
