"""The graph of a run with the states of its task runs. No Litestar here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from headrace.api.shapes.tasks import GraphNode, RunGraph
from headrace.api.showing.documents import state_word
from headrace.api.showing.snapshots import Snapshot
from headrace.engine.core.drawing.document import rule_text
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.machine import RunMachine
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.planning.edges import edges_between_tasks
from headrace.engine.core.states import TaskState

_WORDS = tuple(state.word for state in TaskState)


def run_graph(snapshot: Snapshot, machine: RunMachine) -> RunGraph:
    """Every node with how many of its task runs are in each state."""
    plan, run = snapshot.plan, snapshot.run
    counts = _counts(snapshot)
    word: Any = state_word(run)
    return RunGraph(
        run=run.id,
        workflow=run.workflow,
        version=run.version,
        plan=run.plan,
        state=word,
        tasks=plan.facts.tasks,
        depth=plan.facts.depth,
        width=plan.facts.width,
        critical_path=list(plan.facts.critical_path),
        nodes=[_node(plan, machine, node, counts[node]) for node in range(len(plan.ids))],
        edges=_edges(plan),
    )


def _node(plan: Plan, machine: RunMachine, node: int, counts: Counter[int]) -> GraphNode:
    state: Any = None
    if plan.regions[plan.home[node]].owner < 0:
        found = machine.state_of(Key(node))
        state = None if found is None else found.word
    section: Any = Section(plan.sections[node]).name.lower()
    return GraphNode(
        id=plan.ids[node],
        kind=plan.kinds[node].value,
        group=plan.ids[plan.group[node]] if plan.group[node] >= 0 else None,
        level=plan.level[node],
        section=section,
        trigger_rule=rule_text(plan, node),
        mapped=node in plan.items,
        state=state,
        counts={_WORDS[state]: number for state, number in sorted(counts.items())},
    )


def _counts(snapshot: Snapshot) -> list[Counter[int]]:
    """By node. A group has those of the tasks in it."""
    plan, layout = snapshot.plan, snapshot.layout
    found: list[Counter[int]] = [Counter() for _ in plan.ids]
    for node, state in zip(layout.nodes, layout.states, strict=True):
        found[node][state] += 1
    for node in reversed(range(len(plan.ids))):  # a group stands before its members
        group = plan.group[node]
        if group >= 0:
            found[group].update(found[node])
    return found


def _edges(plan: Plan) -> list[tuple[int, int]]:
    between = edges_between_tasks(plan)
    return [(source, target) for target in range(len(plan.ids)) for source in between.row(target)]
