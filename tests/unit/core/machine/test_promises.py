"""Small promises of the machine, most of them kept by a single line. Each was once broken on purpose and not noticed, or is
named by a mutant (tests/mutants) as what must notice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import DeadLetter, Decision
from headrace.engine.core.evaluation import Filled
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.attempts import delay
from headrace.engine.core.machine.judging import cache_key
from headrace.engine.core.states import IllegalMove, TaskState
from headrace.engine.core.workflow import Cache, Limits, PythonCall, Retry, RetryRule, Timeouts
from tests.support.flows import flow, group, noop, over, py, sleep, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")
HOUR = timedelta(hours=1)


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


# -- attempts ------------------------------------------------------------------------------------------------------------


def test_a_report_about_an_attempt_that_waits_for_its_retry_changes_nothing() -> None:
    """faults 19, 20"""
    pilot = begun(Pilot(flow(py("a", retry=tries(2, 5.0))), script({"a": FAILED})))
    send = pilot.flying[0]
    pilot.land()
    for again in (
        e.AttemptStarted(2.0, send.key, 1, send.epoch, send.n),
        e.AttemptSucceeded(2.0, send.key, 1, send.epoch, send.n, 0.0, 2.0, None),
        e.AttemptFailed(2.0, send.key, 1, send.epoch, send.n, 0.0, 2.0, e.Error("E", "again"), None, 0.5),
        e.AttemptSkipped(2.0, send.key, 1, send.epoch, send.n, 0.0, 2.0),
        e.AttemptCancelled(2.0, send.key, 1, send.epoch, send.n, 0.0, 2.0),
        e.HandedBack(2.0, send.key, 1, send.epoch, send.n),
        e.WorkerLost(2.0, send.key, 1, 0.5),
    ):
        decision = pilot.feed(again)
        assert (decision.stale, decision.transitions) == (1, [])
    assert pilot.states() == {"a": "retrying"}


def test_a_worker_that_was_lost_with_an_earlier_attempt_takes_nothing_along() -> None:
    pilot = begun(Pilot(flow(py("a", retry=tries(3, 0.0))), script({"a": Outcome(fails=1)})))
    pilot.land()
    pilot.fire()
    assert pilot.feed(e.WorkerLost(9.0, Key(0), 1, 0.5)).stale == 1
    assert pilot.states() == {"a": "dispatched"}


def test_an_error_that_is_final_is_not_tried_again() -> None:
    pilot = begun(Pilot(flow(py("a", retry=tries(5)))))
    send = pilot.flying.pop()
    error = e.Error("NotFound", "there is no such function", retryable=False)
    decision = pilot.feed(e.AttemptFailed(1.0, send.key, 1, send.epoch, send.n, 0.0, 1.0, error, None, 0.5))
    assert pilot.states() == {"a": "failed"}
    assert [effect for effect in decision.effects if isinstance(effect, DeadLetter)] == [
        DeadLetter(send.key, 1, error)
    ]


@pytest.mark.parametrize(
    ("keys", "attempt", "rule", "asked", "draw", "seconds"),
    [
        ({}, 1, None, None, 0.5, 2.0),
        ({}, 3, None, None, 0.5, 18.0),
        ({}, 9, None, None, 0.5, 60.0),  # 2 · 3⁸ is more than max_delay
        ({}, 900, None, None, 0.5, 60.0),  # and 3⁸⁹⁹ more than a float
        ({"jitter": "full"}, 3, None, None, 0.25, 4.5),
        ({"jitter": "full"}, 3, None, None, 0.0, 0.0),
        ({}, 3, RetryRule(None, "retry", timedelta(seconds=7)), None, 0.5, 7.0),
        ({"jitter": "full"}, 3, RetryRule(None, "retry", timedelta(seconds=7)), None, 0.5, 7.0),
        ({}, 3, RetryRule(None, "retry"), None, 0.5, 18.0),
        ({}, 1, None, 30.0, 0.5, 30.0),  # Retry-After lengthens, beyond max_delay too,
        ({}, 1, None, 90.0, 0.5, 90.0),
        ({}, 1, None, 1e9, 0.5, 3600.0),  # up to an hour,
        ({}, 3, None, 1.0, 0.5, 18.0),  # and never shortens
        ({}, 1, RetryRule(None, "retry", timedelta(seconds=7)), 30.0, 0.5, 30.0),
    ],
)
def test_the_delay_before_the_next_attempt(
    keys: dict[str, Any],
    attempt: int,
    rule: RetryRule | None,
    asked: float | None,
    draw: float,
    seconds: float,
) -> None:
    second = timedelta(seconds=1)
    given: dict[str, Any] = {"delay": 2 * second, "factor": 3, "max_delay": 60 * second, "jitter": "none"}
    retry = Retry(9, **given | keys)
    assert delay(retry, attempt, rule, asked, draw) == seconds


def test_a_retry_gets_the_inputs_of_the_first_attempt() -> None:
    """What the inputs were judged from may have changed meanwhile; they were stored with the first attempt."""
    got = []

    def body(name: str, inputs: Filled, attempt: int) -> Outcome:
        got.append(inputs.value["with"])
        return Outcome(fails=1)

    pilot = begun(
        Pilot(flow(py("a", retry=tries(2), with_={"n": "${{ params.n }}"}), params={"n": {}}), body, {"n": 1})
    )
    pilot.land()
    object.__setattr__(pilot.info, "params", {"n": 2})
    pilot.fly()
    assert got == [{"n": 1}, {"n": 1}]


def test_an_attempt_that_has_started_runs_and_is_not_sent_again() -> None:
    pilot = begun(Pilot(flow(py("a"))))
    send = pilot.flying[0]
    started = e.AttemptStarted(0.5, send.key, 1, send.epoch, send.n)
    assert [t.after for t in pilot.feed(started).transitions] == [TaskState.RUNNING]
    assert pilot.states() == {"a": "running"}
    assert pilot.rows[1, send.key].started_at == 0.5
    for late in (
        started,
        e.HandedBack(1.0, send.key, 1, send.epoch, send.n),
        e.Redelivered(1.0, send.key, "w2", 2, 1),
    ):
        assert pilot.feed(late).stale == 1
    assert pilot.states() == {"a": "running"}
    assert pilot.fly().state == "succeeded"


def test_a_worker_that_gives_an_attempt_up_by_itself_has_lost_it() -> None:
    pilot = begun(Pilot(flow(py("a", retry=tries(2)))))
    send = pilot.flying.pop()
    pilot.feed(e.AttemptCancelled(1.0, send.key, 1, send.epoch, send.n, 0.0, 1.0))
    row = pilot.rows[1, send.key]
    assert (row.state.word, row.reason) == ("retrying", "lease_lost")


def test_what_may_not_be_sent_again_is_lost_instead() -> None:
    pilot = begun(Pilot(flow(py("a", on_lost="fail"))))
    send = pilot.flying.pop()
    pilot.feed(e.Redelivered(5.0, send.key, "w2", 2, 1))
    assert pilot.flying == []
    assert (pilot.states(), pilot.rows[1, send.key].reason) == ({"a": "failed"}, "lease_lost")


# -- clocks --------------------------------------------------------------------------------------------------------------


def test_a_timer_that_fires_twice_changes_nothing_the_second_time() -> None:
    plan = flow(py("a", retry=tries(3, 5.0)), sleep("s", 5))
    pilot = begun(Pilot(plan, script({"a": FAILED})))
    pilot.land()
    timers = list(pilot.timers)
    assert sorted(timer.kind for timer in timers) == ["retry", "sleep"]
    for _ in timers:
        pilot.fire()
    assert pilot.states() == {"a": "dispatched", "s": "succeeded"}
    for timer in timers:
        decision = pilot.feed(e.TimerFired(pilot.now, timer.key, timer.kind, timer.due_at))
        assert (decision.stale, decision.transitions, decision.ready) == (1, [], [])


def test_the_total_timeout_counts_from_the_first_time_it_was_ready() -> None:
    plan = flow(py("a", retry=tries(9, 2.0), timeouts=Timeouts(total=timedelta(seconds=60))))
    pilot = begun(Pilot(plan, script({"a": FAILED})))
    for _ in range(2):
        pilot.land()
        pilot.timers.sort(key=lambda timer: timer.due_at)
        pilot.fire()
    assert [(timer.kind, timer.due_at) for timer in pilot.timers] == [("total_timeout", 60.0)]
    pilot.flying.clear()
    pilot.fire()
    assert (pilot.now, pilot.states()) == (60.0, {"a": "failed"})


@pytest.mark.parametrize("crash", [False, True])
def test_the_total_timeout_counts_from_then_after_a_crash_too(crash: bool) -> None:
    plan = flow(py("a", timeouts=Timeouts(total=timedelta(seconds=60))))
    pilot = Pilot(plan)
    decision = Decision()
    pilot._decide(decision, [e.Started(3.0)])  # ready, and nobody has room
    pilot._commit(decision)
    if crash:
        pilot.now = 20.0
        pilot.crash()
    assert [timer.due_at for timer in pilot.timers] == [63.0]
    assert pilot.rows[1, Key(0)].ready_at == 3.0


def test_the_deadline_counts_from_the_creation_of_the_run() -> None:
    pilot = Pilot(flow(py("a"), deadline=HOUR))
    pilot.feed(e.Started(600.0))
    assert [(timer.kind, timer.due_at) for timer in pilot.timers] == [("deadline", 3600.0)]


def test_a_deadline_that_comes_when_the_run_is_being_cancelled_changes_nothing() -> None:
    pilot = begun(Pilot(flow(py("a"), deadline=HOUR, finally_=(py("z"),)), deaf=True))
    pilot.feed(e.CancelAsked(1.0, "ann", reason="enough"))
    pilot.fire()
    assert pilot.fly().state == "cancelled"
    assert pilot.machine.status.reason == "enough"


# -- who waits for whom --------------------------------------------------------------------------------------------------


def test_a_join_waits_for_all_of_its_upstreams() -> None:
    """Counted by itself (c), and together with others that wait for the very same tasks (e, f)."""
    pilot = begun(Pilot(flow(py("a"), py("b"), py("c", "a", "b"), py("d", "b"), *_layers("x", "y", "z"))))
    while len(pilot.flying) > 2:
        pilot.flying.sort(key=lambda send: pilot.name(send.key) in ("b", "z"))
        pilot.land()
    assert {pilot.name(send.key) for send in pilot.flying} == {"b", "z"}
    pilot.land()
    pilot.land()
    assert {pilot.name(send.key) for send in pilot.flying} == {"c", "d", "e", "f"}


def _layers(*first: str) -> list[Any]:
    return [*(py(name) for name in first), py("e", *first), py("f", *first)]


def test_the_window_limits_the_line_and_not_how_many_run() -> None:
    pilot = begun(Pilot(flow(py("p", map=over(list(range(2_500)))))))
    assert len(pilot.flying) == 2_500


def test_an_inner_task_sees_what_had_ended_before_its_item_came_to_be() -> None:
    plan = flow(noop("early"), py("slow"), group("each", py("x", "early"), after=("slow",), map=over([0, 1])))
    assert Pilot(plan).fly().states() == {
        "early": "succeeded",
        "slow": "succeeded",
        "each.x[0]": "succeeded",
        "each.x[1]": "succeeded",
    }


# -- the cache -----------------------------------------------------------------------------------------------------------


def test_a_new_cache_version_is_another_key() -> None:
    def key(function: str = "bodies:body", version: str = "", inputs: Any = 1) -> str:
        task = py("a", cache=Cache(HOUR, version=version))
        board = Pilot(flow(replace(task, work=PythonCall(function)))).machine.board
        return cache_key(board, 0, Filled(inputs))

    same = key()
    assert key() == same
    assert len({same, key(version="2"), key(inputs=2), key("bodies:other")}) == 4


# -- the run -------------------------------------------------------------------------------------------------------------


def test_handlers_begin_when_the_tasks_have_ended() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a"), finally_=(py("z"), py("zz", "z")))))
    order = []
    while not pilot.machine.final:
        order.append([pilot.name(send.key) for send in pilot.flying])
        pilot.land()
    assert order == [["a"], ["b"], ["z"], ["zz"]]


def test_a_run_whose_last_task_a_person_cancelled_has_failed() -> None:
    pilot = begun(Pilot(flow(py("a"))))
    pilot.feed(e.TaskAsked(1.0, "ann", Key(0), "cancel"))
    assert pilot.states() == {"a": "cancelled"}
    assert (pilot.state, pilot.machine.status.reason) == ("failed", "tasks_failed")


def test_pause_takes_out_of_the_line_what_stands_in_it() -> None:
    pilot = Pilot(flow(py("a"), py("b")))
    decision = Decision()
    pilot._decide(decision, [e.Started(0.0)])
    assert [ready.key for ready in decision.ready] == [Key(0), Key(1)]
    later = Decision()
    pilot._decide(later, [e.PauseAsked(1.0, "ann")])
    assert later.withdrawn == [Key(0), Key(1)]
    assert later.ready == []


def test_what_ends_while_it_stands_in_the_line_leaves_it_and_makes_room() -> None:
    pilot = Pilot(flow(py("a"), py("b"), limits=Limits(active_tasks=1)))
    decision = Decision()
    pilot._decide(decision, [e.Started(0.0)])
    assert [ready.key for ready in decision.ready] == [Key(0)]
    later = Decision()
    pilot._decide(later, [e.TaskAsked(1.0, "ann", Key(0), "skip")])
    assert later.withdrawn == [Key(0)]
    assert [ready.key for ready in later.ready] == [Key(1)]


def test_what_is_paused_already_or_has_ended_is_not_paused() -> None:
    pilot = begun(Pilot(flow(py("a"))))
    assert pilot.feed(e.ResumeAsked(0.0, "ann")).stale == 1
    assert pilot.feed(e.PauseAsked(0.0, "ann")).stale == 0
    assert pilot.feed(e.PauseAsked(1.0, "ann")).stale == 1
    assert pilot.feed(e.ResumeAsked(2.0, "ann")).stale == 0
    pilot.fly()
    for late in (
        e.PauseAsked(9.0, "ann"),
        e.ResumeAsked(9.0, "ann"),
        e.CancelAsked(9.0, "ann", kill=True),
        e.TaskAsked(9.0, "ann", Key(0), "skip"),
        e.TimerFired(9.0, None, "deadline", 9.0),
    ):
        decision = pilot.feed(late)
        assert (decision.stale, decision.run, decision.rows) == (1, None, {})


def test_a_kill_is_a_kill_after_a_crash() -> None:
    plan = flow(py("up"), py("work", "up"), py("down", "work", teardown_of=("up",)), finally_=(py("z"),))
    pilot = begun(Pilot(plan, deaf=True))
    pilot.land()
    pilot.feed(e.CancelAsked(1.0, "ann", kill=True))
    pilot.crash()
    send = pilot.flying[0]
    pilot.feed(e.WorkerLost(9.0, send.key, 1, 0.5))
    assert pilot.states() == {"up": "succeeded", "work": "cancelled", "down": "cancelled", "z": "cancelled"}


def test_a_kill_that_a_crash_cut_in_two_is_a_kill_all_the_same() -> None:
    """A large run is cancelled slice by slice; what is left when the engine dies was never spared."""
    rest = [py(f"t{n:04}", "up") for n in range(2_100)]
    plan = flow(py("up"), *rest, py("zz", "up", teardown_of=("up",)), finally_=(py("close"),))
    pilot = begun(Pilot(plan, deaf=True))
    half = Decision()
    pilot._decide(half, [e.CancelAsked(1.0, "ann", kill=True)])
    assert half.more
    pilot._commit(half)
    assert pilot.states()["zz"] == "pending"
    pilot.crash()
    send = pilot.flying[0]
    pilot.feed(e.WorkerLost(9.0, send.key, 1, 0.5))
    assert (pilot.state, pilot.started) == ("cancelled", ["up"])
    assert set(pilot.states().values()) == {"cancelled"}


def test_a_rerun_resets_everything_downstream_however_far() -> None:
    outcomes = {"a": FAILED}
    chain = [py("a"), *(py(f"b{n}", f"b{n - 1}" if n else "a", trigger_rule="all_done") for n in range(5))]
    pilot = Pilot(flow(*chain), script(outcomes)).fly()
    outcomes.clear()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(99.0, "ann", (Key(0),)))
    pilot.fly()
    assert pilot.started == ["a", "b0", "b1", "b2", "b3", "b4"]


def test_a_rerun_of_what_is_not_there_changes_nothing() -> None:
    pilot = Pilot(flow(py("a"))).fly()
    decision = pilot.feed(e.RerunAsked(9.0, "ann", (Key(7),)))
    assert (decision.stale, decision.run) == (1, None)
    assert pilot.machine.generation == 1


def test_active_tasks_counts_what_is_held_back_by_a_retry() -> None:
    """An attempt that waits for its next try leaves its place to another, and takes one again."""
    plan = flow(py("a", retry=tries(2, 5.0)), py("b"), limits=Limits(active_tasks=1))
    pilot = begun(Pilot(plan, script({"a": Outcome(fails=1)})))
    pilot.land()
    assert pilot.states() == {"a": "retrying", "b": "dispatched"}
    pilot.fire()
    assert pilot.states() == {"a": "retrying", "b": "dispatched"}
    pilot.land()
    assert pilot.states() == {"a": "dispatched", "b": "succeeded"}
    assert pilot.fly().state == "succeeded"


# -- what every decision says --------------------------------------------------------------------------------------------


def test_every_transition_names_the_event_that_caused_it() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b"), noop("x", "a"), noop("y", "b"))))
    one, two = pilot.flying
    done = [e.AttemptSucceeded(5.0, s.key, 1, s.epoch, s.n, 0.0, 5.0, None) for s in (one, two)]
    decision = pilot.feed(*done)
    caused = {pilot.name(t.key): t.event for t in decision.transitions}
    assert (caused["a"], caused["b"]) == (0, 1)
    assert caused["x"] == caused["y"] == 1  # what follows is worked off after the last of them
    assert decision.rounds[0] == 0


def test_a_final_state_never_moves() -> None:
    pilot = Pilot(flow(py("a"), py("p", map=over([1])))).fly()
    board = pilot.machine.board
    for after in TaskState:
        with pytest.raises(IllegalMove, match=f"run run-1 a .*SUCCEEDED → {after.name} is not a legal move"):
            board.move(board.root, 0, after)
    assert pilot.states()["a"] == "succeeded"
