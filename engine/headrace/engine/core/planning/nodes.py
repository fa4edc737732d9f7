"""The first step of planning: the tasks of a workflow as a flat, ordered row of nodes in regions.

Nothing here looks at dependencies. The order is that of `headrace.engine.core.plan`: region by region, breadth first, and
within a region by section and full id, so that the same workflow always gets the same numbers.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.engine.core.plan import Section
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.problems import Path
from headrace.engine.core.workflow import Group, Task, Workflow

MAX_NESTING = 3  # groups in groups, and maps in maps: what the packed index of a task run holds

_TASK_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,249}", re.ASCII)
_SECTION_KEYS = {Section.MAIN: "tasks", Section.ON_FAILURE: "on_failure", Section.FINALLY: "finally"}


@dataclass(slots=True)
class Nodes:
    """All nodes by index, and the regions that they live in by region number."""

    ids: tuple[str, ...]
    tasks: tuple[Task, ...]
    index: dict[str, int]
    sections: bytes
    group: array[int]  # innermost enclosing group, or -1
    home: array[int]  # region of the node's slot
    members: Mapping[int, tuple[int, ...]]
    items: Mapping[int, int]  # mapped node → its region
    owners: Sequence[int]  # region → mapped node, -1 for region 0
    parents: Sequence[int]  # region → region of its head, -1 for region 0
    bases: Sequence[int]  # region → global index of its first member
    sizes: Sequence[int]  # region → number of its members
    depth: array[int] = field(
        default_factory=lambda: array("i")
    )  # number of enclosing groups; empty without any

    def __len__(self) -> int:
        return len(self.ids)

    # -- where things are ---------------------------------------------------------------------------------------

    def path(self, node: int) -> Path:
        """The node's place in the document."""
        parts: list[str] = []
        at = node
        while at >= 0:
            parts += (self.tasks[at].id, "tasks")
            at = self.group[at]
        parts[-1] = _SECTION_KEYS[Section(self.sections[node])]
        return tuple(reversed(parts))

    def enclosing(self, node: int) -> Iterator[int]:
        """The groups around the node, innermost first."""
        at = self.group[node]
        while at >= 0:
            yield at
            at = self.group[at]

    def maps(self, node: int) -> Iterator[int]:
        """The mapped groups around the node, innermost first."""
        region = self.home[node]
        while region:
            yield self.owners[region]
            region = self.parents[region]

    def plain_group(self, node: int) -> bool:
        return node in self.members and node not in self.items

    # -- what an id means ---------------------------------------------------------------------------------------

    def find(self, written: str, group: int) -> int | None:
        """The node that `written` means among the members of `group` (-1: at the top): the nearest, then outwards."""
        while group >= 0:
            found = self.index.get(f"{self.ids[group]}.{written}")
            if found is not None:
                return found
            group = self.group[group]
        return self.index.get(written)

    def visible(self, target: int, region: int) -> bool:
        """Whether a node at home in `region` sees `target`: it lies in the same item, or further out."""
        home = self.home[target]
        while region > home:  # an enclosing region always has a smaller number
            region = self.parents[region]
        return region == home

    def names_near(self, group: int) -> list[str]:
        """The ids that can be written among the members of `group`, nearest first."""
        found: dict[str, None] = {}
        while group >= 0:
            found.update((self.tasks[m].id, None) for m in self.members[group])
            group = self.group[group]
        found.update((name, None) for name, node in self.index.items() if self.home[node] == 0)
        return list(found)


def lay_out(workflow: Workflow, findings: Findings) -> Nodes:
    """The nodes of a workflow. Ids, duplicates, empty groups and nesting are checked on the way."""
    tasks: list[Task] = [*workflow.tasks, *workflow.on_failure, *workflow.finally_]
    sections = bytearray(len(workflow.tasks))
    sections += bytes((Section.ON_FAILURE,)) * len(workflow.on_failure)
    sections += bytes((Section.FINALLY,)) * len(workflow.finally_)
    ids = [task.id for task in tasks]
    inside = array("i", (-1,)) * len(tasks)  # position of the enclosing group
    rows: dict[int, list[int]] = {-1: list(range(len(tasks)))}  # position of a mapped node → its members

    owner: dict[int, int] = {}  # position of a group's member → position of the innermost mapped group
    pending = [at for at, task in enumerate(tasks) if type(task.work) is Group]
    for at in pending:  # grows while it is walked: groups in groups
        work = tasks[at].work
        assert isinstance(work, Group)
        around = at if tasks[at].map is not None else owner.get(at, -1)
        row = rows.setdefault(around, [])
        for member in work.tasks:
            position = len(tasks)
            tasks.append(member)
            ids.append(f"{ids[at]}.{member.id}")
            sections.append(sections[at])
            inside.append(at)
            row.append(position)
            if around >= 0:
                owner[position] = around
            if type(member.work) is Group:
                pending.append(position)

    # Regions breadth first: each one's mapped nodes, in their order, open the next ones.
    order: list[int] = []
    owners, parents, bases, sizes = [-1], [-1], [0], []
    homes = array("i")
    opened: list[tuple[int, int]] = [(-1, 0)]  # owner's position, region
    for position, region in opened:
        row = rows.get(position, [])
        row.sort(key=ids.__getitem__)
        if region == 0:
            row.sort(key=sections.__getitem__)  # stable: by section, then by id
        else:
            bases.append(len(order))
        sizes.append(len(row))
        first = len(order)
        order += row
        homes.extend((region,) * len(row))
        for local, p in enumerate(row):
            if tasks[p].map is not None:
                owners.append(first + local)
                parents.append(region)
                opened.append((p, len(owners) - 1))

    in_order = order == list(range(len(order)))
    if not in_order:
        place = [0] * len(order)
        for node, p in enumerate(order):
            place[p] = node
        group = array("i", (place[inside[p]] if inside[p] >= 0 else -1 for p in order))
        ids = [ids[p] for p in order]
        tasks = [tasks[p] for p in order]
        sections = bytearray(sections[p] for p in order)
    else:
        group = inside

    members: dict[int, list[int]] = {n: [] for n, task in enumerate(tasks) if type(task.work) is Group}
    if members:
        for node, around in enumerate(group):
            if around >= 0:
                members[around].append(node)
    nodes = Nodes(
        ids=tuple(ids),
        tasks=tuple(tasks),
        index=dict(
            zip(reversed(ids), range(len(ids) - 1, -1, -1), strict=True)
        ),  # of two, the first one wins
        sections=bytes(sections),
        group=group,
        home=homes,
        members={node: tuple(inner) for node, inner in members.items()},
        items={node: region for region, node in enumerate(owners) if region},
        owners=owners,
        parents=parents,
        bases=bases,
        sizes=sizes,
    )
    if members:
        nodes.depth = array("i", (sum(1 for _ in nodes.enclosing(node)) for node in range(len(ids))))
    _check(nodes, findings)
    return nodes


def _check(nodes: Nodes, findings: Findings) -> None:
    ids = nodes.ids
    fits = _TASK_ID.fullmatch
    for node, task in enumerate(nodes.tasks):
        if not fits(task.id):
            findings.problem(
                "invalid_task_id",
                f'"{task.id[:100]}" cannot be the id of a task.',
                nodes.path(node),
                ids[node],
                "An id begins with a letter or _, then has up to 249 letters, digits, _ . or -.",
            )
    if len(nodes.index) < len(ids):
        for node, name in enumerate(ids):
            if nodes.index[name] != node:
                first = nodes.path(nodes.index[name])
                findings.problem(
                    "duplicate_task",
                    f'there are two tasks "{name}".',
                    nodes.path(node),
                    name,
                    f"The other one is at {'.'.join(map(str, first))}; give one of them another id.",
                )
    for node, inner in nodes.members.items():
        if not inner:
            findings.problem("schema", f'group "{ids[node]}" has no tasks.', nodes.path(node), ids[node])
        if nodes.depth[node] >= MAX_NESTING:
            findings.problem(
                "schema",
                f'group "{ids[node]}" lies in {nodes.depth[node]} others; groups nest {MAX_NESTING} deep.',
                nodes.path(node),
                ids[node],
                "Make the inner part a workflow of its own and call it.",
            )
    for node in nodes.items:
        around = sum(1 for _ in nodes.maps(node))
        if around >= MAX_NESTING:
            findings.problem(
                "schema",
                f'the map of "{ids[node]}" lies in {around} others; maps nest {MAX_NESTING} deep.',
                nodes.path(node),
                ids[node],
                "Make the inner part a workflow of its own and map that.",
            )
    for inner in nodes.members.values():
        for node in inner:
            _warn_of_shadow(nodes, node, findings)


def _warn_of_shadow(nodes: Nodes, node: int, findings: Findings) -> None:
    name = nodes.tasks[node].id
    outer = nodes.group[node]
    hidden = nodes.find(name, nodes.group[outer])
    if hidden is not None and hidden != node:
        findings.warning(
            "shadowed_id",
            f'inside "{nodes.ids[outer]}", "{name}" means "{nodes.ids[node]}" and hides "{nodes.ids[hidden]}".',
            nodes.path(node),
            nodes.ids[node],
            "Give one of them another id.",
        )
