"""What the machine tells others, which states alone do not show: effects, counters, what a crash must not change."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import Abort, ClearTimers, DeadLetter, Effect, ReleaseSlots, StartChild
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json, Limits, Pool, Switch, Task, Timeouts
from tests.support.flows import child, flow, gate, group, over, py, tries
from tests.support.pilot import Outcome, Pilot, script

POOL = Pool("narrow")
E = TypeVar("E", bound=Effect)


def begun(plan: Plan, outcomes: dict[str, Outcome] | None = None, *, grants: bool = False) -> Pilot:
    pilot = Pilot(plan, script(outcomes or {}))
    pilot.machine = RunMachine(plan, pilot.info, pilot.evaluator, grants=grants)
    pilot.feed(e.Started(0.0))
    return pilot


def told(pilot: Pilot, kind: type[E]) -> list[E]:
    return [effect for batch in pilot.history for effect in batch.effects if isinstance(effect, kind)]


def test_a_run_that_is_resumed_is_running() -> None:
    pilot = begun(flow(py("a"), py("b", "a")))
    pilot.feed(e.PauseAsked(1.0, "ann"))
    assert pilot.state == "paused"
    pilot.feed(e.ResumeAsked(2.0, "ann"))
    assert pilot.state == "running"


def test_a_task_that_skips_itself_gives_its_slots_back() -> None:
    pilot = begun(flow(py("a", pool=POOL)), {"a": Outcome("skipped")}, grants=True)
    pilot.feed(e.SlotsGranted(0.0, Key(0)))
    pilot.land()
    assert pilot.states() == {"a": "skipped"}
    assert [effect.key for effect in told(pilot, ReleaseSlots)] == [Key(0)]


def test_an_item_that_fail_fast_ends_while_it_waits_gives_its_claim_up() -> None:
    plan = flow(py("p", pool=POOL, map=over([0, 1]), fail_fast=True))
    pilot = begun(plan, {"p[0]": Outcome("failed")}, grants=True)
    first, second = sorted(key for key in pilot.machine.board.live)
    pilot.feed(e.SlotsGranted(0.0, first))
    pilot.land()
    assert pilot.states() == {"p[0]": "failed", "p[1]": "cancelled"}
    assert {effect.key for effect in told(pilot, ReleaseSlots)} == {first, second}


def test_a_child_is_asked_for_once() -> None:
    pilot = begun(flow(child("a", "other")))
    assert [effect.key for effect in told(pilot, StartChild)] == [Key(0)]


@pytest.mark.parametrize("crashes", [False, True])
def test_what_is_in_flight_counts_for_active_tasks_over_a_crash(crashes: bool) -> None:
    pilot = begun(flow(py("a"), py("b"), limits=Limits(active_tasks=1)))
    assert len(pilot.flying) == 1
    if crashes:
        pilot.crash()
    assert len(pilot.flying) == 1
    pilot.land()
    assert len(pilot.flying) == 1


def test_an_attempt_that_takes_too_long_is_told_to_stop() -> None:
    pilot = begun(flow(py("a", timeouts=Timeouts(total=timedelta(seconds=5)))))
    sent = pilot.flying[0]
    pilot.fire()
    assert [(effect.key, effect.attempt) for effect in told(pilot, Abort)] == [(sent.key, sent.attempt)]
    assert pilot.states() == {"a": "failed"}


def test_a_kill_is_told_to_what_a_cancel_has_told_to_stop() -> None:
    pilot = begun(flow(py("a")))
    pilot.deaf = True
    pilot.feed(e.CancelAsked(1.0, "ann"))
    pilot.feed(e.CancelAsked(2.0, "ann", True))
    graces = [effect.grace for effect in told(pilot, Abort)]
    assert len(graces) == 2
    assert graces[0] > graces[1] == 0


@pytest.mark.parametrize("deadline", [None, timedelta(seconds=60)])
def test_a_run_that_ends_before_its_deadline_takes_the_timer_away(deadline: timedelta | None) -> None:
    pilot = begun(flow(py("a"), deadline=deadline)).fly()
    whole = [effect for effect in told(pilot, ClearTimers) if effect.key is None]
    assert len(whole) == (deadline is not None)


def test_an_attempt_that_fails_keeps_when_it_began() -> None:
    pilot = begun(flow(py("a")))
    sent = pilot.flying.pop()
    error = e.Error("ValueError", "scripted", ("ValueError",))
    pilot.feed(e.AttemptFailed(9.0, sent.key, sent.attempt, sent.epoch, sent.n, 7.0, 8.0, error, None, 0.5))
    row = pilot.newest(sent.key)
    assert row is not None
    assert row.started_at == 7.0


def test_what_a_worker_holds_is_told_and_nothing_else() -> None:
    pilot = begun(flow(py("a"), py("b", "a"), py("c")))
    pilot.land()
    found = pilot.machine.in_flight()
    assert {key for key, *_ in found} == {send.key for send in pilot.flying}
    assert {state for _, state, *_ in found} == {TaskState.DISPATCHED}


def test_a_rerun_tells_that_the_run_goes_on() -> None:
    pilot = begun(flow(py("a")), {"a": Outcome("failed")}).fly()
    decision = pilot.feed(e.RerunAsked(9.0, "ann", None))
    assert decision is not None
    assert any(batch.run is not None and not batch.run.state.final for batch in pilot.history[-2:])


def test_a_map_of_as_many_items_as_it_may_have_runs() -> None:
    pilot = begun(flow(py("p", map=over([0, 1], max_items=2)))).fly()
    assert pilot.states() == {"p[0]": "succeeded", "p[1]": "succeeded"}


def test_a_gate_in_an_item_closes_the_maps_in_there_and_no_others() -> None:
    """Its own item's inner map has expanded by then, and so has that of the other item."""
    inner = group("in", py("x", "g"), py("z"), map=over([0, 1]))
    outer = group("o", py("w"), gate("g", "item == 1", "w"), inner, map=over([0, 1]))
    states = begun(flow(outer)).fly().states()
    of_x = {name: state for name, state in states.items() if ".x[" in name}
    assert of_x == {
        "o.in.x[0,0]": "skipped",
        "o.in.x[0,1]": "skipped",
        "o.in.x[1,0]": "succeeded",
        "o.in.x[1,1]": "succeeded",
    }


@pytest.mark.parametrize(
    ("output", "state", "reason"),
    [
        ("b", "succeeded", None),
        (["b"], "succeeded", None),
        ("d", "failed", "invalid_choice"),  # it follows, but not directly
        ("nobody", "failed", "invalid_choice"),
        (1, "failed", "invalid_output"),
    ],
)
def test_a_switch_function_chooses_among_what_follows_directly(
    output: Json, state: str, reason: str | None
) -> None:
    choice = Task("s", Switch(python="bodies:choose"), depends_on=("a",))
    plan = flow(py("a"), choice, py("b", "s"), py("c", "s"), py("d", "c"))
    pilot = begun(plan, {"s": Outcome(output=output)}).fly()
    row = pilot.newest(Key(plan.index["s"]))
    assert row is not None
    assert (pilot.states()["s"], row.reason) == (state, reason)
    letters = [DeadLetter(Key(plan.index["s"]), 1, row.error)] if row.error is not None else []
    assert told(pilot, DeadLetter) == letters
    assert [letter.error.retryable for letter in letters] == ([False] if state == "failed" else [])
    if state == "succeeded":
        assert pilot.states() | {"a": "", "s": ""} == {
            "a": "",
            "s": "",
            "b": "succeeded",
            "c": "skipped",
            "d": "skipped",
        }


@pytest.mark.parametrize("crashes", [False, True])
def test_what_ends_in_time_takes_its_timer_along(crashes: bool) -> None:
    pilot = begun(flow(py("a", timeouts=Timeouts(total=timedelta(seconds=5)))))
    if crashes:
        pilot.crash()
    pilot.land()
    assert told(pilot, ClearTimers) == [ClearTimers(Key(0))]


@pytest.mark.parametrize(("tried", "reason"), [(2, "timed_out"), (1, "task_failed")])
def test_a_try_that_fails_by_itself_after_its_time_ends_for_what_keeps_it_from_another(
    tried: int, reason: str
) -> None:
    plan = flow(py("a", timeouts=Timeouts(total=timedelta(seconds=5)), retry=tries(tried)))
    pilot = begun(plan, {"a": Outcome("failed")})
    pilot.deaf = True
    pilot.fire()
    pilot.land()
    assert pilot.states() == {"a": "failed"}
    row = pilot.rows[1, Key(0)]
    assert row.reason == reason
    assert row.finished_at == pilot.now
    assert [letter.attempt for letter in told(pilot, DeadLetter)] == [1]
    pilot.replayed()
