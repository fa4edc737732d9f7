"""From what tasks say they wait for to the edges of the plan.

Three steps. *Written* edges go from node to node, groups included. *Counted* edges are those of the plan: an edge from a
plain group becomes one from each of its leaves, and teardowns without `depends_on` get theirs. *Task* edges are what people
count and draw: every group, mapped ones too, replaced by its roots and leaves.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.engine.core.plan import Plan
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.graph import Rows, reachable, reverse, rows
from headrace.engine.core.planning.lookup import Lookup
from headrace.engine.core.planning.names import Names
from headrace.engine.core.planning.nodes import Nodes, lay_out
from headrace.engine.core.problems import InvalidWorkflow, Problem

_NOWHERE = -1


@dataclass(slots=True)
class Edges:
    """The counted edges, both ways, and what groups contribute to them."""

    up: Rows
    down: Rows
    leaves: Mapping[int, tuple[int, ...]]  # group → its leaf tasks; an inner mapped node stands for itself
    setups: Mapping[int, frozenset[int]]  # teardown → those of its upstreams that are setups
    teardowns: frozenset[int]


def too_many_edges(limit: int) -> InvalidWorkflow:
    return InvalidWorkflow(
        [
            Problem(
                "too_large",
                f"the workflow has more than {limit:,} edges.",
                "Put a noop task between large groups.",
            )
        ]
    )


def connect(nodes: Nodes, names: Names, findings: Findings, limit: int) -> Edges:
    """All counted edges. Unknown ids become problems; raises InvalidWorkflow at once when there are more than `limit`."""
    written = _written(nodes, names, findings, limit)
    teardowns = frozenset(node for node, task in enumerate(nodes.tasks) if task.teardown_of is not None)
    quiet = frozenset(node for node in teardowns if not nodes.tasks[node].fails_run)
    leaves = _leaves(nodes, written, quiet) if nodes.members else {}
    plain = {group: found for group, found in leaves.items() if group not in nodes.items}
    up = _expanded(written, plain, limit) if plain else written
    down = reverse(up)
    setups: dict[int, frozenset[int]] = {}
    for node in sorted(teardowns):
        setups[node] = frozenset(_setups(nodes, node, plain))
    added = {
        node: found
        for node in sorted(teardowns)
        if not nodes.tasks[node].depends_on
        and (found := _torn_down(nodes, node, setups[node], down, teardowns))
    }
    if added:
        if len(up.to) + sum(map(len, added.values())) > limit:
            raise too_many_edges(limit)
        up = rows((*up.row(node), *added.get(node, ())) for node in range(len(up)))
        down = reverse(up)
    return Edges(up, down, leaves, {n: s for n, s in setups.items() if s}, teardowns)


# -- written edges -------------------------------------------------------------------------------------------------------


def _written(nodes: Nodes, names: Names, findings: Findings, limit: int) -> Rows:
    index = nodes.index
    lookup = Lookup(nodes, findings)
    start, to = array("i", (0,)), array("i")
    upstream, choosers = names.upstream, names.choosers
    flat = not nodes.members and nodes.sections.count(0) == len(nodes)
    for node, task in enumerate(nodes.tasks):
        found: Iterable[int]
        if flat:
            found = [index.get(written, _NOWHERE) for written in task.depends_on]
            if _NOWHERE in found or node in found:
                found = _dependencies(lookup, node, "depends_on", task.depends_on)
        else:
            found = _dependencies(lookup, node, "depends_on", task.depends_on)
        if task.teardown_of:
            found = [*found, *_dependencies(lookup, node, "teardown_of", task.teardown_of)]
        if node in upstream or node in choosers:
            found = [*found, *upstream.get(node, ()), *choosers.get(node, ())]
        to.extend(sorted(set(found)))
        start.append(len(to))
        if len(to) > limit:
            raise too_many_edges(limit)
    return Rows(start, to)


def _dependencies(lookup: Lookup, node: int, key: str, ids: Sequence[str]) -> list[int]:
    path = lookup.nodes.path(node)
    found = (
        lookup.for_task(written, node, (*path, key, position), "waits for", waits=True)
        for position, written in enumerate(ids)
    )
    return [target for target in found if target is not None]


# -- groups --------------------------------------------------------------------------------------------------------------


def _common_depth(nodes: Nodes, one: int, other: int) -> int:
    """How many groups hold both."""
    a, b = nodes.group[one], nodes.group[other]
    while a != b:
        if a < 0 or b < 0:
            return 0
        if nodes.depth[a] >= nodes.depth[b]:
            a = nodes.group[a]
        else:
            b = nodes.group[b]
    return nodes.depth[a] + 1 if a >= 0 else 0


def _leaves(nodes: Nodes, written: Rows, quiet: frozenset[int]) -> dict[int, tuple[int, ...]]:
    """Per group the members that nothing else in it waits for, those of inner plain groups included. Teardowns do not
    count, neither as leaves nor as something that waits, unless they fail the run or there is nothing else."""
    awaited = [0] * len(
        nodes
    )  # how many groups, from the outermost, hold both the node and something that waits for it
    for node in range(len(nodes)):
        if nodes.group[node] >= 0 and node not in quiet:
            for source in written.row(node):
                if nodes.group[source] >= 0:
                    awaited[source] = max(awaited[source], _common_depth(nodes, source, node))
    found: dict[int, list[tuple[int, int]]] = {}
    for group in sorted(nodes.members, key=nodes.depth.__getitem__, reverse=True):
        depth = nodes.depth[group] + 1
        reach: list[tuple[int, int]] = []
        for member in nodes.members[group]:
            inner = found[member] if nodes.plain_group(member) else [(member, awaited[member])]
            reach += [(leaf, max(until, awaited[member])) for leaf, until in inner]
        ends = [(leaf, until) for leaf, until in reach if until < depth and leaf not in quiet]
        found[group] = ends or [(leaf, until) for leaf, until in reach if until < depth]
    return {group: tuple(sorted(leaf for leaf, _ in ends)) for group, ends in found.items()}


def _roots(nodes: Nodes, up: Rows) -> dict[int, tuple[int, ...]]:
    """Per group the members that wait for nothing in it, those of inner groups, mapped ones too, included."""
    waits = [0] * len(nodes)  # as `awaited` in `_leaves`, seen from the other end
    for node in range(len(nodes)):
        if nodes.group[node] >= 0:
            for source in up.row(node):
                if nodes.group[source] >= 0:
                    waits[node] = max(waits[node], _common_depth(nodes, source, node))
    found: dict[int, list[tuple[int, int]]] = {}
    for group in sorted(nodes.members, key=nodes.depth.__getitem__, reverse=True):
        depth = nodes.depth[group] + 1
        reach: list[tuple[int, int]] = []
        for member in nodes.members[group]:
            inner = found[member] if member in nodes.members else [(member, waits[member])]
            reach += [(root, max(until, waits[member])) for root, until in inner]
        found[group] = [(root, until) for root, until in reach if until < depth]
    return {group: tuple(sorted(root for root, _ in begins)) for group, begins in found.items()}


def _expanded(written: Rows, plain: Mapping[int, tuple[int, ...]], limit: int) -> Rows:
    start, to = array("i", (0,)), array("i")
    for node in range(len(written)):
        row = written.row(node)
        found: set[int] = set()
        for source in row:
            found.update(plain.get(source, (source,)))
        to.extend(sorted(found))
        start.append(len(to))
        if len(to) > limit:
            raise too_many_edges(limit)
    return Rows(start, to)


# -- teardowns -----------------------------------------------------------------------------------------------------------


def _setups(nodes: Nodes, teardown: int, plain: Mapping[int, tuple[int, ...]]) -> Iterator[int]:
    for written in nodes.tasks[teardown].teardown_of or ():
        target = nodes.find(written, nodes.group[teardown])
        if target is not None and target != teardown and nodes.visible(target, nodes.home[teardown]):
            yield from plain.get(target, (target,))


def _torn_down(
    nodes: Nodes, teardown: int, setups: frozenset[int], down: Rows, teardowns: frozenset[int]
) -> set[int]:
    """Every task downstream of the setups that the teardown can see; inside other maps, their heads."""
    home = nodes.home[teardown]

    def following(node: int) -> Iterator[int]:
        yield from down.row(node)
        yield from nodes.members.get(node, ())
        if not nodes.visible(node, home):
            yield nodes.owners[nodes.home[node]]

    around = set(nodes.enclosing(teardown))
    return {
        node
        for node in reachable(setups, following)
        if node not in teardowns
        and node not in setups
        and node not in around
        and not nodes.plain_group(node)
        and nodes.visible(node, home)
        and nodes.sections[node] == nodes.sections[teardown]
    }


# -- edges between tasks, for counting and drawing -------------------------------------------------------------------------


def task_edges(nodes: Nodes, up: Rows, leaves: Mapping[int, tuple[int, ...]], limit: int) -> Rows:
    """The edges with every group replaced by its roots and leaves. The rows of groups are empty.

    `leaves` may speak of inner mapped groups, which are followed to their own leaves. Raises InvalidWorkflow when
    there are more than `limit`.
    """
    if not nodes.members:
        return up
    roots = _roots(nodes, up)
    entered: dict[int, list[int]] = {}  # task → groups that it is a root of
    for group, begins in roots.items():
        for root in begins:
            entered.setdefault(root, []).append(group)
    ends = _followed(nodes, leaves)
    start, to = array("i", (0,)), array("i")
    for node in range(len(nodes)):
        if node not in nodes.members:
            found: set[int] = set()
            for waiting in (node, *entered.get(node, ())):
                for source in up.row(waiting):
                    found.update(ends.get(source, (source,)))
            to.extend(sorted(found))
            if len(to) > limit:
                raise too_many_edges(limit)
        start.append(len(to))
    return Rows(start, to)


def _followed(nodes: Nodes, leaves: Mapping[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Each group's leaves down to tasks, through mapped groups."""
    found: dict[int, tuple[int, ...]] = {}
    for group in sorted(leaves, key=nodes.depth.__getitem__, reverse=True):
        reach: set[int] = set()
        for leaf in leaves[group]:
            reach.update(found.get(leaf, (leaf,)))
        found[group] = tuple(sorted(reach))
    return found


def edges_between_tasks(plan: Plan) -> Rows:
    """The upstream tasks of every task of a finished plan, groups replaced by their roots and leaves; kept with it."""
    known = plan.memo.get(edges_between_tasks)
    if isinstance(known, Rows):
        return known
    up = Rows(plan.up_start, plan.up)
    if plan.members:
        nodes = lay_out(plan.workflow, Findings())
        leaves = dict(plan.group_leaves)
        for region in plan.regions[1:]:
            if region.owner in plan.members:
                leaves[region.owner] = tuple(region.nodes[local] for local in region.leaves)
        up = task_edges(nodes, up, leaves, sys.maxsize)
    plan.memo[edges_between_tasks] = up
    return up
