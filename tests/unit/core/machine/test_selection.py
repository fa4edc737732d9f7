"""A run of part of its graph: what is selected, how the rest counts, what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.machine import RunMachine
from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.run import RunStatus
from headrace.engine.core.selection import narrowed, resolve
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Case
from tests.support.flows import flow, gate, group, noop, over, py, switch
from tests.support.pilot import Outcome, Pilot, script

CHAIN = flow(py("a", tags=("nightly",)), py("b", "a"), py("c", "b", tags=("nightly",)), py("d", "c"))
GROUPED = flow(py("a"), group("g", py("x"), py("y", "x"), after=("a",)), py("z", "g"))


def pilot(plan: Plan, *select: str, exclude: Sequence[str] = (), **outcomes: Outcome) -> Pilot:
    flown = Pilot(plan, script(outcomes), selected=resolve(plan, select, exclude)).fly()
    flown.replayed()
    return flown


def wrong(plan: Plan, *select: str, exclude: Sequence[str] = ()) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        resolve(plan, select, exclude)
    assert {problem.code for problem in caught.value.problems} == {"invalid_parameter"}
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("select", "exclude", "found"),
    [
        (["b"], [], "b"),
        (["+b"], [], "ab"),
        (["c+"], [], "cd"),
        (["+b+"], [], "abcd"),
        (["tag:nightly"], [], "ac"),
        (["a", "d"], [], "ad"),
        ([], ["c+"], "ab"),
        (["+d"], ["b"], "acd"),
        (["tag:nightly+"], ["a"], "bcd"),
    ],
)
def test_selectors_are_joined_and_exclusions_taken_off(
    select: list[str], exclude: list[str], found: str
) -> None:
    assert "".join(resolve(CHAIN, select, exclude)) == found


@pytest.mark.parametrize(
    ("select", "found"),
    [
        ("g", ("g", "g.x", "g.y")),
        ("g.y", ("g", "g.y")),
        ("+g.y", ("a", "g", "g.x", "g.y")),
        ("g+", ("g", "g.x", "g.y", "z")),
        ("+z", ("a", "g", "g.x", "g.y", "z")),
        ("a+", ("a", "g", "g.x", "g.y", "z")),
    ],
)
def test_a_group_stands_for_its_members_and_a_member_enters_its_group(
    select: str, found: tuple[str, ...]
) -> None:
    assert set(resolve(GROUPED, [select])) == set(found)


def test_all_that_is_wrong_is_told_with_the_nearest_name() -> None:
    plan = flow(py("extract", tags=("nightly",)), py("load", "extract"), finally_=(py("tidy"),))
    told = wrong(plan, "extrct", "tag:nightli", "tidy", exclude=["laod"])
    assert len(told) == 4
    assert 'Did you mean "extract"?' in told[0]
    assert 'Did you mean "nightly"?' in told[1]
    assert "part of every run" in told[2]
    assert 'Did you mean "load"?' in told[3]


def test_nothing_selected_is_refused() -> None:
    assert wrong(CHAIN, "a", exclude=["a"]) == ["Nothing is selected. Name tasks that are not excluded."]


def test_a_task_alone_runs_and_the_rest_was_not_selected() -> None:
    flown = pilot(CHAIN, "b")
    assert flown.states() == {"a": "skipped", "b": "succeeded", "c": "skipped", "d": "skipped"}
    assert {row.reason for row in flown.rows.values()} == {None, "not_selected"}
    assert flown.started == ["b"]
    assert flown.machine.status.state is RunState.SUCCEEDED


def test_order_goes_through_what_is_left_out() -> None:
    flown = pilot(CHAIN, "a", "c", a=Outcome("failed"))
    assert flown.states() == {"a": "failed", "b": "skipped", "c": "upstream_failed", "d": "skipped"}
    assert flown.machine.status.state is RunState.FAILED


def test_a_failure_above_leaves_that_are_left_out_fails_the_run() -> None:
    assert pilot(CHAIN, "c", c=Outcome("failed")).machine.status.state is RunState.FAILED


def test_a_member_runs_in_its_group_and_decides_for_it() -> None:
    flown = pilot(GROUPED, "g.x", "z", **{"g.x": Outcome("failed")})
    assert flown.states() == {
        "a": "skipped",
        "g.x": "failed",
        "g.y": "skipped",
        "z": "upstream_failed",
    }
    assert flown.rows[1, Key(flown.plan.index["g"])].state is TaskState.FAILED


def test_in_a_map_every_item_leaves_the_same_out() -> None:
    plan = flow(group("g", py("x"), py("y", "x"), map=over([1, 2])), py("z", "g"))
    flown = pilot(plan, "g.x", "z")
    assert sorted(flown.started) == ["g.x[0]", "g.x[1]", "z"]
    flown = pilot(plan, "g.x", "z", **{"g.x[1]": Outcome("failed")})
    assert flown.states()["z"] == "upstream_failed"


def test_handlers_always_run_and_teardowns_with_their_setups() -> None:
    plan = flow(
        py("make"),
        py("work", "make"),
        py("other"),
        py("drop", "work", "make", teardown_of=("make",)),
        finally_=(py("tidy"),),
    )
    assert pilot(plan, "make").started == ["make", "drop", "tidy"]
    assert pilot(plan, "other").started == ["other", "tidy"]


def test_a_switch_may_choose_what_is_left_out() -> None:
    plan = flow(switch("s", cases=(Case("true", ("b",)),)), py("b", "s"), py("c", "s"))
    assert pilot(plan, "s", "c").states() == {"b": "skipped", "c": "skipped", "s": "succeeded"}
    assert pilot(plan, "c").states() == {"b": "skipped", "c": "succeeded", "s": "skipped"}


def test_a_closed_gate_bars_what_lies_behind_what_is_left_out() -> None:
    plan = flow(gate("g", "false"), py("b", "g"), py("c", "b"))
    assert pilot(plan, "g", "c").states()["c"] == "skipped"


def test_a_task_that_reads_what_is_left_out_is_refused() -> None:
    plan = flow(
        py("a"), py("b", "a", with_={"x": "${{ tasks.a.output }}"}), py("c", "a", trigger_rule="success(a)")
    )
    assert wrong(plan, "b", "c") == [
        'Task "b" reads the output of "a", which is not selected. Select "a" too, or "+b" with everything upstream.',
        'The trigger rule of task "c" names "a", which is not selected. Select "a" too, or "+c" with everything upstream.',
    ]
    assert resolve(plan, ["+b"]) == ("a", "b")


def test_a_rerun_keeps_to_the_selection() -> None:
    flown = pilot(CHAIN, "b", "c", b=Outcome("failed"))
    flown.body = script({})
    flown.feed(e.RerunAsked(flown.now, "me", None))
    flown.fly()
    assert flown.states() == {"a": "skipped", "b": "succeeded", "c": "succeeded", "d": "skipped"}
    assert flown.machine.status.state is RunState.SUCCEEDED


def test_a_machine_that_is_restored_leaves_the_same_out() -> None:
    made = Pilot(CHAIN, selected=("b", "c"))
    machine = RunMachine.restore(CHAIN, made.info, made.evaluator, RunStatus(RunState.RUNNING), ())
    assert machine.plan.left_out == {0, 3}


def test_all_of_a_plan_is_that_plan() -> None:
    assert narrowed(CHAIN, CHAIN.ids) is CHAIN


def test_a_long_chain_is_looked_through() -> None:
    tasks = [noop("t0"), *(noop(f"t{n}", f"t{n - 1}") for n in range(1, 3000))]
    plan = flow(*tasks)
    cut = narrowed(plan, ("t0", "t2999"))
    assert list(cut.upstream(plan.index["t2999"])) == [plan.index["t0"]]
