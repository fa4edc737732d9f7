"""Finds the function a task names and prepares it once: how it takes its inputs and how its result becomes JSON."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from headrace.runners.modules import Folder

_EXACT = (str, int, bool, float)


class NotFound(Exception):
    """There is no such module or function, or it cannot be imported for a reason that will not go away."""


class InvalidInput(Exception):
    """The inputs do not fit the function. The text names each and never shows its value."""


class Parameter:
    """One parameter: how its value is converted to the annotation."""

    __slots__ = ("convert", "exact", "name", "positional", "required")

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.name = parameter.name
        self.positional = parameter.kind is parameter.POSITIONAL_ONLY
        self.required = parameter.default is parameter.empty
        self.exact = annotation if annotation in _EXACT else None
        plain = annotation is parameter.empty or annotation is Any or annotation is object
        self.convert = None if plain else _converter(annotation)


class Function:
    """A function ready to be called, for all attempts that name it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(fn)) or inspect.iscoroutinefunction(
            getattr(fn, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
        )
        self.average: float | None = None  # seconds a call takes, by experience
        hints = _hints(fn)
        try:
            signature = inspect.signature(fn)
        except (TypeError, ValueError):  # a builtin without a signature takes what it takes
            self.parameters: dict[str, Parameter] | None = None
            self.open = True
        else:
            self.parameters = {}
            self.open = False
            for parameter in signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    self.open = True
                elif parameter.kind is not parameter.VAR_POSITIONAL:
                    annotation = hints.get(parameter.name, parameter.empty)
                    self.parameters[parameter.name] = Parameter(parameter, annotation)
        self.needs_inputs = any(p.required for p in (self.parameters or {}).values())
        self._returns = hints.get("return", Any)
        self._dump: Callable[[Any], Any] | None = None

    def bind(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments, converted to the annotations. Raises InvalidInput."""
        if self.parameters is None:
            return [], dict(given)
        parameters = self.parameters
        problems: list[str] = []
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for name, value in given.items():
            parameter = parameters.get(name)
            if parameter is None:
                if self.open:
                    keywords[name] = value
                else:
                    known = ", ".join(parameters) or "none"
                    problems.append(f'"{name}" is no parameter of {self.name} (it has: {known})')
                continue
            if parameter.convert is not None and type(value) is not parameter.exact:
                try:
                    value = parameter.convert(value)
                except ValueError as error:
                    problems.append(_problem(name, error))
                    continue
                except Exception as error:  # a user's validator may raise anything
                    problems.append(f'"{name}": {type(error).__name__}')
                    continue
            keywords[name] = value
        if self.needs_inputs or any(p.positional for p in parameters.values()):
            for name, parameter in parameters.items():
                if parameter.required and name not in given:
                    problems.append(f'"{name}" is missing')
                elif parameter.positional and name in keywords:
                    positional.append(keywords.pop(name))
        if problems:
            raise InvalidInput("; ".join(problems) + ".")
        return positional, keywords

    @property
    def name(self) -> str:
        return getattr(self.fn, "__qualname__", None) or type(self.fn).__qualname__

    def to_json(self, value: Any) -> Any:
        """A result as plain JSON, by the return annotation. Raises what pydantic raises."""
        if self._dump is None:
            self._dump = _dumper(self._returns)
        return self._dump(value)

    def took(self, seconds: float) -> None:
        """Note how long a call took, waiting included."""
        average = self.average
        self.average = seconds if average is None else average + (seconds - average) * 0.1


class Functions:
    """The functions of one worker, by folder and `module:function`.

    Args:
        app_dir: where modules are looked up when a job names no folder.
        reload: look at the files again when they change (a folder being worked on).
    """

    def __init__(self, app_dir: str, *, reload: bool = False) -> None:
        self.app_dir = app_dir
        self.reload = reload
        self._known: dict[tuple[str | None, str], Function] = {}

    def known(self, folder: str | None, reference: str) -> Function | None:
        """The function if it is prepared already. Imports nothing."""
        if self.reload and self._known:
            self._forget_changed(folder)
        return self._known.get((folder, reference))

    def find(self, folder: str | None, reference: str) -> Function:
        """Import and prepare it. Runs user code; raises NotFound, or what the module raises when imported."""
        function = self._known.get((folder, reference))
        if function is None:
            function = Function(load_function(folder or self.app_dir, reference))
            self._known[folder, reference] = function
        return function

    def _forget_changed(self, folder: str | None) -> None:
        place = Folder.at(folder or self.app_dir)
        if place.changed():
            place.forget()
            self._known = {key: value for key, value in self._known.items() if key[0] != folder}


def load_function(folder: str, reference: str) -> Callable[..., Any]:
    """Import `module:function` beside `folder`, without the wrapping that authoring puts around it.

    Raises:
        NotFound: it does not exist, or its module can never be imported.
    """
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise NotFound(f'"{reference}" is not written as module:function.')
    place = Folder.at(folder)
    try:
        found: Any = place.load(module_name)
    except ModuleNotFoundError as error:
        own = error.name is not None and (module_name + ".").startswith(error.name + ".")
        why = (
            f"looked in {folder} and in what is installed"
            if own
            else f"it imports {error.name}, which is missing"
        )
        raise NotFound(
            f'There is no module "{module_name}": {why}.'
            if own
            else f'Module "{module_name}" cannot be imported: {why}.'
        ) from error
    except SyntaxError as error:
        raise NotFound(f'Module "{module_name}" cannot be imported: {error}.') from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            hint = ""
            if module_name.partition(".")[0] in sys.stdlib_module_names:
                hint = " It is a module of the standard library: a file of yours needs another name."
            raise NotFound(f'Module "{module_name}" has no "{path}".{hint}') from None
    found = unwrapped(found)
    if not callable(found):
        raise NotFound(f'"{reference}" is no function.')
    return typing.cast(Callable[..., Any], found)


def unwrapped(found: Any) -> Any:
    """The function inside of what `@task` made of it."""
    for attribute in ("__headrace_fn__", "fn"):
        inner = getattr(found, attribute, None)
        if callable(inner):
            return inner
    return found


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    target: Any = inspect.unwrap(fn)
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # a name only known to type checkers: what can be read without it is still used
        annotations = getattr(target, "__annotations__", {})
        return {name: value for name, value in annotations.items() if not isinstance(value, str)}


def _adapter(annotation: Any) -> Any:
    # pydantic takes a while to import: a worker that only runs shell or HTTP tasks never does
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        try:
            return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:
            return TypeAdapter(Any)
    except PydanticUserError as error:
        raise NotFound(f"An annotation cannot be used: {error.message}") from error


def _converter(annotation: Any) -> Callable[[Any], Any]:
    return typing.cast(Callable[[Any], Any], _adapter(annotation).validate_python)


def _dumper(annotation: Any) -> Callable[[Any], Any]:
    return partial(_adapter(annotation).dump_python, mode="json", warnings=False)


def _problem(name: str, error: ValueError) -> str:
    """What is wrong with one input; pydantic's own text would repeat the value, which may hold a secret."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return f'"{name}": {type(error).__name__}'
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
        found.append(f'"{name}{place}": {problem["msg"]}')
    return "; ".join(found)
