"""What can be called inside a workflow: the common part of tasks, groups and child workflows.

A call binds its arguments, declares a node in the current scope, writes its document and gives a reference. Outside of
a workflow it is the plain function.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, overload

from headrace.dsl.python.arguments import Signature
from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import Formula
from headrace.dsl.python.options import Options, checked, item_name, write_options
from headrace.dsl.python.places import here
from headrace.dsl.python.references import Reference
from headrace.dsl.python.tracing import Document, ItemView, Node, Scope, current_scope, demand_scope
from headrace.dsl.python.values import listed, written
from headrace.engine.core.workflow import Json

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Fan:
    """How one call is fanned out: what the map goes over, and what each mapped argument is in one run."""

    def __init__(self, over: Json, item: str, arguments: dict[str, Formula]) -> None:
        self.over = over
        self.item = item
        self.arguments = arguments


class Fannable(Generic[P, R]):
    """Callable inside a workflow, once or once per element of lists."""

    @abstractmethod
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The call itself."""

    # A step is a callable of its own parameters, so the type of `self` says what each list must hold.
    @overload
    def map(self: Callable[Concatenate[A, ...], R], a: Iterable[A], /) -> list[R]: ...
    @overload
    def map(self: Callable[Concatenate[A, B, ...], R], a: Iterable[A], b: Iterable[B], /) -> list[R]: ...
    @overload
    def map(
        self: Callable[Concatenate[A, B, C, ...], R], a: Iterable[A], b: Iterable[B], c: Iterable[C], /
    ) -> list[R]: ...
    @overload
    def map(self, **named: Iterable[Any]) -> list[R]: ...
    def map(self: Any, *lists: Any, **named: Any) -> Any:
        """One run per element; several lists go side by side, by position as Python's map or by name."""
        return self._map(lists, named)

    def product(self, **lists: Iterable[Any]) -> list[R]:
        """One run per combination of the lists' elements, the last name fastest."""
        return self._product(lists)

    @abstractmethod
    def _map(self, lists: tuple[Any, ...], named: Mapping[str, Any]) -> list[R]: ...

    @abstractmethod
    def _product(self, lists: Mapping[str, Any]) -> list[R]: ...


class Step(Fannable[P, R]):
    """Callable inside a workflow. A copy with other options is a step of its own; the original never changes."""

    known_options: ClassVar[frozenset[str]] = frozenset()
    what: ClassVar[str] = "task"

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._options: Options = checked(options, self.known_options, f"the {self.what} {name}")
        self._fixed: dict[str, Any] = {}

    @property
    @abstractmethod
    def fn(self) -> Callable[P, Any]:
        """The function itself."""

    @cached_property
    def _signature(self) -> Signature:
        return Signature(self._name, self.fn)

    # -- the calls ---------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        scope = current_scope()
        if scope is None:
            return self._outside(args, kwargs)
        arguments = self._signature.bind(args, kwargs, self._fixed)
        return self._declared(scope, arguments, None)

    def _map(self, lists: tuple[Any, ...], named: Mapping[str, Any]) -> list[R]:
        scope = demand_scope(f"{self._name}.map()")
        if not lists and not named:
            raise BuildError(f"{self._name}.map() goes over nothing", "Give it a list.", code="schema")
        arguments = self._signature.bind(lists, named, self._fixed)
        lists_by_name = {**self._by_position(lists), **named}
        if len(lists_by_name) == 1:
            [(name, values)] = lists_by_name.items()
            return self._listed(scope, arguments, self._over(scope, name, values))
        return self._listed(scope, arguments, self._side_by_side(scope, "zip", lists_by_name))

    def _product(self, lists: Mapping[str, Any]) -> list[R]:
        scope = demand_scope(f"{self._name}.product()")
        if not lists:
            raise BuildError(
                f"{self._name}.product() goes over nothing", "Give it lists by name.", code="schema"
            )
        arguments = self._signature.bind((), lists, self._fixed)
        return self._listed(scope, arguments, self._side_by_side(scope, "product", lists))

    def _with_fixed(self, fixed: Mapping[str, Any]) -> Any:
        self._signature.known(fixed)
        made = copy.copy(self)
        made._fixed = {**self._fixed, **fixed}
        return made

    def _with(self, options: Mapping[str, Any]) -> Any:
        made = copy.copy(self)
        made._options = {
            **self._options,
            **checked(options, self.known_options, f"the {self.what} {self._name}"),
        }
        return made

    # -- the parts of a call -----------------------------------------------------------------------------------------

    def _by_position(self, lists: tuple[Any, ...]) -> dict[str, Any]:
        free = [name for name in self._signature.positional if name not in self._fixed]
        return dict(zip(free, lists, strict=False))

    def _item(self, parameter: str | None) -> str:
        """The name of the map's item. `parameter`: the one parameter that the elements go to, if it is one."""
        return item_name(self._options)

    def _over(self, scope: Scope, name: str, values: object) -> Fan:
        item = self._item(name)
        return Fan(listed(values, scope), item, {name: Formula((item,))})

    def _side_by_side(self, scope: Scope, key: str, lists: Mapping[str, object]) -> Fan:
        item = self._item(None)
        over = {key: {name: listed(values, scope) for name, values in lists.items()}}
        return Fan(over, item, {name: Formula((item,)).field(name) for name in lists})

    def _listed(self, scope: Scope, arguments: dict[str, Any], fan: Fan) -> list[R]:
        reference: Any = self._declared(scope, arguments, fan)
        return reference  # type: ignore[no-any-return]

    def _declared(self, scope: Scope, arguments: dict[str, Any], fan: Fan | None) -> R:
        node = scope.declare(self._base_id(), self._options.get("id"), here())
        node.mapped = fan is not None or "map" in self._options
        if fan is not None and "map" in self._options:
            raise BuildError(f"{node.id} is mapped twice, by .map() and by the option map", code="schema")
        scope.tasks[node.id] = self._document(node, arguments, fan)
        reference: Any = Reference(node.formula)
        return reference  # type: ignore[no-any-return]  # typed as what the task returns: that is the point

    def _base_id(self) -> str:
        return self._name

    def _with_arguments(self, scope: Scope, arguments: dict[str, Any], fan: Fan | None) -> dict[str, Json]:
        item = self._inner_item(fan)
        view = ItemView(scope, item)
        mapped = {} if fan is None else fan.arguments
        return {
            # The item's own text needs no view: in the map it is the nearest of its name.
            name: "${{ " + mapped[name].text(None) + " }}" if name in mapped else written(value, view)
            for name, value in arguments.items()
        }

    def _inner_item(self, fan: Fan | None) -> str | None:
        if fan is not None:
            return fan.item
        return item_name(self._options) if "map" in self._options else None

    def _finished(self, document: Document, scope: Scope, fan: Fan | None) -> Document:
        write_options(
            self._options, document, scope, self._inner_item(fan), None if fan is None else fan.over
        )
        return document

    # -- what a kind of step says ------------------------------------------------------------------------------------

    @abstractmethod
    def _document(self, node: Node, arguments: dict[str, Any], fan: Fan | None) -> Document:
        """The task in the words of the language."""

    @abstractmethod
    def _outside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        """The call outside of a workflow."""
