"""One task as a call: its function or constructor, its options, its arguments, its map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.dsl.python_source.layout import Code, call, chain, constant, listing, quote
from headrace.dsl.python_source.module import Document, Module, field, unwritable
from headrace.dsl.python_source.values import Scope, value
from headrace.engine.core.problems import Path
from headrace.engine.core.workflow import Json

_POLICIES = {
    "retry": "Retry",
    "timeouts": "Timeouts",
    "pool": "Pool",
    "cache": "Cache",
    "poll": "Poll",
    "loop": "Loop",
}
_KINDS = frozenset(
    [
        "python",
        "shell",
        "http",
        "container",
        "workflow",
        "sleep",
        "signal",
        "approval",
        "switch",
        "gate",
        "noop",
        "tasks",
    ]
)
_ARGUMENTS = frozenset(("with", "output", "map"))
_LEADING = {
    "shell": "run",
    "http": "url",
    "container": "image",
    "signal": "name",
    "approval": "title",
    "gate": "when",
}
"""What a constructor takes first."""


class Calls:
    """Writes the calls of tasks that stand in one scope."""

    def __init__(self, scope: Scope, path: Path) -> None:
        self.scope, self.path = scope, path
        self.module: Module = scope.module

    def written(self, name: str, task: Document) -> Code:
        """The call of any task but a group or a switch."""
        if "python" in task:
            options = self.options(task, None if name == task["python"].partition(":")[2] else name)
            return self._fanned(self.module.task(task["python"]), options, task, name)
        if "workflow" in task:
            given = task["workflow"] if isinstance(task["workflow"], Mapping) else {"name": task["workflow"]}
            options = self.options(task, None if name == given["name"] else name)
            options.update({key: constant(item) for key, item in given.items() if key != "name"})
            return self._fanned(call(self.module.dsl("child"), quote(given["name"])), options, task, name)
        return self._constructed(name, task)

    def _fanned(self, step: Code, options: dict[str, Code], task: Document, name: str) -> Code:
        """A call, or .map or .product where each mapped value is an argument by itself."""
        inputs: dict[str, Any] = dict(task.get("with", {}))
        fan = fan_of(task)
        inner = self.scope.hiding(fan)
        if fan is None:
            return call(with_options(step, options), **values(inputs, self.scope))
        mapped, method = _mapped_arguments(fan, inputs)
        if not mapped:
            if "workflow" in task:
                path = (*self.path, name, "map")
                raise unwritable(f'the map of "{name}"', "Pass the item itself as one parameter.", path)
            options["map"] = self._map(fan)
            return call(with_options(step, options), **values(inputs, inner))
        options.update(self.of_map(fan, "as", "label", "max_items"))
        step = with_options(step, options)
        fixed = {key: item for key, item in inputs.items() if key not in mapped}
        if fixed:
            step = call(chain(step, ".partial"), **values(fixed, inner))
        return call(chain(step, f".{method}"), **values(mapped, self.scope))

    def of_map(self, fan: Document, *keys: str) -> dict[str, Code]:
        """These keys of a map as options."""
        inner = self.scope.hiding(fan)
        return {field(key): value(fan[key], inner) for key in keys if key in fan}

    def _map(self, fan: Document) -> Code:
        args = [value(fan["over"], self.scope)] if "over" in fan else []
        named = {key: value(fan[key], self.scope) for key in ("product", "zip") if key in fan}
        return call(self.module.dsl("Map"), *args, **named, **self.of_map(fan, "as", "label", "max_items"))

    def _constructed(self, name: str, task: Document) -> Code:
        kind = next(key for key in task if key in _KINDS)
        given = task[kind]
        options = self.options(task, None if name == kind else name)
        fan = fan_of(task)
        if fan is not None:
            options["map"] = self._map(fan)
        inner = self.scope.hiding(fan)
        first = "argv" if kind == "shell" and "argv" in given else _LEADING.get(kind, kind)
        work = given if isinstance(given, Mapping) else {first: given}
        args: list[Code] = []
        named: dict[str, Code] = {}
        for key, item in work.items():
            if kind == "signal":
                code = self.module.inner(key, item)
            elif kind == "gate" or (kind == "approval" and key == "form"):
                code = constant(item)
            else:
                code = value(item, inner)
            if key == first:
                args.append(code)
            else:
                named[field(key)] = code
        return call(self.module.dsl(kind), *args, **named, **options)

    # -- options -----------------------------------------------------------------------------------------------------

    def options(self, task: Document, name: str | None) -> dict[str, Code]:
        """The keys of section 5 of the language, as they go into `.options()` or a constructor."""
        inner = self.scope.hiding(fan_of(task))
        found: dict[str, Code] = {} if name is None else {"id": quote(name)}
        for key, item in task.items():
            if key in ("depends_on", "teardown_of"):
                found[key] = listing(self.scope.variable(each) or quote(each) for each in item)
            elif key in _POLICIES and isinstance(item, Mapping):
                found[key] = self._policy(key, item, inner)
            elif key == "concurrency":
                found[key] = listing(self.module.policy("Concurrency", each) for each in item)
            elif key == "env":
                found[key] = value(item, inner)
            elif key not in _KINDS and key not in _ARGUMENTS:
                found[key] = constant(item)
        return found

    def _policy(self, key: str, item: Document, inner: Scope) -> Code:
        if key == "timeouts" and None in item.values():
            raise unwritable(
                "an http task whose tries have no bound", "Give timeouts.attempt a length.", self.path
            )
        if key == "cache" and "key" in item:
            rest = {name: constant(each) for name, each in item.items() if name not in ("ttl", "key")}
            return call(
                self.module.dsl("Cache"), constant(item["ttl"]), key=value(item["key"], inner), **rest
            )
        return self.module.policy(_POLICIES[key], item)


def with_options(step: Code, options: Mapping[str, Code]) -> Code:
    """The step as it is, or its copy with options."""
    return call(chain(step, ".options"), **options) if options else step


def values(given: Mapping[str, Json], scope: Scope) -> dict[str, Code]:
    """Arguments."""
    return {key: value(item, scope) for key, item in given.items()}


def fan_of(task: Document) -> Document | None:
    """The map of a task in its long form."""
    over = task.get("map")
    return over if over is None or isinstance(over, Mapping) else {"over": over}


def _mapped_arguments(fan: Document, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The lists by argument, where each mapped value is one argument by itself, else nothing; the method that says so."""
    item = fan.get("as", "item")
    if "over" in fan:
        whole = [key for key, each in inputs.items() if each == f"${{{{ {item} }}}}"]
        return ({whole[0]: fan["over"]} if len(whole) == 1 else {}), "map"
    key, method = ("product", "product") if "product" in fan else ("zip", "map")
    lists = dict(fan[key])
    fits = all(inputs.get(name) == f"${{{{ {item}.{name} }}}}" for name in lists)
    return (
        lists if fits and (len(lists) > 1 or key == "product") else {}
    ), method  # one list alone is a plain map
