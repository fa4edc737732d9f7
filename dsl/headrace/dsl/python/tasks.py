"""`@task`: a function that a worker runs. Inside a workflow a call is a node, elsewhere it is the function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar, Unpack, overload

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.functions import reference_to, summary
from headrace.dsl.python.options import TASK, TaskOptions, write_options
from headrace.dsl.python.steps import Fan, P, R, Step
from headrace.dsl.python.tracing import Document, Node, Scope
from headrace.dsl.python.values import written

T = TypeVar("T")


class Task(Step[P, R]):
    """A function as a task. `task.fn` is the function, `task(…)` inside a workflow the node that runs it."""

    known_options: ClassVar[frozenset[str]] = TASK

    def __init__(self, function: Callable[P, Any], options: Mapping[str, Any]) -> None:
        super().__init__(getattr(function, "__name__", type(function).__name__), options)
        functools.update_wrapper(self, function)
        self.__headrace_fn__ = function

    @property
    def fn(self) -> Callable[P, Any]:
        """The function itself; of an `async def`, what gives the coroutine."""
        return self.__headrace_fn__

    def options(self, **options: Unpack[TaskOptions]) -> Self:
        """A copy with these keys set; a key that was set before is replaced."""
        made: Self = self._with(options)
        return made

    def partial(self, **fixed: Any) -> Task[..., R]:
        """A copy with these arguments fixed."""
        made: Task[..., R] = self._with_fixed(fixed)
        return made

    def __repr__(self) -> str:
        return f"<task {self.__headrace_fn__.__module__}:{self._name}>"

    def _outside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        if self._fixed:
            return self.fn(**self._signature.bind(args, kwargs, self._fixed))  # type: ignore[no-any-return, call-arg]
        return self.fn(*args, **kwargs)  # type: ignore[no-any-return]

    def _document(self, node: Node, arguments: dict[str, Any], fan: Fan | None) -> Document:
        document: Document = {"python": self._registered(node.scope)}
        if arguments:
            document["with"] = self._with_arguments(node.scope, arguments, fan)
        self._describe(document)
        return self._finished(document, node.scope, fan)

    @functools.cached_property
    def _reference(self) -> str:
        return reference_to(self.fn)

    @functools.cached_property
    def _summary(self) -> str | None:
        return summary(self.fn)

    def _registered(self, scope: Scope) -> str:
        scope.trace.functions[self._reference] = self.fn
        return self._reference

    def _describe(self, document: Document) -> None:
        if self._summary and "description" not in self._options:
            document["description"] = self._summary

    def chosen_by(self, scope: Scope) -> Document:
        """This task as the function of a switch: what it runs, and with what."""
        arguments = self._signature.bind((), {}, self._fixed)
        document: Document = {"python": self._registered(scope)}
        if arguments:
            document["with"] = {name: written(value, scope) for name, value in arguments.items()}
        return document

    def undoing(self, scope: Scope) -> Document:
        """This task as the compensation of another: it gets that one's output as its first free argument."""
        document: Document = {"python": self._registered(scope)}
        free = [name for name in self._signature.names if name not in self._fixed]
        values = dict(self._fixed)
        if free:
            values[free[0]] = "${{ output }}"
        arguments = self._signature.bind((), values)
        if arguments:
            document["with"] = {name: written(value, scope) for name, value in arguments.items()}
        self._describe(document)
        write_options(self._options, document, scope, None, None)
        return document


class AsyncTask(Task[P, R]):
    """An `async def` as a task: a call inside a workflow is typed as the awaited value."""

    @property
    def fn(self) -> Callable[P, Coroutine[Any, Any, R]]:
        """The function itself: `await task.fn(…)`."""
        return self.__headrace_fn__


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...
@overload
def task(function: Callable[P, T], /) -> Task[P, T]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> _Decorator: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Makes a function a task: `@task`, `@task(retry=3, timeout="10m")`, or `task(function_of_another_module)`.

    Raises BuildError for an unknown policy. That the function can be imported is checked where it is called.
    """

    def wrap(function: Callable[..., Any]) -> Task[..., Any]:
        if isinstance(function, Step):
            raise BuildError(f"{function!r} is a {function.what} already", "Use .options(…).", code="schema")
        if not callable(function):
            raise BuildError(f"@task marks a function, not {function!r}", code="not_importable")
        kind = AsyncTask if inspect.iscoroutinefunction(inspect.unwrap(function)) else Task
        return kind(function, options)

    return wrap if function is None else wrap(function)
