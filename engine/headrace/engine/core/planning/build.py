"""`build_plan`: lay out the nodes, look up the names, connect them, measure the graph, freeze the Plan."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.engine.core.canonical import plan_hash
from headrace.engine.core.plan import Facts, Plan, Region, Section
from headrace.engine.core.planning import graph, networks
from headrace.engine.core.planning.edges import Edges, connect, task_edges, too_many_edges
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.graph import Rows
from headrace.engine.core.planning.names import Check, Names, look_up
from headrace.engine.core.planning.nodes import Nodes, lay_out
from headrace.engine.core.planning.warnings import warn
from headrace.engine.core.problems import InvalidWorkflow, Problem
from headrace.engine.core.workflow import Group, Switch, Workflow

_SHOWN = 20  # tasks of a cycle that are written out


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How large a workflow may be. Counted before anything is allocated for it."""

    tasks: int = 1_000_000
    edges: int = 5_000_000


def build_plan(
    workflow: Workflow,
    *,
    check: Check | None = None,
    limits: PlanLimits = PlanLimits(),
    checked: bool = False,
) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan of a workflow, and the warnings about it.

    `check` is asked about the syntax of every expression that is more than a path. `checked` says that this workflow
    was planned before, as one that comes from the store was: it is read without networkx and without warnings.

    Raises InvalidWorkflow with every problem, each with its path in the document and the full id of its task.
    """
    _within(workflow, limits)
    findings = Findings()
    nodes = lay_out(workflow, findings)
    names = look_up(workflow, nodes, findings, check)
    _map_keys(nodes, findings)
    if not checked:
        _fails_run(nodes, findings)
    edges = connect(nodes, names, findings, limits.edges)
    between = task_edges(nodes, edges.up, edges.leaves, limits.edges)
    back = edges.down if between is edges.up else graph.reverse(between)
    small = len(between.to) <= networks.MAX_EDGES and not checked
    order = networks.order(back) if small else graph.order(between, back)
    if order.residue:
        _report_cycles(nodes, between, back, order.levels, findings)
    findings.refuse()

    _name_choices(nodes, names, edges)
    levels = _levels(nodes, order)
    run_leaves = _run_leaves(nodes, edges)
    plan = Plan(
        hash=plan_hash(workflow),
        workflow=workflow,
        ids=nodes.ids,
        index=nodes.index,
        tasks=nodes.tasks,
        kinds=tuple([task.kind for task in nodes.tasks]),
        rules=bytes(names.rules),
        sections=nodes.sections,
        home=nodes.home,
        items=nodes.items,
        group=nodes.group,
        members=nodes.members,
        group_leaves={group: found for group, found in edges.leaves.items() if group not in nodes.items},
        up_start=edges.up.start,
        up=edges.up.to,
        down_start=edges.down.start,
        down=edges.down.to,
        regions=_regions(nodes, edges, run_leaves),
        setups=edges.setups,
        teardowns=edges.teardowns,
        rule_expressions=names.rule_expressions,
        names=names.named,
        section_names=names.output,
        when_per_item=frozenset(names.when_per_item),
        run_leaves=run_leaves,
        facts=_facts(nodes, between, back, order),
        level=levels,
    )
    if not checked:
        warn(plan, nodes, names, findings)
    return plan, tuple(findings.warnings)


# -- what is refused -----------------------------------------------------------------------------------------------------


def _within(workflow: Workflow, limits: PlanLimits) -> None:
    """Emptiness and size, before anything else looks at the tasks. Raises InvalidWorkflow."""
    if not workflow.tasks:
        raise InvalidWorkflow(
            [
                Problem(
                    "empty_workflow",
                    "the workflow has no tasks.",
                    "Write at least one under `tasks`.",
                    ("tasks",),
                )
            ]
        )
    tasks = edges = 0
    pending = [workflow.tasks, workflow.on_failure, workflow.finally_]
    while pending:
        several = pending.pop()
        tasks += len(several)
        if tasks > limits.tasks:
            raise InvalidWorkflow(
                [
                    Problem(
                        "too_large",
                        f"the workflow has more than {limits.tasks:,} tasks.",
                        "Use `map` for many runs of one task, or split the workflow.",
                        ("tasks",),
                    )
                ]
            )
        for task in several:
            edges += len(task.depends_on)
            if type(task.work) is Group:
                pending.append(task.work.tasks)
        if edges > limits.edges:
            raise too_many_edges(limits.edges)


def _map_keys(nodes: Nodes, findings: Findings) -> None:
    for node, task in enumerate(nodes.tasks):
        if task.map is not None or (
            task.max_parallel is None and not task.tolerate and not task.fail_fast and task.on_empty == "skip"
        ):
            continue
        given = {
            "max_parallel": task.max_parallel is not None,
            "tolerate": bool(task.tolerate),
            "fail_fast": task.fail_fast,
            "on_empty": task.on_empty != "skip",
        }
        for key in (key for key, is_given in given.items() if is_given):
            findings.problem(
                "schema",
                f'task "{nodes.ids[node]}" has `{key}`, which needs `map`.',
                (*nodes.path(node), key),
                nodes.ids[node],
            )


def _fails_run(nodes: Nodes, findings: Findings) -> None:
    for node, task in enumerate(nodes.tasks):
        if task.fails_run and task.teardown_of is None and nodes.sections[node] == Section.MAIN:
            findings.problem(
                "schema",
                f'task "{nodes.ids[node]}" has `fails_run`, which is for teardowns and for the tasks of `on_failure` and '
                "`finally`.",
                (*nodes.path(node), "fails_run"),
                nodes.ids[node],
                "Leave it out: a failure that nothing downstream handles fails the run.",
            )


def _report_cycles(nodes: Nodes, up: Rows, down: Rows, levels: Sequence[int], findings: Findings) -> None:
    left = sum(up.start[n + 1] - up.start[n] for n, level in enumerate(levels) if level < 0)
    components = networks.components if left <= networks.MAX_EDGES else graph.tarjan
    for cycle in graph.cycles(up, down, levels, components):
        first, waits_for = cycle[0], cycle[-1]
        written = [nodes.ids[node] for node in cycle]
        if len(written) > _SHOWN:
            written[_SHOWN - 1 : -1] = [f"… ({len(written) - _SHOWN:,} more) …"]
        path = nodes.path(first)
        local = nodes.tasks[waits_for].id
        if local in nodes.tasks[first].depends_on:
            path = (*path, "depends_on", nodes.tasks[first].depends_on.index(local))
        findings.problem(
            "cycle",
            f"{' → '.join((*written, written[0]))} is a cycle: none of these tasks could ever start.",
            path,
            nodes.ids[first],
            "Remove one of the dependencies.",
        )


def _name_choices(nodes: Nodes, names: Names, edges: Edges) -> None:
    """A Python function chooses by the ids that its author would write beside the switch."""
    for node, task in enumerate(nodes.tasks):
        if isinstance(task.work, Switch) and task.work.python is not None:
            named = names.named.setdefault(node, {})
            for target in edges.down.row(node):
                if nodes.find(nodes.tasks[target].id, nodes.group[node]) == target:
                    named.setdefault(nodes.tasks[target].id, target)


# -- what is frozen ------------------------------------------------------------------------------------------------------


def _levels(nodes: Nodes, order: graph.Order) -> array[int]:
    """Groups have no level of their own: they are entered with the first of their tasks."""
    levels = array("i", order.levels)
    for group in sorted(nodes.members, key=nodes.depth.__getitem__, reverse=True):
        levels[group] = min(levels[member] for member in nodes.members[group])
    return levels


def _run_leaves(nodes: Nodes, edges: Edges) -> tuple[int, ...]:
    """The nodes that decide the outcome: nothing but teardowns follows them. Groups leave it to their leaves."""
    quiet = {node for node in edges.teardowns if not nodes.tasks[node].fails_run}
    start = edges.down.start
    found = []
    for node in range(nodes.sizes[0]):
        if nodes.sections[node] != Section.MAIN or node in quiet or nodes.plain_group(node):
            continue
        if start[node] == start[node + 1] or (quiet and quiet.issuperset(edges.down.row(node))):
            found.append(node)
    return tuple(found)


def _regions(nodes: Nodes, edges: Edges, run_leaves: tuple[int, ...]) -> tuple[Region, ...]:
    regions = [Region(0, -1, -1, 0, 0, range(nodes.sizes[0]), run_leaves)]
    for index in range(1, len(nodes.owners)):
        owner, parent, base, size = (
            nodes.owners[index],
            nodes.parents[index],
            nodes.bases[index],
            nodes.sizes[index],
        )
        inner: tuple[int, ...] = (owner,)
        leaves: tuple[int, ...] = (0,)
        if owner in nodes.members:
            inner = (owner, *range(base, base + size))
            leaves = tuple(leaf - base + 1 for leaf in edges.leaves[owner])
        regions.append(Region(index, parent, owner, regions[parent].level + 1, base, inner, leaves))
    return tuple(regions)


def _facts(nodes: Nodes, up: Rows, down: Rows, order: graph.Order) -> Facts:
    ids, groups = nodes.ids, nodes.members
    levels, width = order.levels, order.width
    if groups:  # they have no edges here and would count as tasks of level 0
        levels = array("i", (-1 if node in groups else level for node, level in enumerate(levels)))
        sizes = [0] * order.waves
        for level in levels:
            if level >= 0:
                sizes[level] += 1
        width = max(sizes)
    return Facts(
        tasks=len(ids) - len(groups),
        edges=len(up.to),
        depth=order.waves,
        width=width,
        roots=tuple(ids[n] for n in range(len(ids)) if up.start[n] == up.start[n + 1] and n not in groups),
        leaves=tuple(
            ids[n] for n in range(len(ids)) if down.start[n] == down.start[n + 1] and n not in groups
        ),
        critical_path=tuple(ids[node] for node in graph.longest_path(up, levels)),
    )


__all__ = ["Names", "PlanLimits", "build_plan"]
