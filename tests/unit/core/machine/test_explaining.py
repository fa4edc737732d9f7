"""Why a task run waits, by the functions that decide."""

from __future__ import annotations

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.explaining import Explanation
from headrace.engine.core.workflow import Limits
from tests.support.flows import flow, group, over, py, sleep, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")


def why(pilot: Pilot, name: str, map: int = 0) -> Explanation:
    found = pilot.machine.explain(Key(pilot.plan.index[name], map))
    assert found is not None
    return found


def codes(found: Explanation) -> list[str]:
    return [blocker.code for blocker in found.blockers]


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


def test_a_task_names_the_upstreams_that_are_not_final() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b"), py("c", "a", "b"))))
    pilot.land()
    found = why(pilot, "c")
    assert found.verdict == "waiting"
    assert [blocker.evidence["id"] for blocker in found.blockers] == ["b"]
    assert [(one.id, one.state, one.satisfied) for one in found.upstream] == [
        ("a", "succeeded", True),
        ("b", "dispatched", False),
    ]


def test_before_the_run_begins_the_run_itself_is_in_the_way() -> None:
    assert codes(why(Pilot(flow(py("a"))), "a"))[0] == "run_queued"


def test_pause_limits_timers_retries_and_workers_are_named() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b"), sleep("s", 9), limits=Limits(active_tasks=1))))
    assert codes(why(pilot, "b")) == ["active_tasks"]
    assert why(pilot, "a").blockers[0].evidence["worker"] == "w1"
    assert why(pilot, "s").blockers[0].evidence["due_at"] == 9.0
    pilot.feed(e.PauseAsked(1.0, "me"))
    assert codes(why(pilot, "b"))[0] == "paused"
    pilot = begun(Pilot(flow(py("a", retry=tries(3, 5.0))), script({"a": FAILED})))
    pilot.land()
    assert why(pilot, "a").blockers[0].evidence == {"attempt": 1, "of": 3, "due_at": 6.0}


def test_what_can_no_longer_run_says_how_it_will_settle() -> None:
    plan = flow(
        py("a"),
        py("slow"),
        py("never", "a", "slow"),
        py("alarm", "a", "slow", trigger_rule="all_done_setup_success"),
    )
    pilot = begun(Pilot(plan, script({"a": Outcome("skipped")})))
    pilot.land()
    assert why(pilot, "never").verdict == "will_skip"
    assert why(pilot, "alarm").verdict == "waiting"


def test_items_and_groups_are_told_by_their_own_blockers() -> None:
    plan = flow(py("p", map=over([1, 2, 3]), max_parallel=1), py("x"), group("g", py("y"), after=("x",)))
    pilot = begun(Pilot(plan))
    from headrace.engine.core.keys import pack

    assert codes(why(pilot, "p", pack((2,)))) == ["map_window"]
    assert why(pilot, "p").blockers[0].evidence["total"] == 3
    assert why(pilot, "g.y").blockers[0].evidence == {"group": "g", "upstream": ["x"]}


def test_a_final_task_says_what_decided_it() -> None:
    pilot = Pilot(
        flow(py("a"), py("b", "a"), py("p", map=over([0, 1]))), script({"a": FAILED, "p[1]": FAILED})
    ).fly()
    found = why(pilot, "b")
    assert (found.verdict, found.state) == ("final", "upstream_failed")
    assert found.blockers[0].evidence["state"] == "failed"
    assert why(pilot, "p").blockers[0].evidence == {"failed": 1, "tolerated": 0, "first": "p[1]"}


@pytest.mark.parametrize("name", ["nope"])
def test_a_task_run_that_does_not_exist_has_no_explanation(name: str) -> None:
    pilot = Pilot(flow(py("a")))
    assert pilot.machine.explain(Key(99)) is None
