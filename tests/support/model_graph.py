"""The reference model's view of a workflow: ids, groups, edges and leaves, written from the documents alone.

Nodes are known by their full id, edges are plain sets. Nothing of `headrace.engine.core` but the Workflow value is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.engine.core.workflow import Gate, Group, Switch, Task, Workflow

_REFERENCE = re.compile(r'tasks(?:\.([A-Za-z_][A-Za-z0-9_]*)|\["([^"]+)"\])')
_RULE_SOURCE = re.compile(r'(?:success|failed|skipped|done|rate|count)\((?:"([^"]+)"|([A-Za-z0-9_-]+))')

MAIN, ON_FAILURE, FINALLY = "main", "on_failure", "finally"


@dataclass(frozen=True)
class Node:
    """A task or a group. `around` are the groups that hold it, outermost first."""

    id: str
    task: Task
    section: str
    around: tuple[Node, ...] = ()

    @property
    def is_group(self) -> bool:
        return isinstance(self.task.work, Group)

    @property
    def mapped(self) -> bool:
        return self.task.map is not None

    @property
    def plain_group(self) -> bool:
        return self.is_group and not self.mapped

    @property
    def teardown(self) -> bool:
        return self.task.teardown_of is not None

    @property
    def quiet(self) -> bool:
        """A teardown that has no say in any outcome."""
        return self.teardown and not self.task.fails_run

    @property
    def maps(self) -> tuple[Node, ...]:
        """The mapped groups around it, outermost first: one index of a task run's path for each."""
        return tuple(group for group in self.around if group.mapped)

    def __repr__(self) -> str:
        return self.id


@dataclass
class Graph:
    """All nodes of a workflow, with the direct upstreams of each; an edge from a plain group comes from its leaves."""

    nodes: dict[str, Node] = field(default_factory=dict)
    up: dict[str, set[str]] = field(default_factory=dict)
    setups: dict[str, set[str]] = field(
        default_factory=dict
    )  # teardown → those of its upstreams it tears down
    order: list[Node] = field(default_factory=list)  # every node after its upstreams and the groups around it

    @classmethod
    def of(cls, workflow: Workflow) -> Graph:
        graph = cls()
        sections = ((MAIN, workflow.tasks), (ON_FAILURE, workflow.on_failure), (FINALLY, workflow.finally_))
        for section, tasks in sections:
            for task in tasks:
                graph._add(task, section, ())
        written = {node.id: graph._written(node) for node in graph.nodes.values()}
        for switch in graph.nodes.values():
            for chosen in _chosen(switch.task):
                written[graph.find(chosen, switch).id].add(switch.id)
        graph.up = {
            id: {leaf for source in sources for leaf in graph._ends(source, written)}
            for id, sources in written.items()
        }
        for node in graph.nodes.values():
            if node.teardown:
                graph._tear_down(node, written)
        graph.order = graph._ordered()
        return graph

    # -- names -------------------------------------------------------------------------------------------------------

    def _add(self, task: Task, section: str, around: tuple[Node, ...]) -> None:
        node = Node(f"{around[-1].id}.{task.id}" if around else task.id, task, section, around)
        self.nodes[node.id] = node
        if isinstance(task.work, Group):
            for member in task.work.tasks:
                self._add(member, section, (*around, node))

    def find(self, name: str, reader: Node) -> Node:
        """What `name` means in `reader`: the nearest, then outwards."""
        for group in reversed(reader.around):
            if f"{group.id}.{name}" in self.nodes:
                return self.nodes[f"{group.id}.{name}"]
        return self.nodes[name]

    def _written(self, node: Node) -> set[str]:
        task = node.task
        names = [*task.depends_on, *(task.teardown_of or ())]
        if not task.trigger_rule.isidentifier():
            names += [quoted or plain for quoted, plain in _RULE_SOURCE.findall(task.trigger_rule)]
        if node.section == MAIN:
            for text in _texts(task):
                names += [plain or quoted for plain, quoted in _REFERENCE.findall(text)]
        return {self.find(name, node).id for name in names}

    # -- groups ------------------------------------------------------------------------------------------------------

    def members(self, group: Node) -> list[Node]:
        """The direct members of a group."""
        return [node for node in self.nodes.values() if node.around and node.around[-1] is group]

    def _ends(self, source: str, written: dict[str, set[str]]) -> set[str]:
        node = self.nodes[source]
        return self._leaves(node, written) if node.plain_group else {source}

    def _leaves(self, group: Node, written: dict[str, set[str]]) -> set[str]:
        """The tasks and maps of the group that nothing else in it waits for. Teardowns do not count, neither as leaves
        nor as what waits, unless they fail the run or there is nothing else."""
        inside = [node for node in self.nodes.values() if group in node.around]
        flat = {
            node.id
            for node in inside
            if not node.plain_group and not any(g.mapped for g in node.around[len(group.around) + 1 :])
        }
        awaited = {
            end
            for node in inside
            if not node.quiet
            for source in written[node.id]
            if group in self.nodes[source].around
            for end in self._ends(source, written)
        }
        ends = flat - awaited
        return {id for id in ends if not self.nodes[id].quiet} or ends

    def leaves(self, group: Node) -> set[str]:
        """The same from the finished edges (those that teardowns got by themselves change nothing)."""
        return self._leaves(group, self.up)

    def run_leaves(self) -> list[Node]:
        """Whose states are the run's outcome: nothing but quiet teardowns waits for them."""
        awaited = {up for node in self.nodes.values() if not node.quiet for up in self.up[node.id]}
        return [
            node
            for node in self.nodes.values()
            if node.section == MAIN
            and not node.plain_group
            and not node.maps
            and not node.quiet
            and node.id not in awaited
        ]

    # -- teardowns ---------------------------------------------------------------------------------------------------

    def _tear_down(self, node: Node, written: dict[str, set[str]]) -> None:
        setups = {
            end
            for name in node.task.teardown_of or ()
            for end in self._ends(self.find(name, node).id, written)
        }
        self.setups[node.id] = setups
        if node.task.depends_on or not setups:
            return
        reached, front = set[str](), set(setups)
        while front:
            following = {
                other.id
                for other in self.nodes.values()
                if self.up[other.id] & front
                or any(group.id in front for group in other.around)
                or (
                    other not in node.around
                    and any(inner.id in front for inner in self.nodes.values() if other in inner.maps)
                )
            }
            front = following - reached
            reached |= following
        self.up[node.id] |= {
            id
            for id in reached - setups
            if self.visible(self.nodes[id], node)
            and not self.nodes[id].plain_group
            and not self.nodes[id].teardown
            and self.nodes[id] not in node.around
            and self.nodes[id].section == node.section
        }

    def visible(self, target: Node, reader: Node) -> bool:
        """In the same item as the reader, or further out."""
        return reader.maps[: len(target.maps)] == target.maps

    # -- order -------------------------------------------------------------------------------------------------------

    def _ordered(self) -> list[Node]:
        done: list[Node] = []
        left = sorted(self.nodes.values(), key=lambda node: node.id)
        while left:
            known = {node.id for node in done}
            free = [n for n in left if self.before(n) <= known]
            assert free, f"a cycle among {left}"
            done += free
            left = [node for node in left if node not in free]
        return done

    def before(self, node: Node) -> set[str]:
        """What is decided before it: direct upstreams, those inside a mapped one, and the group around it."""
        direct = set(self.up[node.id]) | {group.id for group in node.around}
        inner = {n.id for id in self.up[node.id] for n in self.nodes.values() if self.nodes[id] in n.around}
        return direct | inner

    def above(self, node: Node) -> set[str]:
        """Every upstream at any distance, through the groups that hold it, not into maps that it waits for."""
        found, front = set[str](), {node.id, *(group.id for group in node.around)}
        while front:
            more = {up for id in front for up in self.up[id]}
            more |= {group.id for id in more for group in self.nodes[id].around}
            front = more - found
            found |= more
        return found


def _chosen(task: Task) -> set[str]:
    if not isinstance(task.work, Switch):
        return set()
    return {id for case in task.work.cases for id in case.then} | set(task.work.default)


def _texts(task: Task) -> Iterator[str]:
    """Every text of the task in which a reference is an edge."""
    if task.when is not None:
        yield task.when
    if isinstance(task.work, Gate):
        yield task.work.when
    if isinstance(task.work, Switch):
        yield from (case.when for case in task.work.cases)
    yield from _strings(dict(task.with_))
    if task.map is not None:
        yield from _strings([task.map.over, dict(task.map.product or {}), dict(task.map.zip or {})])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
