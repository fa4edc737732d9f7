"""The file that is written: its imports, the functions that it wraps, its policies."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from headrace.dsl.python_source.layout import Code, Names, call, constant, lines, listing
from headrace.engine.core.problems import InvalidWorkflow, Path, Problem
from headrace.engine.core.workflow import Json

Document: TypeAlias = Mapping[str, Any]

_LEADING = {"Cache": "ttl", "Pool": "name", "Map": "over", "Signal": "name"}


def unwritable(what: str, hint: str, path: Path) -> InvalidWorkflow:
    """The error for what only YAML can say."""
    return InvalidWorkflow([Problem("schema", f"{what} cannot be written in Python.", hint, path)])


class Module:
    """The file being written: its imports, the functions it wraps, its names."""

    def __init__(self, params: Iterable[str], reserved: Iterable[str] = ()) -> None:
        self.params = frozenset(params)
        self.names = Names((*self.params, *reserved))
        self._imports: dict[tuple[str, str], str] = {}
        self._modules: dict[str, str] = {}
        self._tasks: dict[str, str] = {}  # module:function → name of the wrapped task

    def of(self, module: str, name: str) -> str:
        """A name imported from a module."""
        if (module, name) not in self._imports:
            self._imports[module, name] = self.names.give(name)
        return self._imports[module, name]

    def dsl(self, name: str) -> str:
        """A name of the language."""
        return self.of("headrace.dsl", name)

    def task(self, function: str) -> str:
        """The name of the task that wraps `module:function`."""
        if function not in self._tasks:
            module, _, name = function.partition(":")
            if "." in name:
                raise unwritable(
                    f"the function {function}", "Make it a function at the top of its module.", ()
                )
            self.dsl("task")
            self.of("inspect", "unwrap")
            if module not in self._modules:
                self._modules[module] = self.names.give(module.rpartition(".")[2])
            self._tasks[function] = self.names.give(name)
        return self._tasks[function]

    def policy(self, name: str, given: Document) -> Code:
        """A policy as a call of its class."""
        leading = _LEADING.get(name)
        args = [constant(given[leading])] if leading is not None and leading in given else []
        named = {field(key): self.inner(key, item) for key, item in given.items() if key != leading}
        return call(self.dsl(name), *args, **named)

    def inner(self, key: str, item: Json) -> Code:
        """What stands under a key of a policy: rules and signals are policies of their own."""
        if key == "rules":
            return listing(self.policy("Rule", rule) for rule in item)
        if key in ("any", "all") and item and isinstance(item[0], Mapping | str):
            return listing(
                self.policy("Signal", {"name": each} if isinstance(each, str) else each) for each in item
            )
        return constant(item)

    def header(self) -> list[str]:
        """Imports, and the wrapped functions."""
        found: dict[str, list[str]] = {}
        for (module, name), given in self._imports.items():
            found.setdefault(module, []).append(name if given == name else f"{name} as {given}")
        standard = [
            f"from {module} import {', '.join(sorted(found[module]))}"
            for module in sorted(found)
            if module != "headrace.dsl"
        ]
        dsl = list(lines(f"from headrace.dsl import {', '.join(sorted(found.get('headrace.dsl', ())))}", 0))
        modules = []
        for module, given in sorted(self._modules.items()):
            package, _, name = module.rpartition(".")
            alias = "" if given == name else f" as {given}"
            modules.append(f"from {package} import {name}{alias}" if package else f"import {module}{alias}")
        wrapped = [
            f"{given} = {self.dsl('task')}({self.of('inspect', 'unwrap')}({self._modules[function.partition(':')[0]]}.{function.partition(':')[2]}))"
            for function, given in self._tasks.items()
        ]
        parts = [part for part in (standard, dsl, modules, wrapped) if part]
        return [line for part in parts for line in (*part, "")][:-1]


def field(key: str) -> str:
    """A key of the language as a keyword of Python."""
    return f"{key}_" if keyword.iskeyword(key) or key == "self" else key
