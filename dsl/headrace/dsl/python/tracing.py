"""A trace: one execution of a workflow function, which writes down every task that it calls.

A trace has scopes: the workflow's tasks, its `on_failure` and `finally` sections, and one for each group. A scope holds
the tasks' documents in the words of the language, by id; a node is one such task, and knows how others may name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import Formula, View, is_name, quoted
from headrace.engine.core.problems import Path, Place

Document = dict[str, Any]


class Trace:
    """What one execution of the workflow function has written so far."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place
        self.root = Scope(self, None, ("tasks",))
        self.sections: dict[str, Scope] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self._namings: list[tuple[Node, str, Scope]] = []

    def section(self, key: str) -> Scope:
        """The scope of `on_failure` or `finally`. Ids are shared with the main tasks, so that each means one task."""
        if key not in self.sections:
            self.sections[key] = Scope(self, self.root, (key,), nodes=self.root.nodes)
        return self.sections[key]

    def named(self, node: Node, name: str, scope: Scope) -> None:
        """Remembers that `name`, written in `scope`, means `node`: an id given later could shadow it."""
        self._namings.append((node, name, scope))

    def check_names(self) -> None:
        """Raises BuildError when a name that was written has come to mean a nearer task of the same id."""
        for node, name, scope in self._namings:
            nearest = scope.find(name.partition(".")[0])
            if nearest is not None and nearest is not node and nearest not in node.groups():
                raise BuildError(
                    f'inside the group, "{name}" means the task at {nearest.place}, not the one at {node.place}',
                    "Give one of them another id with .options(id=…).",
                    code="schema",
                    task=nearest.full_id,
                    place=nearest.place,
                )

    def locate(self, path: Path, task: str | None) -> Place | None:
        """The place of the task that `path` leads into; of the workflow function for all else."""
        node = self._node_at(path)
        if node is None and task is not None:
            node = self._node_called(task)
        return self.place if node is None else node.place

    def _node_at(self, path: Path) -> Node | None:
        node: Node | None = None
        scope = None if not path else {"tasks": self.root, **self.sections}.get(str(path[0]))
        rest = iter(path[1:])
        for step in rest:
            found = None if scope is None else scope.nodes.get(str(step))
            if found is None:
                break
            node = found
            scope = node.inside if next(rest, None) == "tasks" else None
        return node

    def _node_called(self, full_id: str) -> Node | None:
        scope: Scope | None = self.root
        node: Node | None = None
        rest = full_id
        while scope is not None and rest:
            # An id may hold dots itself: the longest one that is known is meant.
            for cut in (len(rest), *(at for at in range(len(rest) - 1, 0, -1) if rest[at] == ".")):
                if rest[:cut] in scope.nodes:
                    node, rest = scope.nodes[rest[:cut]], rest[cut + 1 :]
                    scope = node.inside
                    break
            else:
                return None
        return node


class Scope:
    """Tasks that are written beside each other."""

    def __init__(
        self,
        trace: Trace,
        parent: Scope | None,
        path: Path,
        *,
        group: Node | None = None,
        item: str | None = None,
        nodes: dict[str, Node] | None = None,
    ) -> None:
        self.trace = trace
        self.parent = parent
        self.path = path
        self.group = group
        self.item = item  # a mapped group: the name of its item
        self.nodes: dict[str, Node] = {} if nodes is None else nodes
        self.tasks: dict[str, Document] = {}
        self.blocks: list[Block] = []  # the cases of switches that are open now, innermost last
        self._counts: dict[str, int] = {}

    @property
    def hides(self) -> str | None:
        return None

    def outwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find(self, name: str) -> Node | None:
        """The nearest task of this id, from here outwards."""
        for scope in self.outwards():
            if name in scope.nodes:
                return scope.nodes[name]
        return None

    def declare(self, base: str, chosen: str | None, place: Place) -> Node:
        """A new task: with the chosen id, else with the base name, numbered from its second use on.

        Raises BuildError (`duplicate_task`) when the chosen id is taken.
        """
        if chosen is not None:
            if chosen in self.nodes:
                raise BuildError(
                    f'the id "{chosen}" is already the task at {self.nodes[chosen].place}',
                    "In a loop, make the id from the loop's variable.",
                    code="duplicate_task",
                    task=chosen,
                )
            name = chosen
        else:
            number = self._counts.get(base, 0) + 1
            while (name := base if number == 1 else f"{base}_{number}") in self.nodes:
                number += 1
            self._counts[base] = number
        node = Node(name, self, place)
        self.nodes[name] = node
        for block in self.blocks:
            block.nodes.append(node)
        return node


@dataclass(slots=True)
class Block:
    """The tasks written in one case of a switch."""

    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Node:
    """A task that was written; as the root of a formula it is `tasks.<id>`, named as the spot demands."""

    id: str
    scope: Scope
    place: Place
    mapped: bool = False
    inside: Scope | None = None  # of a group: the scope of its tasks

    @property
    def full_id(self) -> str:
        group = self.scope.group
        return self.id if group is None else f"{group.full_id}.{self.id}"

    @property
    def document(self) -> Document:
        return self.scope.tasks[self.id]

    def groups(self) -> list[Node]:
        """The groups that hold this task, innermost first."""
        found = []
        group = self.scope.group
        while group is not None:
            found.append(group)
            group = group.scope.group
        return found

    @property
    def formula(self) -> Formula:
        return Formula((self, ".output"))

    def name_at(self, scope: Scope) -> str:
        """The id that means this task in `scope`. Raises BuildError where it cannot be seen from there."""
        if self.scope.trace is not scope.trace:
            raise BuildError(
                f'the task "{self.id}" belongs to another workflow, or to an earlier build of this one',
                "Call it inside the workflow function.",
                code="not_visible",
                task=self.id,
            )
        seen = list(scope.outwards())
        name, at = self.id, self.scope
        while not any(at is one for one in seen):
            if at.group is None or at.parent is None:
                break  # a section: its ids are everybody's
            if at.item is not None:
                raise BuildError(
                    f'the task "{self.full_id}" runs once for each item of "{at.group.id}": '
                    "from outside the group there is no single one",
                    "Return it from the group, and use what the group's call gives.",
                    code="not_visible",
                    task=self.full_id,
                )
            name, at = f"{at.group.id}.{name}", at.parent
        if at is not scope:
            scope.trace.named(self, name, scope)
        return name

    def written(self, view: View | None) -> str:
        if view is None:
            raise BuildError(
                f'the task "{self.id}" is used outside of a workflow function',
                code="not_visible",
                task=self.id,
            )
        name = self.name_at(scope_of(view))
        return f"tasks.{name}" if is_name(name) else f"tasks[{quoted(name)}]"


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """The item of a mapped group, under the name that the group's map gives it."""

    name: str
    scope: Scope  # of the group's tasks

    def written(self, view: View | None) -> str:
        if view is not None:
            hidden = view.hides == self.name
            for scope in scope_of(view).outwards():
                if scope is self.scope:
                    break
                hidden = hidden or scope.item == self.name
            else:
                raise BuildError(
                    f'the item "{self.name}" exists only inside its group',
                    "Return what is needed from the group.",
                    code="not_visible",
                )
            if hidden:
                raise BuildError(
                    f'"{self.name}" means the item of the inner map here, not the one of the group around it',
                    'Name one of them with .options(as_="…").',
                )
        return self.name


@dataclass(frozen=True, slots=True)
class ItemView:
    """Inside a mapped task: as its scope, but the map's own item hides one of the same name."""

    scope: Scope
    hides: str | None


def scope_of(view: View) -> Scope:
    """The scope that a view belongs to."""
    if isinstance(view, ItemView):
        return view.scope
    assert isinstance(view, Scope)
    return view


_scope: ContextVar[Scope | None] = ContextVar("headrace_scope", default=None)


def current_scope() -> Scope | None:
    """The scope that task calls write to; None outside of a workflow function, where they run."""
    return _scope.get()


def current_view() -> View | None:
    """The spot at which text made now will stand."""
    return _scope.get()


def demand_scope(what: str) -> Scope:
    """The current scope. Raises BuildError outside of a workflow function."""
    scope = _scope.get()
    if scope is None:
        raise BuildError(
            f"{what} belongs inside a function marked with @workflow",
            "Outside there is no graph.",
            code="schema",
        )
    return scope


@contextmanager
def writing_to(scope: Scope) -> Iterator[Scope]:
    """Task calls write to `scope` while the context is open."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)
