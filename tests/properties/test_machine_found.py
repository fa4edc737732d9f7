"""What random flights have found, as small as it gets: each of these once went wrong."""

from __future__ import annotations

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.workflow import Case, Limits
from tests.support.flows import flow, gate, group, noop, over, py, switch
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


def test_always_starts_before_its_upstreams_have_ended() -> None:
    assert begun(Pilot(flow(py("a"), py("b", "a", trigger_rule="always")))).started == ["a", "b"]


def test_a_rule_expression_that_can_never_be_true_settles_at_once() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a", trigger_rule='count(a, "failed") > 1'))))
    assert pilot.states()["b"] == "skipped"


def test_a_rule_expression_over_a_map_is_looked_at_when_each_item_ends() -> None:
    plan = flow(py("p", map=over([0, 1, 2])), py("b", "p", trigger_rule='count(p, "failed") >= 2'))
    pilot = begun(Pilot(plan, script({"p[0]": FAILED, "p[1]": FAILED})))
    pilot.land()
    assert "b" not in pilot.started
    pilot.land()
    assert "b" in pilot.started


def test_a_skipped_map_of_groups_is_not_taken_for_an_empty_one() -> None:
    each = group("each", py("x"), map=over([0]), when="false")
    states = Pilot(flow(each, py("b", "each", trigger_rule="success(each)"))).fly().states()
    assert states["b"] == "skipped"


def test_an_empty_map_is_skipped_for_a_rule_expression_too_and_its_rate_is_one() -> None:
    plan = flow(
        py("p", map=over([])),
        py("a", "p", trigger_rule="success(p)"),
        py("b", "p", trigger_rule="skipped(p)"),
        py("c", "p", trigger_rule="rate(p) >= 1"),
    )
    for crashes in (False, True):
        pilot = begun(Pilot(plan))
        if crashes:
            pilot.crash()
        states = pilot.fly().states()
        assert (states["a"], states["b"], states["c"]) == ("skipped", "succeeded", "succeeded")


def test_a_gate_reaches_into_maps_that_expand_later() -> None:
    each = group("each", py("x", "g"), py("y", "x"), py("z"), map=over("${{ tasks.a.output }}"))
    plan = flow(py("a"), gate("g", "false"), each)
    for crashes in (False, True):
        pilot = begun(Pilot(plan, script({"a": Outcome(output=[1])})))
        if crashes:
            pilot.crash()
        states = pilot.fly().states()
        assert (states["each.x[0]"], states["each.y[0]"], states["each.z[0]"]) == (
            "skipped",
            "skipped",
            "succeeded",
        )


def test_a_switch_skips_what_it_did_not_choose_in_maps_too() -> None:
    each = group("each", py("x", "s"), py("z"), map=over([0]))
    states = Pilot(flow(switch("s", default=("b",)), py("b"), each)).fly().states()
    assert (states["each.x[0]"], states["each.z[0]"]) == ("skipped", "succeeded")


def test_a_switch_that_chose_a_group_spares_its_members() -> None:
    each = group("each", py("x", "s"), map=over([0]))
    assert Pilot(flow(switch("s", default=("each",)), each)).fly().states()["each.x[0]"] == "succeeded"


def test_a_switch_never_skips_a_teardown() -> None:
    plan = flow(
        py("up"),
        switch("s", "up", default=("a",)),
        py("a"),
        py("down", teardown_of=("up",), trigger_rule="all_done_setup_success"),
    )
    assert Pilot(plan).fly().states()["down"] == "succeeded"


def test_a_group_whose_members_were_all_skipped_before_it_was_entered_ends() -> None:
    plan = flow(switch("s", default=()), group("g", py("x", "s"), when="true"), py("z", "g"))
    assert Pilot(plan).fly().states() == {"s": "succeeded", "g.x": "skipped", "z": "skipped"}


def test_a_gate_that_was_closed_stays_closed_when_something_beside_it_runs_again() -> None:
    outcomes = {"a": FAILED}
    pilot = Pilot(flow(py("a"), gate("g", "false"), py("b", "a", "g")), script(outcomes)).fly()
    outcomes.clear()
    pilot.feed(e.RerunAsked(9.0, "me", None))
    assert pilot.fly().states() == {"a": "succeeded", "g": "succeeded", "b": "skipped"}


def test_a_switch_keeps_its_choice_when_something_beside_it_runs_again() -> None:
    outcomes = {"a": FAILED}
    cases = (Case("true", ("b",)),)
    plan = flow(py("a"), switch("s", cases=cases), py("b", "a"), py("c", "a", "s"))
    pilot = Pilot(plan, script(outcomes)).fly()
    outcomes.clear()
    pilot.feed(e.RerunAsked(9.0, "me", None))
    assert pilot.fly().states() == {"a": "succeeded", "s": "succeeded", "b": "succeeded", "c": "skipped"}


def test_what_follows_a_group_runs_again_with_what_the_group_waits_for() -> None:
    plan = flow(py("a"), group("g", py("x"), after=("a",)), py("z", "g"))
    pilot = Pilot(plan).fly()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(9.0, "me", (Key(plan.index["a"]),)))
    pilot.fly()
    assert pilot.started == ["a", "g.x", "z"]


def test_a_rerun_spares_what_does_not_follow_inside_a_map() -> None:
    outcomes = {"a": FAILED}
    plan = flow(py("a"), group("each", py("x"), py("y", "x", "a"), map=over([0, 1])))
    pilot = Pilot(plan, script(outcomes)).fly()
    outcomes.clear()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(9.0, "me", None))
    pilot.fly()
    assert sorted(pilot.started) == ["a", "each.y[0]", "each.y[1]"]


def test_a_map_keeps_its_items_over_two_reruns_and_a_crash() -> None:
    outcomes = {"p[1]": FAILED}
    plan = flow(py("p", map=over(["u", "v"]), with_={"x": "${{ item }}"}))
    seen = []

    def body(name, inputs, attempt):  # type: ignore[no-untyped-def]
        seen.append((name, inputs.value["with"]["x"]))
        return outcomes.get(name, Outcome())

    pilot = Pilot(plan, body).fly()
    for last in (False, True):
        if last:
            outcomes.clear()
        seen.clear()
        pilot.feed(e.RerunAsked(9.0, "me", None))
        pilot.crash()
        pilot.fly()
        assert seen == [("p[1]", "v")]
    assert pilot.state == "succeeded"


def test_what_was_torn_down_is_set_up_again_for_a_rerun() -> None:
    outcomes = {"work": FAILED}
    plan = flow(
        py("up"),
        py("work", "up"),
        py("other", "up"),
        py("down", teardown_of=("up",), trigger_rule="all_done_setup_success"),
    )
    pilot = Pilot(plan, script(outcomes)).fly()
    outcomes.clear()
    pilot.started.clear()
    pilot.feed(e.RerunAsked(9.0, "me", None))
    pilot.fly()
    assert pilot.started == ["up", "work", "down"]


def test_fail_fast_cancels_items_of_a_group_that_have_not_started() -> None:
    each = group("each", py("x"), py("y", "x"), map=over([0, 1]), fail_fast=True)
    pilot = Pilot(flow(each, limits=Limits(active_tasks=1)), script({"each.x[0]": FAILED})).fly()
    assert pilot.started == ["each.x[0]"]
    assert pilot.states()["each.y[1]"] == "cancelled"


def test_fail_fast_cancels_what_is_handed_back_after_it() -> None:
    pilot = begun(Pilot(flow(py("p", map=over([0, 1]), fail_fast=True)), script({"p[0]": FAILED})))
    pilot.land()
    send = pilot.flying.pop()
    pilot.feed(e.HandedBack(2.0, send.key, 1, send.epoch, send.n))
    assert pilot.states() == {"p[0]": "failed", "p[1]": "cancelled"}


def test_counts_over_a_group_see_the_items_of_its_maps() -> None:
    g = group("g", py("p", map=over([0, 1])))
    plan = flow(g, py("b", "g", trigger_rule='count(g, "succeeded") == 2'))
    assert Pilot(plan).fly().states()["b"] == "succeeded"


def test_gates_are_judged_before_what_they_may_skip() -> None:
    plan = flow(
        py("a"),
        gate("g", "false", "a"),
        py("p", "a", "g", trigger_rule="one_success", map=over([0])),
        noop("n", "p"),
    )
    assert Pilot(plan).fly().states()["p"] == "skipped"


def test_a_rerun_judges_the_condition_of_a_group_of_groups_again() -> None:
    """Nothing of it is kept: it is entered anew, and not taken for one that was entered before."""
    inner = group("inner", py("x"), after=("a",))
    plan = flow(py("a"), group("outer", inner, after=("a",), when="tasks.a.output.no == 1"))
    pilot = Pilot(plan).fly()
    for _ in range(2):
        assert pilot.states() == {"a": "succeeded", "outer.inner.x": "failed"}
        pilot.feed(e.RerunAsked(pilot.now, "ann", None))
        pilot.fly()
    assert pilot.started == ["a"]
