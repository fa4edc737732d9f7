"""`@group`: a function that calls tasks, which enter, map and loop together. It runs while the workflow is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar, Unpack, overload

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import Formula
from headrace.dsl.python.functions import summary
from headrace.dsl.python.options import GROUP, GroupOptions, item_name
from headrace.dsl.python.places import here
from headrace.dsl.python.references import Reference
from headrace.dsl.python.steps import Fan, P, R, Step
from headrace.dsl.python.tracing import Document, Item, Node, Scope, writing_to
from headrace.dsl.python.values import written

T = TypeVar("T")

SCOPE_NAMES = frozenset(
    ["params", "run", "event", "tasks", "item", "item_index", "error", "output", "loop", "secrets", "message"]
)

_DEEPEST = 20  # far beyond what the language allows, so that its own message comes first where it can


class Group(Step[P, R]):
    """A function as a group. Its parameters are references or plain values; what it returns is the group's output."""

    known_options: ClassVar[frozenset[str]] = GROUP
    what: ClassVar[str] = "group"

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        super().__init__(function.__name__, options)
        functools.update_wrapper(self, function)
        self.__headrace_fn__ = function

    @property
    def fn(self) -> Callable[P, R]:
        """The function itself."""
        return self.__headrace_fn__

    def options(self, **options: Unpack[GroupOptions]) -> Self:
        """A copy with these keys set; a key that was set before is replaced."""
        made: Self = self._with(options)
        return made

    def partial(self, **fixed: Any) -> Group[..., R]:
        """A copy with these arguments fixed."""
        made: Group[..., R] = self._with_fixed(fixed)
        return made

    def __repr__(self) -> str:
        return f"<group {self._name}>"

    def _outside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        return self.fn(*args, **{**self._fixed, **kwargs})

    def _item(self, parameter: str | None) -> str:
        name = item_name(self._options, parameter or "item")
        if parameter is not None and name == parameter and name in SCOPE_NAMES - {"item"}:
            raise BuildError(
                f'the item cannot be called "{name}": expressions have that name already',
                'Rename the parameter, or write .options(as_="…").',
                code="schema",
            )
        return name

    def _document(self, node: Node, arguments: dict[str, Any], fan: Fan | None) -> Document:
        if len(node.groups()) >= _DEEPEST:
            raise BuildError(
                f"groups are nested more than {_DEEPEST} deep: {self._name} seems to call itself without end",
                code="too_large",
                task=self._name,
            )
        scope = Scope(
            node.scope.trace,
            node.scope,
            (*node.scope.path, node.id, "tasks"),
            group=node,
            item=None if fan is None else fan.item,
        )
        node.inside = scope
        values = dict(arguments)
        for name, formula in ({} if fan is None else fan.arguments).items():
            values[name] = Reference(_owned(formula, scope))
        with writing_to(scope):
            result = self.fn(**values)  # type: ignore[call-arg]
        if not scope.nodes:
            raise BuildError(
                f"the group {self._name} calls no task",
                code="empty_workflow",
                task=node.full_id,
                place=node.place,
            )
        document: Document = {"tasks": scope.tasks}
        if result is not None:
            document["output"] = written(result, scope)
        text = summary(self.fn)
        if text and "description" not in self._options:
            document["description"] = text
        return self._finished(document, node.scope, fan)


def _owned(formula: Formula, scope: Scope) -> Formula:
    """The item's formula bound to its group, so that it is refused where another item has its name."""
    name, *rest = formula.parts
    assert isinstance(name, str)
    return Formula((Item(name, scope), *rest))


@overload
def group(function: Callable[P, R], /) -> Group[P, R]: ...
@overload
def group(**options: Unpack[GroupOptions]) -> Callable[[Callable[P, R]], Group[P, R]]: ...
def group(function: Any = None, /, **options: Any) -> Any:
    """Makes a function a group: `@group` or `@group(tags=[…])`. Raises BuildError for an async or generator function."""

    def wrap(function: Callable[..., Any]) -> Group[..., Any]:
        refuse_async(function, "group")
        return Group(function, options)

    return wrap if function is None else wrap(function)


def refuse_async(function: Callable[..., Any], what: str) -> None:
    """Raises BuildError for a function that cannot be executed while the workflow is built."""
    if not inspect.isfunction(function):
        raise BuildError(f"@{what} marks a function, not {function!r}", code="schema")
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        raise BuildError(
            f"{function.__name__} is async or a generator: a {what} is built by an ordinary def",
            "Its tasks may be async.",
            code="schema",
            place=here(),
        )
