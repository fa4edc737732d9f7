"""Tasks as statements of a Python function: each after what it waits for, groups as functions, switches as blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.dsl.python.blocks import named_tasks
from headrace.dsl.python_source.calls import Calls, fan_of, values, with_options
from headrace.dsl.python_source.layout import Code, Names, call, chain, lines, quote
from headrace.dsl.python_source.module import Document, unwritable
from headrace.dsl.python_source.values import Scope, value
from headrace.engine.core.problems import Path


def write_section(tasks: Mapping[str, Document], scope: Scope, path: Path, indent: int) -> list[str]:
    """The statements of tasks that stand beside each other, each after those that it waits for where that can be."""
    scope.ids = frozenset(tasks)
    return list(_Section(tasks, scope, path).statements(indent))


class _Section:
    def __init__(self, tasks: Mapping[str, Document], scope: Scope, path: Path) -> None:
        self.tasks, self.scope, self.path = tasks, scope, path
        self.module = scope.module
        self.needs = {name: named_tasks(dict(task)) & tasks.keys() - {name} for name, task in tasks.items()}
        self.calls = Calls(scope, path)
        self.functions: dict[str, str] = {}  # group → the function that holds its tasks
        self.parameters: dict[str, tuple[str, ...]] = {}  # and that function's parameters
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
            code = self._group_call(name, task)
        else:
            code = self.calls.written(name, task)
        if name not in self.scope.read:
            yield from lines(code, indent)
            return
        variable = self.module.names.give(f"{name}_out")
        yield from lines(code, indent, f"{variable} = ")
        self.scope.variables[name] = variable

    # -- groups and switches -----------------------------------------------------------------------------------------

    def _group_function(self, name: str, task: Document, indent: int) -> Iterator[str]:
        """The function of a group; its parameters hold the item."""
        function = self.module.names.give(name)
        self.functions[name] = function
        fan = fan_of(task)
        items: dict[Path, str] = {}
        if fan is not None:
            item = fan.get("as", "item")
            if "over" in fan:
                items[item,] = self.module.names.give(item)
            else:
                items = {(item, each): each for each in fan.get("product") or fan["zip"]}
            for each in items.values():
                if each in Names.WORDS:
                    path = (*self.path, name, "map")
                    raise unwritable(f'the item name "{each}"', "Give it another one.", path)
        self.parameters[name] = tuple(items.values())
        around = {
            path: held for path, held in self.scope.hiding(fan).items.items() if held not in items.values()
        }
        inner = Scope(self.module, self.scope, {**around, **items})
        pad = " " * indent
        yield ""
        yield f"{pad}@{self.module.dsl('group')}"
        yield f"{pad}def {function}({', '.join(items.values())}):"
        yield from write_section(task["tasks"], inner, (*self.path, name, "tasks"), indent + 4)
        if "output" in task:
            yield from lines(value(task["output"], inner), indent + 4, "return ")
        yield ""

    def _group_call(self, name: str, task: Document) -> Code:
        function = self.functions[name]
        options = self.calls.options(task, None if name == function else name)
        fan = fan_of(task)
        if fan is None:
            return call(with_options(function, options))
        options.update(self.calls.of_map(fan, "label", "max_items"))
        item = fan.get("as", "item")
        if "over" in fan:
            if self.parameters[name] != (item,):
                options["as_"] = quote(item)
            return call(chain(with_options(function, options), ".map"), value(fan["over"], self.scope))
        if item != "item":
            options["as_"] = quote(item)
        lists = fan.get("product") or fan["zip"]
        if "zip" in fan and len(lists) == 1:
            raise unwritable(
                f'the map of "{name}"', "A zip of one list is a plain map.", (*self.path, name, "map")
            )
        method = "product" if "product" in fan else "map"
        return call(chain(with_options(function, options), f".{method}"), **values(lists, self.scope))

    def _switch(self, name: str, task: Document, indent: int) -> Iterator[str]:
        pad = " " * indent
        work = task["switch"]
        options = self.calls.options(task, None if name == "switch" else name)
        args: list[Code] = []
        if "python" in work:
            chooser: Code = self.module.task(work["python"])
            fixed = values(task.get("with", {}), self.scope)
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


def _choices(task: Document) -> Iterator[Sequence[str]]:
    work = task.get("switch")
    if isinstance(work, Mapping):
        for case in work.get("cases", ()):
            yield case.get("then", ())
        if "default" in work:
            yield work["default"]


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


def list_names(document: Document) -> set[str]:
    """The names in `product` and `zip` of groups: parameters of functions, which nothing else may be called."""
    found: set[str] = set()
    pending = [task for key in ("tasks", "on_failure", "finally") for task in document.get(key, {}).values()]
    while pending:
        task = pending.pop()
        if "tasks" in task:
            fan = fan_of(task) or {}
            found.update(fan.get("product", ()), fan.get("zip", ()))
            pending += task["tasks"].values()
    return found
