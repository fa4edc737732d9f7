"""Slots of pools: asked for before every attempt, given back after it, however it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import Decision, ReleaseSlots, RequestSlots, Send
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Pool, Timeouts
from tests.support.flows import flow, py, tries
from tests.support.pilot import Outcome, Pilot, script

POOL = Pool("warehouse")


def begun(plan: Plan, outcomes: Mapping[str, Outcome] | None = None) -> Pilot:
    """A run whose pools limit; what it asks for is granted only when a test says so."""
    pilot = Pilot(plan, script(outcomes or {}))
    pilot.machine = RunMachine(plan, pilot.info, pilot.evaluator, grants=True)
    pilot.feed(e.Started(0.0))
    return pilot


def grant(pilot: Pilot) -> None:
    pilot.feed(e.SlotsGranted(pilot.now, Key(0)))


def told(pilot: Pilot) -> list[str]:
    kinds = (RequestSlots, ReleaseSlots, Send)
    return [type(one).__name__ for batch in pilot.history for one in batch.effects if isinstance(one, kinds)]


ATTEMPT = ["RequestSlots", "Send", "ReleaseSlots"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_every_attempt_asks_for_its_slots(by_hand: bool) -> None:
    pilot = begun(flow(py("a", pool=POOL, retry=tries(2))), {"a": Outcome(fails=1)})
    grant(pilot)
    pilot.land()
    if by_hand:
        pilot.feed(e.TaskAsked(pilot.now, "ann", Key(0), "retry"))
    else:
        pilot.fire()
    assert pilot.states() == {"a": "queued"}
    pilot.crash()
    grant(pilot)
    pilot.land()
    assert pilot.state == "succeeded"
    assert pilot.attempts("a") == 2
    assert told(pilot) == ATTEMPT * 2


def test_an_answer_that_is_told_twice_is_none_to_the_next_attempt() -> None:
    """The first attempt has given its slots back; the second must wait for slots of its own."""
    pilot = begun(flow(py("a", pool=POOL, retry=tries(2))), {"a": Outcome(fails=1)})
    first = pilot.machine.attempt_of(Key(0))
    pilot.feed(e.SlotsGranted(pilot.now, Key(0), first))
    pilot.land()
    pilot.fire()
    stale = pilot.feed(e.SlotsGranted(pilot.now, Key(0), first)).stale
    assert stale == 1
    assert pilot.states() == {"a": "queued"}
    assert not pilot.flying
    pilot.crash()
    pilot.feed(e.SlotsGranted(pilot.now, Key(0), pilot.machine.attempt_of(Key(0))))
    pilot.land()
    assert pilot.state == "succeeded"


def test_a_retry_that_fell_due_while_nobody_ran_it_asks_for_its_slots() -> None:
    pilot = begun(flow(py("a", pool=POOL, retry=tries(2))), {"a": Outcome(fails=1)})
    grant(pilot)
    pilot.land()
    pilot.timers.clear()
    rows = [(generation, key, row) for (generation, key), row in pilot.rows.items()]
    pilot.machine = RunMachine.restore(
        pilot.plan, pilot.info, pilot.evaluator, pilot.machine.status, rows, grants=True
    )
    pilot.now = 100.0
    pilot.feed(e.Resumed(pilot.now))
    assert told(pilot) == [*ATTEMPT, "RequestSlots"]


def test_a_retry_restored_by_an_earlier_clock_still_has_its_timer() -> None:
    """faults 58"""
    pilot = Pilot(flow(py("a", retry=tries(2, 10.0))), script({"a": Outcome(fails=1)}))
    pilot.feed(e.Started(0.0))
    pilot.land()
    pilot.timers.clear()  # it fired and was forgotten, and the process died before the attempt
    pilot.crash()
    assert pilot.fly().state == "succeeded"


def test_inputs_that_cannot_be_judged_give_the_slots_back() -> None:
    params = {"given": {"type": "object"}}
    plan = flow(py("a", pool=POOL, with_={"x": "${{ params.given.missing }}"}), params=params)
    pilot = begun(plan)
    grant(pilot)
    assert pilot.states() == {"a": "failed"}
    assert told(pilot) == ["RequestSlots", "ReleaseSlots"]


def test_what_is_handed_back_while_it_is_stopped_gives_the_slots_back() -> None:
    pilot = begun(flow(py("a", pool=POOL)))
    grant(pilot)
    sent = pilot.flying.pop()
    batch = Decision()
    pilot._decide(batch, [e.CancelAsked(1.0, "ann")])
    pilot._decide(batch, [e.HandedBack(1.0, sent.key, sent.attempt, sent.epoch, sent.n)])
    assert pilot.states() == {"a": "cancelled"}
    assert [one for one in batch.effects if isinstance(one, ReleaseSlots)]


def test_waiting_for_a_pool_counts_for_the_timeouts() -> None:
    limits = Timeouts(queue=timedelta(seconds=3), total=timedelta(seconds=60))
    pilot = begun(flow(py("a", pool=POOL, timeouts=limits)))
    assert {(timer.kind, timer.due_at) for timer in pilot.timers} == {
        ("queue_timeout", 3.0),
        ("total_timeout", 60.0),
    }
    pilot.fire()
    assert pilot.states() == {"a": "failed"}
    assert told(pilot) == ["RequestSlots", "ReleaseSlots"]
