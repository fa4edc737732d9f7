"""Why a task run ended as it did: what decided, and where the chain began."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key, pack
from headrace.engine.core.machine.explaining import Explanation
from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Case
from tests.support.flows import flow, gate, group, noop, over, py, switch
from tests.support.pilot import Outcome, Pilot, script

FAILED, SKIPPED = Outcome("failed"), Outcome("skipped")


def ended(plan: Plan, **outcomes: Outcome) -> Pilot:
    return known(Pilot(plan, script(outcomes)).fly())


def known(pilot: Pilot) -> Pilot:
    """The machine with the reasons that its rows have."""
    pilot.machine.reasons = {
        key: row.reason for (_, key), row in pilot.rows.items() if row.reason is not None
    }
    return pilot


def why(pilot: Pilot, name: str, *map_: int) -> Explanation:
    found = pilot.machine.explain(Key(pilot.plan.index[name], pack(map_)))
    assert found is not None
    assert found.verdict == "final"
    return found


def told(pilot: Pilot, name: str, *map_: int) -> list[tuple[str, Any]]:
    return [(one.code, one.evidence) for one in why(pilot, name, *map_).blockers]


def upstreams(pilot: Pilot, name: str) -> list[Any]:
    return [one.evidence["id"] for one in why(pilot, name).blockers if one.code == "upstream"]


@pytest.mark.parametrize(
    ("rule", "state", "decided"),
    [
        ("all_success", "upstream_failed", ["bad", "worse"]),
        ("none_failed", "upstream_failed", ["bad", "worse"]),
        ("all_failed", "skipped", ["good", "other", "skip"]),
        ("none_skipped", "skipped", ["skip"]),
        ("all_skipped", "skipped", ["bad", "good", "other", "worse"]),
        ("all_done_min_one_success", "skipped", ["skip"]),
        ("skipped(good)", "skipped", ["good"]),
    ],
)
def test_the_upstreams_that_decided_are_told_and_no_others(rule: str, state: str, decided: list[str]) -> None:
    names = ("bad", "good", "other", "skip", "worse")
    after = () if "(" in rule else names
    plan = flow(*(py(name) for name in names), py("z", *after, trigger_rule=rule))
    pilot = ended(plan, bad=FAILED, worse=FAILED, skip=SKIPPED)
    assert why(pilot, "z").state == state
    assert upstreams(pilot, "z") == decided


def test_where_only_all_of_them_together_decided_all_are_told() -> None:
    plan = flow(py("a"), py("b"), py("z", "a", "b", trigger_rule="one_failed"))
    assert upstreams(ended(plan), "z") == ["a", "b"]


def test_a_teardown_is_told_its_setups() -> None:
    plan = flow(py("up"), py("x"), py("down", "x", teardown_of=("up",)))
    assert upstreams(ended(plan, up=SKIPPED, x=FAILED), "down") == ["up"]
    assert upstreams(ended(plan, up=FAILED, x=FAILED), "down") == ["up"]


def test_the_chain_is_followed_to_where_it_began() -> None:
    plan = flow(py("a"), py("b", "a"), py("c", "b"), py("d", "c"))
    pilot = ended(plan, a=FAILED)
    assert told(pilot, "b") == [
        ("upstream", {"id": "a", "state": "failed", "counts": {"failed": 1}, "reason": "task_failed"})
    ]
    upstream, began = told(pilot, "d")
    assert upstream[1]["id"] == "c"
    assert began == ("began", {"id": "a", "state": "failed", "reason": "task_failed"})


def test_a_very_long_chain_takes_no_recursion_and_not_for_ever() -> None:
    plan = flow(py("a"), *(noop(f"n{n:04}", f"n{n - 1:04}" if n else "a") for n in range(3_000)))
    pilot = ended(plan, a=FAILED)
    assert told(pilot, "n0500")[-1] == ("began", {"id": "a", "state": "failed", "reason": "task_failed"})
    assert told(pilot, "n2999")[-1][1]["reason"] == "trigger_rule"  # as far as it was followed


def test_a_condition_ends_the_chain() -> None:
    plan = flow(py("a", when="1 > 2"), py("b", "a"), py("c", "b"))
    pilot = ended(plan)
    assert told(pilot, "a") == []
    assert told(pilot, "c")[-1] == ("began", {"id": "a", "state": "skipped", "reason": "when"})


def test_a_gate_is_named_and_of_several_the_closed_one() -> None:
    plan = flow(
        gate("g", "1 > 2"), gate("open", "1 < 2"), py("a", "g", "open"), py("b", "a", trigger_rule="all_done")
    )
    pilot = ended(plan)
    for name in ("a", "b"):
        assert told(pilot, name) == [("gate", {"gates": ["g"]})]
    assert told(pilot, "g") == [("closed", {})]
    pilot.machine.reasons = {Key(pilot.plan.index["a"]): "gate"}
    assert told(pilot, "a") == [("gate", {"gates": ["g", "open"]})]  # nobody knows which


def test_a_switch_is_named() -> None:
    plan = flow(switch("s", cases=(Case("1 < 2", ("a",)),), default=("b",)), py("a"), py("b"), py("c", "b"))
    pilot = ended(plan)
    assert told(pilot, "b") == [("switch", {"switches": ["s"]})]
    assert told(pilot, "c") == [
        ("upstream", {"id": "b", "state": "skipped", "counts": {"skipped": 1}, "reason": "not_chosen"})
    ]


def test_what_lies_in_a_group_that_was_not_entered_is_told_of_the_group() -> None:
    plan = flow(py("a"), py("b", "a"), group("g", py("x"), after=("b",)))
    pilot = ended(plan, a=FAILED)
    assert told(pilot, "g.x") == [
        ("group_ended", {"id": "g", "state": "upstream_failed", "reason": "trigger_rule"}),
        ("began", {"id": "a", "state": "failed", "reason": "task_failed"}),
    ]
    pilot = ended(flow(group("g", py("x"), when="1 > 2")))
    assert told(pilot, "g.x") == [("group_ended", {"id": "g", "state": "skipped", "reason": "when"})]


def test_a_group_is_told_of_the_leaves_that_decided() -> None:
    plan = flow(group("g", py("x"), py("y")), group("e", py("u"), py("v"), map=over([1, 2])))
    pilot = ended(plan, **{"g.x": FAILED, "e.u[1]": FAILED})
    assert told(pilot, "g") == [
        ("leaves", {"leaves": [{"id": "g.x", "state": "failed", "reason": "task_failed"}]})
    ]
    assert told(pilot, "e", 1) == [
        ("leaves", {"leaves": [{"id": "e.u[1]", "state": "failed", "reason": "task_failed"}]})
    ]
    assert told(pilot, "e") == [("items_failed", {"failed": 1, "tolerated": 0, "first": "e[1]"})]


def test_reasons_that_say_all() -> None:
    plan = flow(
        py("s"),
        py("m", map=over([])),
        py("each", map=over([1, 2, 3]), max_parallel=1, fail_fast=True),
        on_failure=(py("alarm"),),
    )
    pilot = ended(plan, s=SKIPPED, **{"each[0]": FAILED})
    assert told(pilot, "s") == [("task_skipped", {})]
    assert told(pilot, "m") == [("empty_map", {})]
    assert told(pilot, "each", 2) == [("fail_fast", {})]
    assert told(ended(flow(py("a"), on_failure=(py("alarm"),))), "alarm") == [("not_failed", {})]
    pilot = Pilot(flow(py("a"), py("b", "a")))
    pilot.feed(e.Started(0.0), e.CancelAsked(1.0, "ann"))
    assert told(known(pilot), "b") == [("run_cancelled", {})]


def test_without_reasons_only_what_is_certain_is_told() -> None:
    pilot = Pilot(flow(py("a"), py("b", "a"), py("s")), script({"a": FAILED, "s": SKIPPED})).fly()
    assert upstreams(pilot, "b") == ["a"]
    assert told(pilot, "s") == []
