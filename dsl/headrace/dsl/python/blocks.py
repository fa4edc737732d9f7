"""Blocks of a workflow function: `with switch(…)`, `with on_failure()`, `with finally_()`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.options import TASK, TaskOptions, checked, write_options
from headrace.dsl.python.places import here
from headrace.dsl.python.policies import Condition
from headrace.dsl.python.tasks import Task
from headrace.dsl.python.tracing import Block, Document, Node, Scope, demand_scope, writing_to
from headrace.dsl.python.values import bare


class Switch:
    """An open switch. Each case is a block; the tasks in it that wait for no other task of it are the case's choice."""

    def __init__(self, chooser: Task[..., Any] | None, options: Mapping[str, Any]) -> None:
        self._scope = demand_scope("switch()")
        self._options = checked(options, TASK, "switch()")
        self._chooser = chooser
        self._cases: list[dict[str, Any]] = []
        self._default: list[str] | None = None
        self._open: Block | None = None
        self._node: Node | None = None  # while and after it is open
        self._entered = False

    @property
    def __node__(self) -> Node:
        if self._node is None:
            raise self._unopened()
        return self._node

    def _unopened(self) -> BuildError:
        return BuildError(
            "a switch is used that is not open",
            "Write `with switch(id=…) as s:`, its cases inside.",
            code="schema",
        )

    def __enter__(self) -> Self:
        self._entered = True
        self._node = self._scope.declare("switch", self._options.get("id"), here())
        work: dict[str, Any] = {}
        document: Document = {"switch": work}
        if self._chooser is None:
            work["cases"] = self._cases
        else:
            chosen = self._chooser.chosen_by(self._scope)
            work["python"] = chosen.pop("python")
            document.update(chosen)
        self._scope.tasks[self.__node__.id] = document
        write_options(self._options, document, self._scope, None, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if kind is None and self._default is not None:
            self.__node__.document["switch"]["default"] = self._default

    def case(self, when: Condition | None = None) -> AbstractContextManager[None]:
        """The tasks to run when the condition is the first that holds.

        A switch that chooses by a function takes none: it gives ids of the tasks in its cases.
        """
        if (when is None) != (self._chooser is not None):
            raise BuildError(
                "a case needs a condition, except in a switch that chooses by a function", code="schema"
            )
        return self._case(when)

    @contextmanager
    def _case(self, when: Condition | None) -> Iterator[None]:
        then: list[str] = []
        with self._block() as block:
            if when is not None:
                self._cases.append({"when": bare(when, self._scope, "case"), "then": then})
            yield
        then += self._roots(block)
        if self._chooser is not None:
            for name in then:
                document = self._scope.tasks[name]
                document["depends_on"] = [*document.get("depends_on", ()), self.__node__.id]

    @contextmanager
    def default(self) -> Iterator[None]:
        """The tasks to run when no case holds."""
        if self._chooser is not None or self._default is not None:
            raise BuildError("a switch has one default, and none when a function chooses", code="schema")
        with self._block() as block:
            yield
        self._default = self._roots(block)

    @contextmanager
    def _block(self) -> Iterator[Block]:
        if not self._entered:
            raise self._unopened()
        if self._open is not None:
            raise BuildError("a case stands inside another case of the same switch", code="schema")
        self._open = Block()
        self._scope.blocks.append(self._open)
        try:
            yield self._open
        finally:
            self._scope.blocks.remove(self._open)
            self._open = None

    def _roots(self, block: Block) -> list[str]:
        """The ids of the block's tasks that wait for none of its others, in the order of writing."""
        ids = {node.id for node in block.nodes}
        led: set[str] = set()  # chosen by a switch within the block
        for node in block.nodes:
            inner = node.document.get("switch", {})
            for chosen in (*(case["then"] for case in inner.get("cases", ())), inner.get("default", ())):
                led.update(chosen)
        return [
            node.id
            for node in block.nodes
            if node.id not in led and not (named_tasks(node.document) - {node.id}) & ids
        ]


_TASK = re.compile(r"""\btasks\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*(?:"([^"]+)"|'([^']+)')\s*\])""", re.ASCII)
_PIECE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORD = re.compile(r"""[A-Za-z_]\w*|"([^"]+)"|'([^']+)'""", re.ASCII)
_BARE = frozenset(("when", "gate", "key", "on", "until", "match"))


def named_tasks(document: Document) -> set[str]:
    """The ids that a task's document names: its upstreams as written, and those that a group's tasks have outside it."""
    within: dict[str, Document] = document.get("tasks", {})
    found: set[str] = set()
    inside: set[str] = set().union(*(named_tasks(inner) for inner in within.values()))
    pending: list[tuple[str, Any, set[str]]] = [
        (key, value, inside if within and key in ("output", "loop") else found)
        for key, value in document.items()
        if key != "tasks"
    ]
    while pending:
        key, value, names = pending.pop()
        if key in ("depends_on", "teardown_of"):
            names.update([value] if isinstance(value, str) else value)
        elif key == "trigger_rule":
            names.update(
                name for match in _WORD.finditer(value) for name in (match[0], *match.groups()) if name
            )
        elif isinstance(value, dict):
            pending += [(key, item, names) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(key, item, names) for item in value]
        elif isinstance(value, str):
            for text in [value] if key in _BARE else _PIECE.findall(value):
                names.update(name for match in _TASK.finditer(text) for name in match.groups() if name)
    # A task of a plain group is named with the group's id before it: waiting for it is waiting within the group.
    # In a group its own ids come first, so only the others lead out of it.
    return {name.partition(".")[0] for name in found} | found | (inside - within.keys())


def switch(chooser: Task[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Switch:
    """Chooses which tasks go on: `with switch(id="route") as s:`, then `with s.case(cond):` and `with s.default():`.

    With a task as its chooser (`choose.partial(rows=report.rows)`), that function returns the ids of the tasks that go
    on, and `with s.case():` holds what it may choose.
    """
    return Switch(chooser, options)


def on_failure() -> AbstractContextManager[None]:
    """The tasks of this block run when the run has failed."""
    return _section("on_failure", "on_failure()")


def finally_() -> AbstractContextManager[None]:
    """The tasks of this block run at the end of every run."""
    return _section("finally", "finally_()")


@contextmanager
def _section(key: str, what: str) -> Iterator[None]:
    scope: Scope = demand_scope(what)
    if scope is not scope.trace.root:
        raise BuildError(
            f"{what} belongs to the workflow, not inside a group or another section", code="schema"
        )
    if scope.blocks:
        raise BuildError(f"{what} belongs to the workflow, not inside a case", code="schema")
    with writing_to(scope.trace.section(key)):
        yield
