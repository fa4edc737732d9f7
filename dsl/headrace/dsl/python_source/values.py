"""Values of the language as Python: references become variables where these are in sight, other text stays."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence

from headrace.dsl.python_source.layout import Code, constant, flat, listing, mapping, quote
from headrace.dsl.python_source.module import Document, Module
from headrace.engine.core.evaluation import Reference
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.expressions.lexer import RESERVED
from headrace.engine.core.problems import Path
from headrace.engine.core.workflow import Json


class Scope:
    """Which variables hold which task's output, from here outwards."""

    def __init__(
        self, module: Module, outer: Scope | None = None, items: Mapping[Path, str] | None = None
    ) -> None:
        self.module = module
        self.outer = outer
        self.variables: dict[str, str] = {}
        self.ids: frozenset[str] = frozenset()
        self.items: dict[Path, str] = dict(items or {})  # an item's path → the parameter that holds it
        self.read: frozenset[str] = outer.read if outer else frozenset()  # ids that anything names

    def hiding(self, fan: Document | None) -> Scope:
        """This scope as seen inside of a map, whose item hides another of the same name."""
        if fan is None:
            return self
        item = fan.get("as", "item")
        made = Scope(
            self.module, self.outer, {path: name for path, name in self.items.items() if path[0] != item}
        )
        made.variables, made.ids, made.read = self.variables, self.ids, self.read
        return made

    def section(self) -> Scope:
        """The scope of on_failure and finally, which see all tasks."""
        return Scope(self.module, self)

    def variable(self, task: str) -> str | None:
        """The variable that holds the output of the task that this id means here."""
        scope: Scope | None = self
        while scope is not None:
            if task in scope.ids or task in scope.variables:
                return scope.variables.get(task)
            scope = scope.outer
        return None


def value(given: Json, scope: Scope) -> Code:
    """A template as Python: a lone reference becomes a variable's path, all other text stays."""
    if isinstance(given, str):
        return _text(given, scope)
    if isinstance(given, Mapping):
        return mapping({key: value(item, scope) for key, item in given.items()})
    if isinstance(given, list | tuple):
        return listing(value(item, scope) for item in given)
    return constant(given)


def _text(text: str, scope: Scope) -> Code:
    if text.startswith("${{"):
        pieces = parse_template(text).pieces
        [first, *rest] = pieces[0][1] if pieces else [""]
        if not rest and not isinstance(first, str) and first.lone is not None:
            found = _reference(first.lone, scope)
            if found is not None:
                return found
    return quote(text)


def _reference(lone: Reference, scope: Scope) -> str | None:
    root, name, path, _ = lone
    for length in range(len(path), -1, -1):
        holder = scope.items.get((root, *path[:length]))
        if holder is not None:
            return f"{holder}{_path(path[length:])}"
    if root == "params" and name in scope.module.params:
        return f"{name}{_path(path)}"
    if root == "run" and name is not None:
        return f"{scope.module.dsl('run')}{_path((name, *path))}"
    if root == "secrets" and name is not None and not path:
        return f"{scope.module.dsl('secret')}({quote(name)})"
    if root == "tasks" and name is not None and path[:1] == ("output",):
        variable = scope.variable(name)
        return None if variable is None else f"{variable}{_path(path[1:])}"
    return None


def _path(path: Sequence[str | int]) -> str:
    return "".join(
        f".{step}"
        if isinstance(step, str)
        and step.isidentifier()
        and not step.startswith("_")
        and not keyword.iskeyword(step)
        and step not in RESERVED
        else f"[{flat(constant(step))}]"
        for step in path
    )
