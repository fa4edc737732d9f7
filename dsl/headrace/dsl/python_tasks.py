"""Tasks as statements of a Python function: calls, groups, switches."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.dsl.python.blocks import named_tasks
from headrace.dsl.python_layout import (
    Code,
    Names,
    call,
    chain,
    constant,
    flat,
    lines,
    listing,
    mapping,
    quote,
)
from headrace.engine.core.evaluation import Reference
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.expressions.lexer import RESERVED
from headrace.engine.core.problems import InvalidWorkflow, Path, Problem
from headrace.engine.core.workflow import Json

Document = Mapping[str, Any]

_DSL = [
    "workflow",
    "task",
    "group",
    "shell",
    "http",
    "container",
    "sleep",
    "signal",
    "approval",
    "gate",
    "noop",
    "child",
    "switch",
    "on_failure",
    "finally_",
    "run",
    "secret",
    "Retry",
    "Rule",
    "Timeouts",
    "Pool",
    "Cache",
    "Poll",
    "Loop",
    "Map",
    "Concurrency",
    "Signal",
    "Limits",
    "Retention",
    "Cron",
    "Every",
    "At",
    "Param",
]
_POLICIES = {
    "retry": "Retry",
    "timeouts": "Timeouts",
    "pool": "Pool",
    "cache": "Cache",
    "poll": "Poll",
    "loop": "Loop",
}
_LEADING = {"Cache": "ttl", "Pool": "name", "Map": "over", "Signal": "name"}
_OWN = frozenset(
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
        "with",
        "output",
        "map",
    ]
)


def unwritable(what: str, hint: str, path: Path) -> InvalidWorkflow:
    """The error for what only YAML can say."""
    return InvalidWorkflow([Problem("schema", f"{what} cannot be written in Python.", hint, path)])


class Module:
    """The file being written: its imports, the functions it wraps, its names."""

    def __init__(self, params: Sequence[str] | Mapping[str, Any]) -> None:
        self.names = Names(params)
        self.params = frozenset(params)
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
        named = {_field(key): self._inner(key, item) for key, item in given.items() if key != leading}
        return call(self.dsl(name), *args, **named)

    def _inner(self, key: str, item: Json) -> Code:
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


class Scope:
    """Which variables hold which task's output, from here outwards."""

    def __init__(
        self, module: Module, outer: Scope | None = None, items: Mapping[str, str] | None = None
    ) -> None:
        self.module = module
        self.outer = outer
        self.variables: dict[str, str] = {}
        self.ids: frozenset[str] = frozenset()
        self.items = dict(items or {})  # text of an item's path → the parameter that holds it
        self.read: frozenset[str] = outer.read if outer else frozenset()  # ids that anything names

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


# -- values ----------------------------------------------------------------------------------------------------------


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
        if not rest and not isinstance(first, str):
            if first.text in scope.items:
                return scope.items[first.text]
            if first.lone is not None:
                found = _reference(first.lone, scope)
                if found is not None:
                    return found
    return quote(text)


def _reference(lone: Reference, scope: Scope) -> str | None:
    root, name, path, _ = lone
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


def _field(key: str) -> str:
    return f"{key}_" if keyword.iskeyword(key) or key == "self" else key


# -- statements ------------------------------------------------------------------------------------------------------


def write_section(tasks: Mapping[str, Document], scope: Scope, path: Path, indent: int) -> list[str]:
    """The statements of tasks that stand beside each other, each after those that it waits for where that can be."""
    scope.ids = frozenset(tasks)
    return list(_Section(tasks, scope, path).statements(indent))


class _Section:
    def __init__(self, tasks: Mapping[str, Document], scope: Scope, path: Path) -> None:
        self.tasks, self.scope, self.path = tasks, scope, path
        self.module = scope.module
        self.needs = {name: {*_named(task)} & tasks.keys() - {name} for name, task in tasks.items()}
        self.functions: dict[str, str] = {}  # group → the function that writes it
        self.chosen: dict[str, str] = {}  # task → the switch in whose block it stands
        for name, task in tasks.items():
            for then in _choices(task):
                self._choose(name, then)

    def _choose(self, switch: str, then: Sequence[str]) -> None:
        path = (*self.path, switch)
        for name in then:
            if name not in self.tasks:
                raise unwritable(
                    f'the choice "{name}" of the switch "{switch}"', "Choose a task beside the switch.", path
                )
            if name in self.chosen:
                raise unwritable(f'"{name}" as a choice of two cases', "Join the cases with ||.", path)
            if self.needs[name] & {*then}:
                raise unwritable(
                    f'"{name}" as a choice beside one that it waits for',
                    "Choose the first of them only.",
                    path,
                )
            self.chosen[name] = switch

    def statements(self, indent: int) -> Iterator[str]:
        for name in self._order():
            if name not in self.chosen:
                yield from self._statement(name, indent)

    def _order(self) -> list[str]:
        """Upstreams first; a switch and what stands in its blocks are one."""
        order: list[str] = []
        state: dict[str, bool] = {}
        for start in sorted(self.tasks):
            stack = [start]
            while stack:
                name = stack[-1]
                if state.get(name):
                    stack.pop()
                    continue
                if name in state:
                    state[name] = True
                    order.append(stack.pop())
                    continue
                state[name] = False
                stack += sorted((up for up in self.needs[name] if up not in state), reverse=True)
        return order

    def _statement(self, name: str, indent: int) -> Iterator[str]:
        task = self.tasks[name]
        if "switch" in task:
            yield from self._switch(name, task, indent)
            return
        if "tasks" in task:
            yield from self._group_function(name, task, indent)
        code = self._call(name, task)
        if name not in self.scope.read:
            yield from lines(code, indent)
            return
        variable = self.module.names.give(f"{name}_out")
        yield from lines(code, indent, f"{variable} = ")
        self.scope.variables[name] = variable

    # -- one call ----------------------------------------------------------------------------------------------------

    def _call(self, name: str, task: Document) -> Code:
        if "python" in task:
            wrapped = self.module.task(task["python"])
            options = self._options(task, None if name == task["python"].partition(":")[2] else name)
            return self._fanned(wrapped, options, task, name, may_map=True)
        if "workflow" in task:
            given = task["workflow"] if isinstance(task["workflow"], Mapping) else {"name": task["workflow"]}
            options = self._options(task, None if name == given["name"] else name)
            options.update({key: constant(item) for key, item in given.items() if key != "name"})
            made = call(self.module.dsl("child"), quote(given["name"]))
            return self._fanned(made, options, task, name, may_map=False)
        if "tasks" in task:
            return self._group_call(name, task)
        return self._constructed(name, task)

    def _fanned(
        self, step: Code, options: dict[str, Code], task: Document, name: str, *, may_map: bool
    ) -> Code:
        """A call, or .map or .product where the mapped values are arguments by themselves."""
        inputs: dict[str, Any] = dict(task.get("with", {}))
        over = task.get("map")
        if over is None:
            arguments = {key: value(item, self.scope) for key, item in inputs.items()}
            return call(_with_options(step, options), **arguments)
        fan = over if isinstance(over, Mapping) else {"over": over}
        item = fan.get("as", "item")
        mapped, method = _mapped_arguments(fan, inputs, item)
        if mapped is None or method is None:
            if not may_map:
                raise unwritable(
                    f'the map of "{name}"', "Pass the item itself as one parameter.", (*self.path, name)
                )
            options["map"] = self._map(fan)
            arguments = {key: value(each, self.scope) for key, each in inputs.items()}
            return call(_with_options(step, options), **arguments)
        options.update(
            {_field(key): value(fan[key], self.scope) for key in ("as", "label", "max_items") if key in fan}
        )
        step = _with_options(step, options)
        fixed = {key: value(each, self.scope) for key, each in inputs.items() if key not in mapped}
        if fixed:
            step = call(chain(step, ".partial"), **fixed)
        return call(
            chain(step, f".{method}"), **{key: value(each, self.scope) for key, each in mapped.items()}
        )

    def _map(self, fan: Document) -> Code:
        args = [value(fan["over"], self.scope)] if "over" in fan else []
        named = {_field(key): value(item, self.scope) for key, item in fan.items() if key != "over"}
        return call(self.module.dsl("Map"), *args, **named)

    def _constructed(self, name: str, task: Document) -> Code:
        kind = next(key for key in task if key in _OWN and key not in ("with", "output", "map"))
        given = task[kind]
        options = self._options(task, None if name == kind else name)
        if "map" in task:
            fan = task["map"] if isinstance(task["map"], Mapping) else {"over": task["map"]}
            options["map"] = self._map(fan)
        args: list[Code] = []
        work: dict[str, Code] = {}
        leading = {
            "shell": "run",
            "http": "url",
            "container": "image",
            "signal": "name",
            "approval": "title",
            "gate": "when",
        }
        if not isinstance(given, Mapping):
            args = [value(given, self.scope) if kind != "gate" else quote(given)]
        else:
            first = leading.get(kind)
            if kind == "shell" and "argv" in given:
                first = "argv"
            if first is not None and first in given:
                args = [quote(given[first]) if kind == "gate" else value(given[first], self.scope)]
            for key, item in given.items():
                if key != first:
                    work[_field(key)] = self._work(kind, key, item)
        return call(self.module.dsl(kind), *args, **work, **options)

    def _work(self, kind: str, key: str, item: Json) -> Code:
        if kind == "signal":
            return self.module._inner(key, item)
        return constant(item) if kind == "approval" and key == "form" else value(item, self.scope)

    def _options(self, task: Document, name: str | None) -> dict[str, Code]:
        found: dict[str, Code] = {} if name is None else {"id": quote(name)}
        for key, item in task.items():
            if key in _OWN:
                continue
            if key in ("depends_on", "teardown_of"):
                found[key] = self._upstreams(item)
            elif key in _POLICIES and isinstance(item, Mapping):
                if key == "timeouts" and None in item.values():
                    raise unwritable(
                        "an http task whose tries have no bound", "Give timeouts.attempt a length.", self.path
                    )
                found[key] = self._policy(key, item)
            elif key == "concurrency":
                found[key] = listing(self.module.policy("Concurrency", each) for each in item)
            elif key == "env":
                found[key] = value(item, self.scope)
            else:
                found[key] = constant(item)
        return found

    def _policy(self, key: str, item: Document) -> Code:
        if key == "cache" and "key" in item:
            rest = {name: constant(each) for name, each in item.items() if name not in ("ttl", "key")}
            return call(
                self.module.dsl("Cache"), constant(item["ttl"]), key=value(item["key"], self.scope), **rest
            )
        return self.module.policy(_POLICIES[key], item)

    def _upstreams(self, ids: Sequence[str]) -> Code:
        return listing(self.scope.variable(each) or quote(each) for each in ids)

    # -- groups and switches -----------------------------------------------------------------------------------------

    def _group_function(self, name: str, task: Document, indent: int) -> Iterator[str]:
        function = self.module.names.give(name)
        self.functions[name] = function
        fan = _fan(task)
        parameters: dict[str, str] = {}
        if fan is not None:
            item = fan.get("as", "item")
            if "over" in fan:
                parameters[item] = item
            else:
                for each in fan.get("product") or fan["zip"]:
                    parameters[f"{item}.{each}"] = each
        for parameter in parameters.values():
            if parameter in Names.WORDS:
                raise unwritable(
                    f'the item name "{parameter}"', "Give it another one by `as`.", (*self.path, name)
                )
        inner = Scope(self.module, self.scope, {**self.scope.items, **parameters})
        pad = " " * indent
        yield f"{pad}@{self.module.dsl('group')}"
        yield f"{pad}def {function}({', '.join(parameters.values())}):"
        yield from write_section(task["tasks"], inner, (*self.path, name, "tasks"), indent + 4)
        if "output" in task:
            yield from lines(value(task["output"], inner), indent + 4, "return ")
        yield ""

    def _group_call(self, name: str, task: Document) -> Code:
        function = self.functions[name]
        options = self._options(task, None if name == function else name)
        fan = _fan(task)
        if fan is None:
            return call(_with_options(function, options))
        options.update(
            {_field(key): value(fan[key], self.scope) for key in ("label", "max_items") if key in fan}
        )
        if "over" in fan:
            return call(chain(_with_options(function, options), ".map"), value(fan["over"], self.scope))
        if "as" in fan:
            options["as_"] = quote(fan["as"])
        method, lists = ("product", fan["product"]) if "product" in fan else ("map", fan["zip"])
        return call(
            chain(_with_options(function, options), f".{method}"),
            **{key: value(each, self.scope) for key, each in lists.items()},
        )

    def _switch(self, name: str, task: Document, indent: int) -> Iterator[str]:
        pad = " " * indent
        work = task["switch"]
        options = self._options(task, None if name == "switch" else name)
        args: list[Code] = []
        if "python" in work:
            chooser: Code = self.module.task(work["python"])
            fixed = {key: value(item, self.scope) for key, item in task.get("with", {}).items()}
            args = [call(chain(chooser, ".partial"), **fixed) if fixed else chooser]
        variable = self.module.names.give(f"{name}_switch")
        opened = call(self.module.dsl("switch"), *args, **options)
        yield from lines(opened, indent, "with ", f" as {variable}:")
        self.scope.variables[name] = variable
        blocks = 0
        for case in work.get("cases", ()):
            blocks += 1
            yield f"{pad}    with {variable}.case({quote(case['when'])}):"
            yield from self._block(case.get("then", ()), indent + 8)
        if "default" in work:
            blocks += 1
            yield f"{pad}    with {variable}.default():"
            yield from self._block(work["default"], indent + 8)
        if not blocks:
            yield f"{pad}    pass"

    def _block(self, then: Sequence[str], indent: int) -> Iterator[str]:
        if not then:
            yield " " * indent + "pass"
        for name in then:
            yield from self._statement(name, indent)


def _with_options(step: Code, options: Mapping[str, Code]) -> Code:
    return call(chain(step, ".options"), **options) if options else step


def _fan(task: Document) -> Document | None:
    over = task.get("map")
    if over is None or isinstance(over, Mapping):
        return over
    return {"over": over}


def _mapped_arguments(
    fan: Document, inputs: Mapping[str, Any], item: str
) -> tuple[dict[str, Any] | None, str | None]:
    """The lists by argument, where each mapped value is one argument by itself; and the method that says so."""
    if "over" in fan:
        whole = [key for key, each in inputs.items() if each == f"${{{{ {item} }}}}"]
        return ({whole[0]: fan["over"]}, "map") if len(whole) == 1 else (None, None)
    key, method = ("product", "product") if "product" in fan else ("zip", "map")
    lists = fan[key]
    if len(lists) < 2 and key == "zip":
        return None, None  # one list alone would be a plain map
    if all(inputs.get(name) == f"${{{{ {item}.{name} }}}}" for name in lists):
        return dict(lists), method
    return None, None


def _choices(task: Document) -> Iterator[Sequence[str]]:
    work = task.get("switch")
    if isinstance(work, Mapping):
        for case in work.get("cases", ()):
            yield case.get("then", ())
        if "default" in work:
            yield work["default"]


def _named(task: Document) -> set[str]:
    return named_tasks(dict(task))


def every_name(document: Document) -> set[str]:
    """Every task that anything in the workflow names: only these need a variable."""
    found = named_tasks({"output": document.get("output"), "tasks": {}})
    for key in ("tasks", "on_failure", "finally"):
        pending = list(document.get(key, {}).values())
        while pending:
            task = pending.pop()
            found |= named_tasks({key: item for key, item in task.items() if key != "tasks"})
            pending += task.get("tasks", {}).values()
    return found
