"""What people and clocks do to a run, and how a run ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.workflow import Case, RetryRule, Timeouts
from tests.support.flows import flow, gate, group, noop, over, py, sleep, switch, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


def test_a_retry_waits_its_delay_and_counts_tries() -> None:
    pilot = Pilot(flow(py("a", retry=tries(3, 2.0))), script({"a": Outcome(fails=2)}))
    begun(pilot)
    pilot.land()
    assert pilot.states() == {"a": "retrying"}
    assert [timer.due_at for timer in pilot.timers] == [3.0]
    assert pilot.fly().attempts("a") == 3
    assert pilot.now == 1 + 2 + 1 + 4 + 1


def test_attempts_used_up_fail_and_become_a_dead_letter() -> None:
    pilot = Pilot(flow(py("a", retry=tries(2))), script({"a": FAILED})).fly()
    assert pilot.attempts("a") == 2
    assert pilot.state == "failed"


@pytest.mark.parametrize(
    ("then", "state", "attempts"), [("fail", "failed", 1), ("skip", "skipped", 1), ("retry", "failed", 3)]
)
def test_the_first_matching_retry_rule_wins(then: str, state: str, attempts: int) -> None:
    rules = (
        RetryRule("'KeyError' in error.kinds", "fail"),
        RetryRule("error.kind == 'ValueError'", then),
        RetryRule(None, "fail"),
    )
    pilot = Pilot(flow(py("a", retry=tries(3, rules=rules))), script({"a": FAILED})).fly()
    assert pilot.states() == {"a": state}
    assert pilot.attempts("a") == attempts


def test_stale_and_repeated_reports_change_nothing() -> None:
    """faults 19, 20"""
    pilot = begun(Pilot(flow(py("a", retry=tries(2)), py("b", "a")), script({"a": Outcome(fails=1)})))
    first = pilot.flying[0]
    old = e.AttemptSucceeded(1.0, first.key, first.attempt, first.epoch, first.n, 0.0, 1.0, None)
    pilot.land()
    pilot.fire()
    for _ in range(1000):
        pilot.feed(old)
    assert pilot.stale == 1000
    assert pilot.states()["a"] == "dispatched"
    pilot.fly()
    before = len(pilot.transitions)
    pilot.feed(old)
    assert len(pilot.transitions) == before


def test_cancel_cancels_what_has_not_started_and_stops_what_runs() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a"), sleep("s", 60), py("d", "s"))))
    pilot.feed(e.CancelAsked(1.0, "me"))
    assert pilot.states() == {"a": "cancelled", "b": "cancelled", "s": "cancelled", "d": "cancelled"}
    assert pilot.state == "cancelled"


def test_after_a_cancel_teardowns_and_finally_run_but_not_after_a_kill() -> None:
    def plan():  # type: ignore[no-untyped-def]
        return flow(
            py("up"),
            py("work", "up"),
            py("down", "work", teardown_of=("up",), trigger_rule="all_done_setup_success"),
            finally_=(py("close"),),
        )

    pilot = begun(Pilot(plan()))
    pilot.land()
    pilot.feed(e.CancelAsked(1.0, "me"))
    pilot.fly()
    assert pilot.states() == {
        "up": "succeeded",
        "work": "cancelled",
        "down": "succeeded",
        "close": "succeeded",
    }
    assert pilot.state == "cancelled"

    pilot = begun(Pilot(plan()))
    pilot.land()
    pilot.feed(e.CancelAsked(1.0, "me", kill=True))
    assert pilot.states() == {
        "up": "succeeded",
        "work": "cancelled",
        "down": "cancelled",
        "close": "cancelled",
    }
    assert pilot.state == "cancelled"


def test_a_cancelled_setup_that_never_succeeded_needs_no_teardown() -> None:
    plan = flow(
        py("up"),
        py("work", "up"),
        py("down", "work", teardown_of=("up",), trigger_rule="all_done_setup_success"),
    )
    pilot = begun(Pilot(plan))
    pilot.feed(e.CancelAsked(1.0, "me"))
    assert pilot.states() == {"up": "cancelled", "work": "cancelled", "down": "cancelled"}


def test_success_before_a_cancel_wins_and_its_downstream_is_cancelled() -> None:
    """faults 32"""
    pilot = begun(Pilot(flow(py("a"), py("b", "a"))))
    send = pilot.flying.pop()
    done = e.AttemptSucceeded(1.0, send.key, 1, send.epoch, send.n, 0.0, 1.0, None)
    pilot.feed(done, e.CancelAsked(1.0, "me"))
    assert pilot.states() == {"a": "succeeded", "b": "cancelled"}
    assert pilot.state == "cancelled"


def test_a_deadline_cancels_and_fails_the_run() -> None:
    pilot = begun(
        Pilot(flow(py("a"), py("b", "a"), deadline=timedelta(seconds=30), on_failure=(py("alarm"),)))
    )
    pilot.fire()
    assert pilot.states() == {"a": "cancelled", "b": "cancelled", "alarm": "dispatched"}
    pilot.fly()
    assert pilot.state == "failed"
    assert pilot.machine.status.reason == "deadline"
    assert pilot.states()["alarm"] == "succeeded"


def test_pause_stops_dispatching_only_and_resume_goes_on() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a"))))
    pilot.feed(e.PauseAsked(1.0, "me"))
    pilot.land()
    assert pilot.started == ["a"]
    assert pilot.state == "paused"
    pilot.feed(e.ResumeAsked(2.0, "me"))
    assert pilot.fly().state == "succeeded"


def test_a_paused_run_that_crashes_stays_paused() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a"))))
    pilot.feed(e.PauseAsked(1.0, "me"))
    pilot.land()
    pilot.crash()
    assert pilot.flying == []
    pilot.feed(e.ResumeAsked(2.0, "me"))
    assert pilot.fly().state == "succeeded"


def test_on_failure_sees_what_failed_and_finally_always_runs() -> None:
    plan = flow(
        py("a"),
        py("b", "a"),
        on_failure=(py("alarm", with_={"failed": "${{ run.failed }}", "state": "${{ run.state }}"}),),
        finally_=(py("close", with_={"state": "${{ run.state }}"}),),
    )
    seen = {}

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen[name] = inputs.value.get("with")
        return FAILED if name == "a" else Outcome()

    pilot = Pilot(plan, body).fly()
    assert seen["alarm"] == {"failed": ["a"], "state": "failed"}
    assert seen["close"] == {"state": "failed"}
    assert pilot.started == ["a", "alarm", "close"]
    good = Pilot(plan).fly()
    assert good.states()["alarm"] == "skipped"
    assert good.started == ["a", "b", "close"]


@pytest.mark.parametrize(("fails_run", "state"), [(False, "succeeded"), (True, "failed")])
def test_a_handler_changes_the_outcome_only_with_fails_run(fails_run: bool, state: str) -> None:
    plan = flow(py("a"), finally_=(py("close", fails_run=fails_run),))
    assert Pilot(plan, script({"close": FAILED})).fly().state == state


def test_rerun_from_failed_makes_a_second_generation_and_keeps_the_first() -> None:
    outcomes = {"b": FAILED}
    pilot = Pilot(
        flow(py("a"), py("b", "a"), py("c", "b"), py("d", "a"), finally_=(py("z"),)), script(outcomes)
    ).fly()
    assert pilot.state == "failed"
    outcomes.clear()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(9.0, "me", None))
    pilot.fly()
    assert pilot.state == "succeeded"
    assert pilot.started == ["b", "c", "z"]
    assert pilot.rows[1, Key(pilot.plan.index["b"])].state.word == "failed"
    assert pilot.rows[2, Key(pilot.plan.index["b"])].state.word == "succeeded"


@pytest.mark.parametrize("crash", [False, True])
def test_rerun_of_failed_items_keeps_the_other_items(crash: bool) -> None:
    outcomes = {"each.x[1]": FAILED, "p[2]": FAILED}
    plan = flow(
        group("each", py("x"), py("y", "x"), map=over([0, 1, 2])),
        py("p", map=over([0, 1, 2])),
        py("z", "each", "p"),
    )
    pilot = Pilot(plan, script(outcomes), seed=1).fly()
    outcomes.clear()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(99.0, "me", None))
    if crash:
        pilot.crash()
    pilot.fly()
    assert sorted(pilot.started) == ["each.x[1]", "each.y[1]", "p[2]", "z"]
    assert pilot.state == "succeeded"


def test_rerun_from_a_task_resets_all_downstream_and_maps_again() -> None:
    items = [[1, 2, 3]]
    plan = flow(py("a"), py("p", map=over("${{ tasks.a.output }}")), py("z", "p"), py("other"))
    pilot = Pilot(plan, lambda name, inputs, attempt: Outcome(output=items[0] if name == "a" else None)).fly()
    items[0] = [1]
    pilot.started.clear()
    pilot.feed(e.RerunAsked(99.0, "me", (Key(plan.index["a"]),)))
    pilot.fly()
    assert pilot.started == ["a", "p[0]", "z"]


@pytest.mark.parametrize(
    ("action", "state", "after"),
    [
        ("skip", "skipped", "skipped"),
        ("succeed", "succeeded", "succeeded"),
        ("cancel", "cancelled", "upstream_failed"),
    ],
)
def test_a_person_may_end_a_task_run_that_waits(action: str, state: str, after: str) -> None:
    plan = flow(sleep("s", 60), py("z", "s"))
    pilot = begun(Pilot(plan))
    pilot.feed(e.TaskAsked(1.0, "me", Key(plan.index["s"]), action, "because"))
    pilot.timers.clear()
    pilot.fly()
    assert pilot.states() == {"s": state, "z": after}
    assert pilot.rows[1, Key(plan.index["s"])].by == "me"


def test_a_person_may_start_the_next_attempt_now() -> None:
    plan = flow(py("a", retry=tries(2, 600.0)))
    pilot = begun(Pilot(plan, script({"a": Outcome(fails=1)})))
    pilot.land()
    pilot.feed(e.TaskAsked(1.0, "me", Key(0), "retry"))
    pilot.land()
    assert pilot.state == "succeeded"


def test_queue_and_total_timeouts_end_a_task_run_in_every_waiting_state() -> None:
    ten = Timeouts(queue=timedelta(seconds=10))
    pilot = begun(Pilot(flow(py("a", timeouts=ten), py("b", "a"))))
    pilot.feed(e.PauseAsked(0.0, "me"))
    send = pilot.flying.pop()
    pilot.feed(e.HandedBack(1.0, send.key, 1, send.epoch, send.n))
    pilot.fire()
    pilot.feed(e.ResumeAsked(20.0, "me"))
    assert pilot.states() == {"a": "failed", "b": "upstream_failed"}

    total = Timeouts(total=timedelta(seconds=10))
    pilot = begun(Pilot(flow(py("a", timeouts=total, retry=tries(9, 100.0))), script({"a": FAILED})))
    pilot.land()
    pilot.fire()
    assert pilot.states() == {"a": "failed"}
    assert pilot.rows[1, Key(0)].reason == "timed_out"


def test_a_lost_worker_costs_an_attempt_and_its_late_report_is_refused() -> None:
    """faults 53, 54"""
    pilot = begun(Pilot(flow(py("a", retry=tries(2, 0.0)))))
    send = pilot.flying.pop()
    pilot.feed(e.WorkerLost(5.0, send.key, 1, 0.5))
    assert pilot.states() == {"a": "retrying"}
    pilot.feed(e.AttemptSucceeded(6.0, send.key, 1, send.epoch, send.n, 0.0, 6.0, b"1"))
    assert pilot.stale == 1
    assert pilot.fly().attempts("a") == 2


def test_what_is_redelivered_is_the_same_attempt() -> None:
    pilot = begun(Pilot(flow(py("a"))))
    send = pilot.flying.pop()
    pilot.feed(e.Redelivered(5.0, send.key, "w2", 2, 1))
    assert (pilot.flying[0].attempt, pilot.flying[0].epoch) == (1, 2)
    pilot.feed(e.AttemptSucceeded(6.0, send.key, 1, send.epoch, send.n, 0.0, 6.0, None))
    assert pilot.stale == 1
    assert pilot.fly().state == "succeeded"


def test_a_closed_gate_skips_everything_downstream_whatever_its_rule_teardowns_apart() -> None:
    plan = flow(
        py("up"),
        gate("g", "false", "up"),
        py("a", "g"),
        py("b", "a", trigger_rule="all_done"),
        group("h", py("x", trigger_rule="always"), after=("a",)),
        py("down", "a", teardown_of=("up",), trigger_rule="all_done_setup_success"),
    )
    assert Pilot(plan).fly().states() == {
        "up": "succeeded",
        "g": "succeeded",
        "a": "skipped",
        "b": "skipped",
        "h.x": "skipped",
        "down": "succeeded",
    }


def test_a_switch_takes_the_first_true_case_and_its_output_is_the_chosen_ids() -> None:
    cases = (Case("tasks.a.output == 1", ("x",)), Case("tasks.a.output > 0", ("x", "y")))
    plan = flow(
        py("a"),
        switch("s", cases=cases, default=("z",)),
        py("x"),
        py("y"),
        py("z"),
        py("seen", with_={"c": "${{ tasks.s.output }}"}),
    )
    for output, ran in ((1, {"x"}), (2, {"x", "y"}), (-1, {"z"})):
        pilot = Pilot(plan, script({"a": Outcome(output=output)})).fly()
        states = pilot.states()
        assert {name for name in "xyz" if states[name] == "succeeded"} == ran
        assert {name for name in "xyz" if states[name] == "skipped"} == {"x", "y", "z"} - ran


def test_active_tasks_bounds_how_many_of_a_run_are_out_at_once() -> None:
    from headrace.engine.core.workflow import Limits

    pilot = begun(Pilot(flow(*(py(f"t{i}") for i in range(9)), limits=Limits(active_tasks=2)), seed=1))
    most = 0
    while pilot.flying:
        most = max(most, len(pilot.flying))
        pilot.land()
    assert most == 2
    assert pilot.state == "succeeded"


def test_the_output_is_judged_at_the_end_and_a_failing_one_fails_the_run() -> None:
    good = Pilot(
        flow(py("a"), output={"got": "${{ tasks.a.output }}"}), script({"a": Outcome(output=7)})
    ).fly()
    assert good.output == b'{"got":7}'
    bad = Pilot(flow(py("a"), output="${{ tasks.a.output.missing }}"), script({"a": Outcome(output=7)})).fly()
    assert bad.state == "failed"
    assert "expression_error" in str(bad.machine.status.reason)


def test_a_hundred_thousand_cascade_in_slices() -> None:
    """faults 6, and rule 6 of the hot path: one batch holds a slice of what an event causes."""
    size = 5_000
    plan = flow(py("a"), *(noop(f"n{i:05}", *([f"n{i - 1:05}"] if i else ["a"])) for i in range(size)))
    pilot = Pilot(plan, script({"a": FAILED})).fly()
    assert max(len(decision.transitions) for decision in pilot.history) <= 2_001
    assert list(pilot.states().values()).count("upstream_failed") == size


def test_every_run_replays_from_its_events() -> None:
    plan = flow(
        py("a", retry=tries(2)), group("each", py("x"), py("y", "x"), map=over([1, 2])), py("z", "each", "a")
    )
    pilot = Pilot(plan, script({"a": Outcome(fails=1), "each.x[1]": FAILED}), seed=7).fly()
    pilot.replayed()


def test_cancelling_a_paused_run_lets_its_handlers_go_on() -> None:
    pilot = begun(Pilot(flow(py("a"), finally_=(py("close"),))))
    pilot.feed(e.PauseAsked(1.0, "me"))
    pilot.land()
    assert pilot.started == ["a"]
    pilot.feed(e.CancelAsked(2.0, "me"))
    assert pilot.fly().states() == {"a": "succeeded", "close": "succeeded"}
    assert pilot.state == "cancelled"


def test_a_task_run_that_was_told_to_stop_is_told_again_after_a_crash() -> None:
    pilot = begun(Pilot(flow(py("a", retry=tries(3)), py("z", "a")), deaf=True))
    send = pilot.flying.pop()
    pilot.feed(e.TaskAsked(1.0, "me", send.key, "cancel"))
    pilot.feed(e.AttemptStarted(2.0, send.key, 1, send.epoch, send.n))
    pilot.aborts.clear()
    pilot.crash()
    assert [(abort.key, abort.attempt, abort.worker) for abort in pilot.aborts] == [(send.key, 1, "w1")]
    pilot.feed(e.WorkerLost(5.0, send.key, 1, 0.5))
    assert pilot.states() == {"a": "cancelled", "z": "upstream_failed"}
    row = pilot.rows[1, send.key]
    assert (row.reason, row.by) == ("asked", "me")


def test_a_run_that_was_paused_before_it_started_is_queued_again() -> None:
    pilot = Pilot(flow(py("a")))
    pilot.feed(e.PauseAsked(0.0, "me"))
    pilot.feed(e.Started(1.0))
    assert pilot.state == "paused"
    pilot.feed(e.ResumeAsked(2.0, "me"))
    assert pilot.state == "queued"
    assert pilot.fly().state == "succeeded"
