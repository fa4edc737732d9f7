"""A rerun on another version: what keeps its result, what runs again, and what does not fit."""

from __future__ import annotations

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key, child
from headrace.engine.core.machine.moving import Misfit
from headrace.engine.core.plan import Plan
from tests.support.flows import flow, group, noop, over, py, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")
ONCE = tries(1)


def flown(plan: Plan, *failing: str) -> Pilot:
    """A run that has ended; `failing` failed."""
    pilot = Pilot(plan, script(dict.fromkeys(failing, FAILED))).fly()
    pilot.started.clear()
    pilot.body = lambda name, inputs, attempt: Outcome(output=name)
    return pilot


def moved(pilot: Pilot, plan: Plan, *names: str) -> Pilot:
    """The rerun on `plan` from the named tasks (none: from what failed), flown to its end."""
    keys = tuple(Key(pilot.plan.index[name]) for name in names) or None
    pilot.machine.check_move(keys, plan, 2)
    pilot.move(plan, keys)
    return pilot.fly()


def refused(pilot: Pilot, plan: Plan, *names: str) -> str:
    keys = tuple(Key(pilot.plan.index[name]) for name in names) or None
    before = pilot.states()
    with pytest.raises(Misfit) as caught:
        pilot.machine.check_move(keys, plan, 2)
    assert pilot.states() == before
    return str(caught.value)


def test_what_succeeded_is_kept_and_what_failed_runs_as_the_new_version_says() -> None:
    old = flow(py("a"), py("m", "a", retry=ONCE), py("z", "m"))
    new = flow(
        py("a"), py("b"), py("m", "a", "b", retry=ONCE, with_={"x": "${{ tasks.a.output }}"}), py("z", "m")
    )
    pilot = moved(flown(old, "m"), new)
    assert pilot.started == ["b", "m", "z"]
    assert pilot.states() == dict.fromkeys("abmz", "succeeded")
    assert pilot.state == "succeeded"


def test_a_kept_output_can_be_read_under_its_new_number() -> None:
    old = flow(py("first"), py("m", "first", retry=ONCE))
    new = flow(py("a"), py("first"), py("m", "a", with_={"x": "${{ tasks.first.output }}"}))
    pilot = Pilot(old, script({"first": Outcome(output=[1]), "m": FAILED})).fly()
    pilot.body = lambda name, inputs, attempt: Outcome(output=inputs.value.get("with"))
    moved(pilot, new)
    assert pilot.rows[2, Key(new.index["m"])].output == b'{"x": [1]}'


def test_what_is_gone_is_left_behind_and_a_crash_changes_nothing() -> None:
    old = flow(py("a"), py("gone", "a"), py("m", "gone", retry=ONCE))
    new = flow(py("a"), py("m", "a"))
    pilot = flown(old, "m")
    pilot.move(new, None)
    pilot.crash()
    pilot.fly()
    assert pilot.states() == {"a": "succeeded", "m": "succeeded"}
    assert pilot.started == ["m"]


def test_a_later_rerun_goes_on_from_the_new_version() -> None:
    old = flow(py("a"), py("b", "a", retry=ONCE))
    new = flow(py("z0"), py("a"), py("b", "a"))
    pilot = moved(flown(old, "b"), new)
    pilot.started.clear()
    pilot.feed(e.RerunAsked(99.0, "me", (Key(new.index["b"]),)))
    pilot.crash()
    pilot.fly()
    assert pilot.started == ["b"]
    assert pilot.states() == dict.fromkeys(("z0", "a", "b"), "succeeded")


def test_maps_keep_their_items_and_what_they_gained_runs_in_each() -> None:
    old = flow(group("g", py("a"), py("m", "a", retry=ONCE), map=over([1, 2])), py("z", "g"))
    new = flow(group("g", py("a"), py("k", "a"), py("m", "a", retry=ONCE), map=over([1, 2])), py("z", "g"))
    pilot = moved(flown(old, "g.m[1]"), new)
    assert sorted(pilot.started) == ["g.k[0]", "g.k[1]", "g.m[1]", "z"]
    assert set(pilot.states().values()) == {"succeeded"}


def test_an_item_can_be_named() -> None:
    plan = flow(py("p", map=over([1, 2])), py("z", "p"))
    new = flow(py("b"), py("p", map=over([1, 2])), py("z", "p"))
    pilot = flown(plan)
    pilot.move(new, (Key(plan.index["p"], child(0, 1, 0)),))
    pilot.fly()
    assert sorted(pilot.started) == ["b", "p[1]", "z"]


def test_handlers_of_the_new_version_run() -> None:
    old = flow(py("a", retry=ONCE), on_failure=(py("alarm"),))
    new = flow(py("a"), finally_=(py("close"),))
    pilot = moved(flown(old, "a"), new)
    assert pilot.started == ["a", "close"]
    assert pilot.state == "succeeded"


def test_a_task_that_is_to_run_again_must_be_there() -> None:
    pilot = flown(flow(py("a"), py("b", "a", retry=ONCE)), "b")
    said = 'task "b" is to run again, and version 2 has no such task. Name tasks that it has, or start a new run of it.'
    assert refused(pilot, flow(py("a"))) == said
    assert refused(pilot, flow(py("a")), "b") == said


def test_a_result_of_another_form_is_not_kept_in_silence() -> None:
    old = flow(py("a"), py("b", "a", retry=ONCE))
    new = flow(py("a", map=over([1])), py("b", "a"))
    pilot = flown(old, "b")
    assert refused(pilot, new) == (
        'task "a" is mapped in version 2, unlike in the version that ran. What it came to cannot be kept: name "a" '
        "among the tasks to run again."
    )
    moved(pilot, new, "a")
    assert pilot.started == ["a[0]", "b"]


def test_a_task_that_now_lies_in_a_map_is_run_by_the_map() -> None:
    old = flow(group("g", py("a")), py("z", "g", retry=ONCE))
    new = flow(group("g", py("a"), map=over([1])), py("z", "g"))
    pilot = flown(old, "z")
    assert refused(pilot, new, "g.a") == (
        'task "g.a" lies in other maps in version 2, unlike in the version that ran. Name the map around it among the '
        "tasks to run again."
    )
    moved(pilot, new, "g")
    assert pilot.started == ["g.a[0]", "z"]


def test_an_item_that_the_kept_map_does_not_have_is_refused() -> None:
    plan = flow(py("p", map=over([1, 2])))
    pilot = flown(plan)
    with pytest.raises(Misfit, match=r'version 2 has no task run "p\[5\]"'):
        pilot.machine.check_move((Key(0, child(0, 5, 0)),), flow(noop("n"), py("p", map=over([1, 2]))), 2)


def test_a_move_that_does_not_fit_any_more_is_out_of_date() -> None:
    """It fitted when it was asked for, and comes behind what changed that."""
    old = flow(py("a"))
    pilot = flown(old, "a")
    pilot.move(flow(py("b")), (Key(0),))
    board = pilot.machine.board
    assert (pilot.stale, board.status.generation) == (1, 1)
    assert board.plan is old
