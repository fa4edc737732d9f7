"""Runs of part of a random workflow: what is left out never runs, and what is selected with all its upstreams ends as it does in a run of
everything."""

from __future__ import annotations

import random

from hypothesis import assume, given
from hypothesis import strategies as st

from headrace.engine.core.keys import Key
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.selection import narrowed, resolve
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Kind, Workflow
from tests.properties.test_machine import SEEDS, flights
from tests.support.pilot import Outcome, Pilot
from tests.support.strategies import layered, workflows


def planned(workflow: Workflow) -> Plan:
    plan, _ = build_plan(workflow)
    return plan


def selected(plan: Plan, seed: int, *, closed: bool) -> tuple[str, ...]:
    chosen = random.Random(seed)
    names = [name for node, name in enumerate(plan.ids) if plan.sections[node] == 0]
    some = chosen.sample(names, min(len(names), chosen.randint(1, 3)))
    try:
        return resolve(plan, [f"+{name}" if closed or chosen.random() < 0.5 else name for name in some])
    except InvalidWorkflow:
        assume(False)
        raise


@flights(150)
@given(workflows(8), SEEDS)
def test_what_is_left_out_never_runs_and_the_run_ends(workflow: Workflow, seed: int) -> None:
    plan = planned(workflow)
    ids = selected(plan, seed, closed=False)
    pilot = Pilot(plan, selected=ids, seed=seed)
    if workflow.deadline is None:
        pilot.fly()
        left = pilot.machine.plan.left_out
        assert left == {
            node for node, name in enumerate(plan.ids) if plan.sections[node] == 0 and name not in ids
        }
        for (_, key), row in pilot.rows.items():
            if key.task in left:
                assert row.state in (
                    TaskState.SKIPPED,
                    TaskState.CANCELLED,
                    TaskState.UPSTREAM_FAILED,
                    TaskState.FAILED,
                )
                assert row.attempt == 0
        for node in left:
            row = pilot.newest(Key(node))
            if plan.home[node] == 0 and plan.group[node] < 0:
                assert row is not None
                assert row.reason == "not_selected"
        pilot.restore()
        assert pilot.machine.plan.left_out == left
        pilot.replayed()


@flights(100)
@given(layered(), SEEDS, st.sets(st.integers(0, 30)))
def test_with_all_upstreams_a_task_ends_as_in_a_run_of_everything(
    workflow: Workflow, seed: int, failing: set[int]
) -> None:
    plan = planned(workflow)
    assume(all(kind not in (Kind.SWITCH, Kind.GATE) for kind in plan.kinds))
    ids = selected(plan, seed, closed=True)
    bad = {name for node, name in enumerate(plan.ids) if node in failing}

    def body(name: str, inputs: object, attempt: int) -> Outcome:
        return Outcome("failed") if name in bad else Outcome()

    whole = Pilot(plan, body).fly().states()
    part = Pilot(plan, body, selected=ids).fly().states()
    assert {name: part[name] for name in ids if name in part} == {
        name: whole[name] for name in ids if name in part
    }


@flights(100)
@given(workflows(8))
def test_edges_and_leaves_of_a_part_lie_in_it(workflow: Workflow) -> None:
    plan = planned(workflow)
    for seed in range(3):
        cut = narrowed(plan, selected(plan, seed, closed=seed % 2 == 0))
        for node in cut.left_out:
            assert not cut.upstream(node)
            assert not cut.downstream(node)
        for node in range(len(plan.ids)):
            assert not cut.left_out.intersection(cut.upstream(node))
        assert not cut.left_out.intersection(cut.run_leaves)
        assert cut.run_leaves
