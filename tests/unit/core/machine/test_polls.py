"""Polls: a success that is found wanting waits without a worker, and runs again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import DeadLetter, ReleaseSlots, RequestSlots, Send, StoreCache
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Cache, Limits, Poll, Pool, RetryRule, Task, Timeouts, Workflow
from tests.support.flows import flow, over, py, tries
from tests.support.pilot import Outcome, Pilot, script

POLL = Poll(timedelta(seconds=10), "output != 'early'")
A = Key(0)


def begun(*tasks: Task, outcome: Outcome | None = None, **keys: Any) -> Pilot:
    pilot = Pilot(flow(*tasks, **keys), script({"a": outcome or Outcome(output=1, early=2)}))
    pilot.feed(e.Started(0.0))
    return pilot


def effects(pilot: Pilot, kind: type[Any]) -> list[Any]:
    return [effect for batch in pilot.history for effect in batch.effects if isinstance(effect, kind)]


def moves(pilot: Pilot) -> list[tuple[str, str | None]]:
    return [(TaskState(move.after).word, move.reason) for move in pilot.transitions]


def test_it_runs_again_until_its_condition_holds() -> None:
    pilot = begun(py("a", poll=POLL), py("b", "a", with_={"n": "${{ tasks.a.output }}"}))
    pilot.land()
    [timer] = pilot.timers
    assert (timer.kind, timer.due_at) == ("poll", pilot.now + 10)
    row = pilot.newest(A)
    assert row is not None
    assert (row.state, row.reason, row.due_at, row.worker) == (TaskState.WAITING, "polling", 11.0, None)
    assert pilot.flying == []
    pilot.fly()
    assert pilot.state == "succeeded"
    assert moves(pilot)[:6] == [
        ("dispatched", None),
        ("waiting", "polling"),
        ("dispatched", None),
        ("waiting", "polling"),
        ("dispatched", None),
        ("succeeded", None),
    ]
    sent = effects(pilot, Send)
    assert [send.attempt for send in sent] == [1, 2, 3, 1]
    assert sent[-1].inputs.value == {"with": {"n": 1}}
    row = pilot.newest(A)
    assert row is not None
    assert (row.output, row.due_at) == (b"1", None)
    pilot.replayed()


def test_polls_do_not_use_up_tries() -> None:
    """It raises twice before each of its successes; three tries are enough for all of them."""
    pilot = begun(py("a", poll=POLL, retry=tries(3)), outcome=Outcome(fails=2, early=2)).fly()
    assert pilot.state == "succeeded"
    assert pilot.attempts("a") == 9


def test_tries_are_counted_since_the_last_poll() -> None:
    """Delays and rules begin anew, too, and after a restart."""
    rule = RetryRule("error.attempt == 2", "fail")
    retry = tries(3, factor=2, rules=(rule,))
    pilot = begun(py("a", poll=POLL, retry=retry), outcome=Outcome(early=1, fails=1))
    pilot.land()
    pilot.fire()
    pilot.land()
    pilot.crash()
    pilot.fire()
    pilot.land()
    assert pilot.states() == {"a": "retrying"}
    assert pilot.timers[-1].due_at == pilot.now + 1
    explained = pilot.machine.explain(A)
    assert explained is not None
    assert explained.blockers[0].evidence["attempt"] == 1
    pilot.body = script({"a": Outcome("failed")})
    pilot.fly()
    assert pilot.state == "failed"
    assert pilot.attempts("a") == 4


@pytest.mark.parametrize(
    ("until", "output", "why"),
    [("output", 1, "not int"), ("output.done", {"n": 1}, "done"), ("output.done", None, "null")],
)
def test_a_condition_that_cannot_be_judged_fails_the_task(until: str, output: Any, why: str) -> None:
    pilot = begun(
        py("a", poll=Poll(timedelta(1), until), retry=tries(3)), outcome=Outcome(output=output)
    ).fly()
    row = pilot.newest(A)
    assert row is not None
    assert row.error is not None
    assert (row.state, row.reason) == (TaskState.FAILED, "expression_error")
    assert why in row.error.message
    assert effects(pilot, DeadLetter) == [DeadLetter(A, 1, row.error)]


def test_a_condition_sees_all_that_the_task_sees() -> None:
    until = Poll(
        timedelta(seconds=1), "output == tasks.b.output && item == 7 && params.n == 2 && run.id != ''"
    )
    workflow = Workflow("w", (py("a", "b", map=over([7]), poll=until), py("b")), params={"n": {}})
    pilot = Pilot(
        build_plan(workflow)[0], script({"a[0]": Outcome(output=5), "b": Outcome(output=5)}), {"n": 2}
    )
    assert pilot.fly().state == "succeeded"


def test_only_what_ends_the_poll_is_cached() -> None:
    pilot = begun(py("a", poll=POLL, cache=Cache(timedelta(hours=1)))).fly()
    [kept] = effects(pilot, StoreCache)
    assert kept.output == b"1"


def test_slots_are_held_while_it_runs_and_not_while_it_waits() -> None:
    pilot = Pilot(flow(py("a", poll=POLL, pool=Pool("db"))), script({"a": Outcome(early=1)}))
    pilot.machine = RunMachine(pilot.plan, pilot.info, pilot.evaluator, grants=True)
    pilot.feed(e.Started(0.0))
    for _ in range(2):
        pilot.feed(e.SlotsGranted(pilot.now, A))
        pilot.land()
        if pilot.timers:
            pilot.fire()
            pilot.crash()
    told = [
        type(effect).__name__
        for batch in pilot.history
        for effect in batch.effects
        if isinstance(effect, RequestSlots | ReleaseSlots | Send)
    ]
    assert told == ["RequestSlots", "Send", "ReleaseSlots"] * 2
    assert [send.attempt for send in effects(pilot, Send)] == [1, 2]


def test_while_it_waits_others_have_its_place() -> None:
    pilot = begun(py("a", poll=POLL), py("b", "a"), py("c"), limits=Limits(active_tasks=1))
    pilot.land()
    assert pilot.states() == {"a": "waiting", "b": "pending", "c": "dispatched"}
    pilot.fire()
    explained = pilot.machine.explain(A)
    assert explained is not None
    assert [blocker.code for blocker in explained.blockers] == ["active_tasks"]
    assert pilot.fly().state == "succeeded"


def test_why() -> None:
    pilot = begun(py("a", poll=POLL))
    for times in (1, 2):
        pilot.land()
        pilot.crash()
        explained = pilot.machine.explain(A)
        assert explained is not None
        [blocker] = explained.blockers
        assert (explained.verdict, blocker.code) == ("waiting", "poll")
        assert blocker.evidence == {"due_at": pilot.now + 10, "every": 10.0, "polls": times}
        if times == 1:
            pilot.feed(e.PauseAsked(pilot.now, "ann"))
            pilot.fire()
            explained = pilot.machine.explain(A)
            assert explained is not None
            assert [blocker.code for blocker in explained.blockers] == ["paused", "line"]
            pilot.feed(e.ResumeAsked(pilot.now, "ann"))


def test_the_whole_wait_is_bounded_by_its_total_time_alone() -> None:
    timeouts = Timeouts(queue=timedelta(seconds=5), total=timedelta(seconds=25))
    pilot = begun(py("a", poll=POLL, timeouts=timeouts), outcome=Outcome(early=99)).fly()
    row = pilot.newest(A)
    assert row is not None
    assert (row.state, row.reason, row.finished_at) == (TaskState.FAILED, "timed_out", 25.0)
    assert pilot.attempts("a") == 3


@pytest.mark.parametrize("early", [1, 0])
def test_what_is_told_to_stop_and_finds_nothing_is_over(early: int) -> None:
    """Its worker has not heard: what it gives ends the poll or not."""
    timeouts = Timeouts(total=timedelta(seconds=5))
    pilot = Pilot(flow(py("a", poll=POLL, timeouts=timeouts)), script({"a": Outcome(early=early)}), deaf=True)
    pilot.feed(e.Started(0.0))
    pilot.fire()
    pilot.land()
    row = pilot.newest(A)
    assert row is not None
    assert row.reason == ("timed_out" if early else None)
    assert pilot.state == ("failed" if early else "succeeded")


@pytest.mark.parametrize("kill", [False, True])
def test_a_run_is_cancelled_while_it_waits(kill: bool) -> None:
    pilot = begun(py("a", poll=POLL))
    pilot.land()
    pilot.feed(e.CancelAsked(pilot.now, "ann", kill))
    assert (pilot.state, pilot.states()) == ("cancelled", {"a": "cancelled"})


def test_a_run_that_is_being_cancelled_does_not_wait_for_what_its_worker_gives() -> None:
    pilot = Pilot(flow(py("a", poll=POLL)), script({"a": Outcome(early=1)}), deaf=True)
    pilot.feed(e.Started(0.0))
    pilot.feed(e.CancelAsked(pilot.now, "ann"))
    pilot.land()
    assert (pilot.state, pilot.states()) == ("cancelled", {"a": "cancelled"})


@pytest.mark.parametrize(
    ("action", "state"), [("skip", "skipped"), ("succeed", "succeeded"), ("cancel", "cancelled")]
)
def test_people_decide_about_what_waits(action: str, state: str) -> None:
    pilot = begun(py("a", poll=POLL))
    pilot.land()
    pilot.feed(e.TaskAsked(pilot.now, "ann", A, action, None, 3 if action == "succeed" else None))
    assert pilot.states() == {"a": state}
    row = pilot.newest(A)
    assert row is not None
    assert (row.by, row.output) == ("ann", b"3" if action == "succeed" else None)


def test_people_have_it_polled_now() -> None:
    pilot = begun(py("a", poll=POLL), outcome=Outcome(early=1))
    assert not pilot.machine.can_retry(A)
    pilot.land()
    assert pilot.machine.can_retry(A)
    pilot.feed(e.TaskAsked(pilot.now, "ann", A, "retry"))
    assert pilot.states() == {"a": "dispatched"}
    pilot.fire()
    assert pilot.stale == 1
    pilot.land()
    assert pilot.state == "succeeded"


def test_what_comes_while_the_condition_is_judged_is_late() -> None:
    pilot = begun(py("a", poll=POLL))
    send = pilot.flying.pop()
    report = e.AttemptSucceeded(1.0, A, 1, send.epoch, send.n, 0.0, 1.0, b'"early"')
    pilot.feed(report, e.WorkerLost(1.0, A, 1, 0.5), report)
    assert pilot.stale == 2
    assert pilot.states() == {"a": "waiting"}


@pytest.mark.parametrize("output", [b'"early"', b"1"])
def test_what_is_ended_while_the_condition_is_judged_stays_so(output: bytes) -> None:
    pilot = begun(py("a", poll=POLL))
    send = pilot.flying.pop()
    report = e.AttemptSucceeded(1.0, A, 1, send.epoch, send.n, 0.0, 1.0, output)
    pilot.feed(report, e.TaskAsked(1.0, "ann", A, "skip"))
    assert pilot.states() == {"a": "skipped"}


def test_a_wait_goes_on_after_a_restart() -> None:
    """Its timer may have been forgotten; when the restart comes late it runs at once."""
    pilot = begun(py("a", poll=POLL), outcome=Outcome(early=2))
    pilot.land()
    pilot.timers.clear()
    pilot.crash()
    assert [(timer.kind, timer.due_at) for timer in pilot.timers] == [("poll", 11.0)]
    pilot.now = 20.0
    pilot.crash()
    assert pilot.states() == {"a": "dispatched"}
    assert pilot.fly().attempts("a") == 3


def test_items_poll_each_for_itself() -> None:
    pilot = Pilot(
        flow(py("a", map=over([1, 2, 3]), max_parallel=2, poll=POLL)),
        script({"a[0]": Outcome(early=2), "a[1]": Outcome(), "a[2]": Outcome(early=1)}),
    )
    pilot.feed(e.Started(0.0))
    pilot.land()
    pilot.land()
    assert pilot.states() == {"a[0]": "waiting", "a[1]": "succeeded", "a[2]": "dispatched"}
    assert pilot.fly().state == "succeeded"
    assert [pilot.attempts(f"a[{item}]") for item in range(3)] == [3, 1, 2]
