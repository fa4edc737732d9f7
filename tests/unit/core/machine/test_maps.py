"""Maps, groups, tolerance, windows."""

from __future__ import annotations

import pytest

from headrace.engine.core import events as e
from tests.support.flows import flow, group, noop, over, py
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")


def test_a_map_runs_one_task_run_per_element_and_gives_their_outputs_in_order() -> None:
    plan = flow(
        py("a"),
        py("p", map=over("${{ tasks.a.output }}"), with_={"x": "${{ item }}"}),
        py("sum", with_={"all": "${{ tasks.p.output }}"}),
    )
    seen: dict[str, object] = {}

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen[name] = inputs.value.get("with")
        return Outcome(
            output=[1, 2, 3]
            if name == "a"
            else inputs.value["with"].get("x", 0) * 10
            if name != "sum"
            else None
        )

    pilot = Pilot(plan, body, seed=4).fly()
    assert pilot.state == "succeeded"
    assert seen["p[1]"] == {"x": 2}
    assert seen["sum"] == {"all": [10, 20, 30]}


def test_product_crosses_with_the_last_name_fastest_and_zip_pairs() -> None:
    from headrace.engine.core.workflow import Map

    plan = flow(
        py("a", map=Map(product={"x": [1, 2], "y": ["u", "v"]}), with_={"at": "${{ item }}"}),
        py("b", map=Map(zip={"x": [1, 2], "y": ["u", "v"]}), with_={"at": "${{ item.y }}"}),
    )
    seen = {}
    Pilot(
        plan, lambda name, inputs, attempt: seen.__setitem__(name, inputs.value["with"]["at"]) or Outcome()
    ).fly()
    assert [seen[f"a[{i}]"] for i in range(4)] == [
        {"x": 1, "y": "u"},
        {"x": 1, "y": "v"},
        {"x": 2, "y": "u"},
        {"x": 2, "y": "v"},
    ]
    assert [seen[f"b[{i}]"] for i in range(2)] == ["u", "v"]


def test_zip_of_unequal_lengths_fails_the_task_with_expression_error() -> None:
    from headrace.engine.core.workflow import Map

    pilot = Pilot(flow(py("b", map=Map(zip={"x": [1, 2], "y": ["u"]})))).fly()
    row = next(row for row in pilot.rows.values() if row.reason == "expression_error")
    assert row.error is not None
    assert "x has 2, y has 1" in row.error.message


@pytest.mark.parametrize(("value", "what"), [("abc", "a string"), ({"a": 1}, "an object"), (None, "null")])
def test_a_map_over_no_list_fails_and_says_what_it_got(value: object, what: str) -> None:
    """faults 15"""
    plan = flow(py("a"), py("p", map=over("${{ tasks.a.output }}")))
    pilot = Pilot(plan, script({"a": Outcome(output=value)})).fly()
    assert pilot.states()["p"] == "failed"
    row = pilot.newest(next(k for _, k in pilot.rows if k.task == plan.index["p"]))
    assert row is not None
    assert row.error is not None
    assert what in row.error.message


def test_an_empty_map_is_skipped_with_an_empty_list_or_succeeds_when_told() -> None:
    """faults 15"""
    plan = flow(
        py("a"),
        py("p", map=over("${{ tasks.a.output }}")),
        py("q", map=over("${{ tasks.a.output }}"), on_empty="succeed"),
        py("after_p", "p"),
        py("after_q", with_={"got": "${{ tasks.q.output }}"}),
    )
    seen = {}

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen[name] = inputs.value
        return Outcome(output=[] if name == "a" else None)

    pilot = Pilot(plan, body).fly()
    assert pilot.states() == {
        "a": "succeeded",
        "p": "skipped",
        "q": "succeeded",
        "after_p": "skipped",
        "after_q": "succeeded",
    }
    assert seen["after_q"] == {"with": {"got": []}}


def test_more_items_than_max_items_fails_with_map_too_large() -> None:
    pilot = Pilot(flow(py("p", map=over([1, 2, 3], max_items=2)))).fly()
    assert [row.reason for row in pilot.rows.values()] == ["map_too_large"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("failing", "after"), [(1, "succeeded"), (2, "succeeded"), (3, "upstream_failed")])
def test_tolerate_counts_failures_as_succeeded_up_to_its_edge(seed: int, failing: int, after: str) -> None:
    plan = flow(
        py("p", map=over(list(range(8))), tolerate=0.25),
        py("all", "p"),
        py("alarm", "p", trigger_rule="one_failed"),
    )
    pilot = Pilot(plan, script({f"p[{i}]": FAILED for i in range(failing)}), seed=seed).fly()
    states = pilot.states()
    assert states["all"] == after
    assert states["alarm"] == ("succeeded" if after == "upstream_failed" else "skipped")
    assert [states[f"p[{i}]"] for i in range(failing)] == ["failed"] * failing
    assert pilot.state == ("failed" if after == "upstream_failed" else "succeeded")


def test_a_rule_that_reacts_to_failure_waits_until_it_is_certain() -> None:
    plan = flow(py("p", map=over([0, 1, 2]), tolerate=1), py("alarm", "p", trigger_rule="one_failed"))
    pilot = Pilot(plan, script({"p[0]": FAILED, "p[1]": FAILED}))
    pilot.feed(e.Started(0.0))
    pilot.land()
    assert "alarm" not in pilot.started
    pilot.land()
    assert "alarm" in pilot.started
    pilot.fly()


def test_all_items_tolerated_shows_success_downstream_even_after_a_crash() -> None:
    plan = flow(py("p", map=over([0, 1]), tolerate=1.0), py("wait"), py("z", "p", "wait"))
    pilot = Pilot(plan, script({"p[0]": FAILED, "p[1]": FAILED}))
    pilot.feed(e.Started(0.0))
    while any(pilot.name(send.key) != "wait" for send in pilot.flying):
        pilot.flying.sort(key=lambda send: pilot.name(send.key))
        pilot.land()
    pilot.crash()
    assert pilot.fly().states()["z"] == "succeeded"


def test_fail_fast_cancels_what_has_not_started_once_the_tolerance_is_exceeded() -> None:
    plan = flow(py("p", map=over(list(range(10))), max_parallel=2, fail_fast=True, tolerate=1))
    pilot = Pilot(plan, script({"p[0]": FAILED, "p[1]": FAILED})).fly()
    states = pilot.states()
    assert list(states.values()).count("cancelled") == 10 - len(pilot.started)
    assert len(pilot.started) <= 4
    assert pilot.state == "failed"


def test_max_parallel_is_never_exceeded() -> None:
    pilot = Pilot(flow(py("p", map=over(list(range(20))), max_parallel=3)), seed=1)
    pilot.feed(e.Started(0.0))
    most = 0
    while pilot.flying:
        most = max(most, len(pilot.flying))
        pilot.land()
    assert most == 3
    assert pilot.state == "succeeded"


def test_a_map_larger_than_the_window_runs_all_its_items() -> None:
    pilot = Pilot(flow(noop("n", map=over(list(range(2500)))), py("z", "n"))).fly()
    assert sum(state == "succeeded" for state in pilot.states().values()) == 2501


def test_a_mapped_group_is_depth_first_and_gives_one_output_an_item() -> None:
    each = group(
        "each",
        py("get", with_={"x": "${{ item }}"}),
        py("put", with_={"y": "${{ tasks.get.output }}"}),
        output="${{ tasks.put.output }}",
        map=over([5, 6]),
    )
    plan = flow(each, py("sum", with_={"all": "${{ tasks.each.output }}"}))
    seen = {}

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen[name] = inputs.value["with"]
        return Outcome(output=inputs.value["with"].get("x") or inputs.value["with"].get("y"))

    pilot = Pilot(plan, body)
    pilot.feed(e.Started(0.0))
    pilot.land()
    assert pilot.started == ["each.get[0]", "each.get[1]", "each.put[0]"]
    pilot.fly()
    assert seen["sum"] == {"all": [5, 6]}


def test_an_item_of_a_mapped_group_fails_when_a_leaf_fails_and_its_output_is_null() -> None:
    each = group("each", py("get"), py("put", "get"), output="ok", map=over([0, 1, 2]), tolerate=1)
    plan = flow(each, py("sum", "each", with_={"all": "${{ tasks.each.output }}"}))
    seen = {}

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen[name] = inputs.value
        return FAILED if name == "each.get[1]" else Outcome()

    pilot = Pilot(plan, body, seed=3).fly()
    assert pilot.states()["each.put[1]"] == "upstream_failed"
    assert pilot.state == "succeeded"
    assert seen["sum"]["with"] == {"all": ["ok", None, "ok"]}


def test_maps_nest_and_inner_items_see_outer_ones_by_name() -> None:
    inner = py("inner", map=over("${{ row.cells }}", as_="cell"), with_={"at": "${{ row.name + cell }}"})
    plan = flow(
        group(
            "rows",
            inner,
            map=over([{"name": "a", "cells": ["1", "2"]}, {"name": "b", "cells": ["3"]}], as_="row"),
        ),
        py("z", "rows"),
    )
    seen = {}
    pilot = Pilot(
        plan, lambda name, inputs, attempt: seen.__setitem__(name, inputs.value) or Outcome(), seed=2
    ).fly()
    assert {name: value["with"]["at"] for name, value in seen.items() if name != "z"} == {
        "rows.inner[0,0]": "a1",
        "rows.inner[0,1]": "a2",
        "rows.inner[1,0]": "b3",
    }
    assert pilot.state == "succeeded"


def test_a_plain_group_not_entered_takes_all_its_tasks_with_it() -> None:
    plan = flow(
        py("a"),
        group("g", py("x"), py("y", "x"), py("always", trigger_rule="always"), after=("a",)),
        py("z", "g"),
    )
    pilot = Pilot(plan, script({"a": FAILED})).fly()
    assert pilot.states() == {
        "a": "failed",
        "g.x": "upstream_failed",
        "g.y": "upstream_failed",
        "g.always": "upstream_failed",
        "z": "upstream_failed",
    }


def test_a_group_whose_condition_is_false_is_skipped_and_one_that_fails_to_judge_fails() -> None:
    plan = flow(
        py("a"),
        group("g", py("x"), py("y", "x"), when="tasks.a.output > 5"),
        group("h", py("x"), py("y", "x"), when="tasks.a.output.no"),
    )
    states = Pilot(plan, script({"a": Outcome(output=1)})).fly().states()
    assert states == {
        "a": "succeeded",
        "g.x": "skipped",
        "g.y": "skipped",
        "h.x": "failed",
        "h.y": "upstream_failed",
    }


def test_a_condition_that_names_the_item_is_judged_per_item() -> None:
    plan = flow(py("p", map=over([1, 2, 3]), when="item != 2"), py("z", "p", trigger_rule="none_failed"))
    assert Pilot(plan).fly().states() == {
        "p[0]": "succeeded",
        "p[1]": "skipped",
        "p[2]": "succeeded",
        "z": "succeeded",
    }


def test_an_outer_task_that_an_inner_one_waits_for_reaches_every_item() -> None:
    plan = flow(py("slow"), group("each", py("x"), py("y", "x", "slow"), map=over([0, 1])))
    pilot = Pilot(plan)
    pilot.feed(e.Started(0.0))
    pilot.flying.sort(key=lambda send: pilot.name(send.key) == "slow")
    for _ in range(2):
        pilot.land()
    assert "each.y[0]" not in pilot.started
    pilot.land()
    assert {"each.y[0]", "each.y[1]"} <= set(pilot.started)
    assert pilot.fly().state == "succeeded"
