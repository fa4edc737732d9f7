"""What is done to a run that waits for its turn, and what it is afterwards."""

from __future__ import annotations

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Limits, RetryRule
from tests.support.flows import child, flow, group, py, sleep, tries
from tests.support.pilot import Outcome, Pilot, script

FLOWS = {
    "tasks": flow(py("a"), py("b", "a"), py("c", "b")),
    "a rule that is certain early": flow(py("a"), py("x"), py("c", "a", "x", trigger_rule="one_success")),
    "groups in a group": flow(py("a"), group("g", group("h", py("c")), after=("a",))),
    "a nap and a child": flow(py("a"), sleep("b", 5.0, "a"), child("c", "other", "a")),
    "one at a time": flow(py("a"), py("b", "a"), py("c", "a"), limits=Limits(active_tasks=1)),
}


@pytest.mark.parametrize("crash", [False, True], ids=["", "an engine dies"])
@pytest.mark.parametrize("pause", [False, True], ids=["queued", "paused"])
@pytest.mark.parametrize("name", FLOWS)
def test_what_follows_a_task_that_was_settled_early_waits_for_the_start(
    name: str, pause: bool, crash: bool
) -> None:
    plan = FLOWS[name]
    pilot = Pilot(plan)
    if pause:
        pilot.feed(e.PauseAsked(1.0, "me"))
    settled = pilot.feed(e.TaskAsked(2.0, "me", Key(plan.index["a"]), "succeed"))
    assert [(step.key.task, step.after) for step in settled.transitions] == [
        (plan.index["a"], TaskState.SUCCEEDED)
    ]
    assert not settled.ready
    assert not settled.effects
    if crash:
        pilot.restore()
    if pause:
        pilot.feed(e.ResumeAsked(3.0, "me"))
    assert pilot.machine.status.state is RunState.QUEUED
    pilot.feed(e.Started(4.0))
    assert "a" not in pilot.started
    if pilot.children:
        key = pilot.children[0].key
        pilot.feed(e.ChildEnded(5.0, key, "child-1", "succeeded", None))
    pilot.fly()
    assert pilot.state == "succeeded"
    assert set(pilot.states().values()) == {"succeeded"}


@pytest.mark.parametrize("crash", [False, True], ids=["", "an engine dies"])
@pytest.mark.parametrize("kill", [False, True])
def test_a_run_is_cancelled_all_of_which_was_settled_before_its_start(kill: bool, crash: bool) -> None:
    pilot = Pilot(flow(py("a"), finally_=(py("last"),)))
    pilot.feed(e.TaskAsked(1.0, "me", Key(0), "skip"))
    if crash:
        pilot.restore()
    pilot.feed(e.CancelAsked(2.0, "me", kill))
    assert pilot.state == "cancelled"
    assert pilot.states() == {"a": "skipped", "last": "cancelled"}


def test_a_rerun_of_a_run_that_was_cancelled_before_its_start_is_its_start() -> None:
    pilot = Pilot(flow(py("a"), py("b", "a"), py("t", "b", trigger_rule="all_done")))
    pilot.feed(e.CancelAsked(1.0, "me"))
    assert pilot.state == "cancelled"
    pilot.feed(e.RerunAsked(2.0, "me", None))
    assert pilot.machine.status.started_at == 2.0
    pilot.feed(e.PauseAsked(2.5, "me"))
    pilot.feed(e.ResumeAsked(2.75, "me"))
    assert pilot.state == "running"
    pilot.crash()
    pilot.fly()
    assert pilot.states() == {"a": "succeeded", "b": "succeeded", "t": "succeeded"}


def test_an_attempt_whose_failure_is_being_judged_is_not_sent_again() -> None:
    """Both may come in one batch: its late report, and the word of its worker that it does not hold it any more."""
    rules = (RetryRule("error.kind == 'ValueError'", "skip"),)
    pilot = Pilot(flow(py("a", retry=tries(2, rules=rules))), script({"a": Outcome("failed")}))
    pilot.feed(e.Started(0.0))
    send = pilot.flying.pop()
    at = send.key, send.attempt, send.epoch, send.n
    failure = e.AttemptFailed(1.0, *at, 0.0, 1.0, e.Error("ValueError", "no"), None, 0.5)
    decided = pilot.feed(failure, e.Redelivered(1.0, send.key, "w1", 2, 1), failure)
    assert decided.stale == 2
    [step] = decided.transitions
    assert step.event == 0, "the failure caused it, and not what came after it"
    assert not [effect for effect in decided.effects if type(effect).__name__ == "Send"]
    assert pilot.states() == {"a": "skipped"}
