"""Reads workflows from a Python file: executes it as a worker would import it, and builds what it defines.

The file's folder comes first on `sys.path` while it is executed and built, as for a script. The file and its neighbours
then leave `sys.modules` again, so that files and helpers of the same name in other folders never meet.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from threading import RLock
from traceback import walk_tb
from types import CodeType, ModuleType
from typing import Any

from headrace.dsl.python.places import show_as, shown
from headrace.dsl.python.tracing import Document
from headrace.dsl.python.workflows import WorkflowFunction
from headrace.engine.core.problems import InvalidWorkflow, Locator, Place, Problem, did_you_mean
from headrace.engine.core.workflow import Workflow

_MAX_BYTES = 64 * 1024 * 1024
_lock = RLock()


@dataclass(frozen=True, slots=True)
class PythonSource:
    """One workflow of a Python file: the checked value, and where its parts stand in the file."""

    workflow: Workflow
    locate: Locator
    file: str
    folder: str
    function: WorkflowFunction[..., Any]


def load_python(path: str | os.PathLike[str], name: str | None = None) -> list[PythonSource]:
    """The workflows that the file defines, by name, or the one called `name`.

    Raises InvalidWorkflow with every problem of every workflow that was asked for: `parse_error` for what Python cannot
    read, `not_importable` for a file that fails while it is executed, `empty_workflow` where there is none.
    Raises OSError when the file cannot be read.
    """
    from headrace.dsl.document import read_document

    sources: list[PythonSource] = []
    problems: list[Problem] = []
    warnings: list[Problem] = []
    with _executed(path) as (module, file):
        for function in _chosen(module, str(path), name):
            with _told(file):
                try:
                    trace, document = function.traced()
                    workflow = read_document(document, locate=trace.locate)
                except InvalidWorkflow as refused:
                    problems += refused.problems
                    warnings += refused.warnings
                    continue
            sources.append(PythonSource(workflow, trace.locate, str(path), os.path.dirname(file), function))
    if problems:
        raise InvalidWorkflow(problems, warnings)
    return sources


def documents(path: str | os.PathLike[str], name: str | None = None) -> dict[str, Document]:
    """As `load_python`, but unchecked: each workflow in the words of the language, by name."""
    with _executed(path) as (module, file):
        found = {}
        for function in _chosen(module, str(path), name):
            with _told(file):
                found[function.name] = function.document()
        return found


def _chosen(module: ModuleType, path: str, name: str | None) -> list[WorkflowFunction[..., Any]]:
    """The file's own workflows; an imported one only when it is asked for by name."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, WorkflowFunction)}
    own = [value for value in found.values() if value.fn.__module__ == module.__name__]
    if name is not None:
        chosen = [value for value in found.values() if value.name == name] or [
            value
            for key, value in vars(module).items()
            if key == name and isinstance(value, WorkflowFunction)
        ]
        if not chosen:
            hint = did_you_mean(name, [value.name for value in own]) or _has(own)
            raise _refused("empty_workflow", f'{path} has no workflow "{name}".', hint, Place(path))
        return chosen[:1] if len(chosen) == 1 else _unique(chosen)
    if not own:
        raise _refused(
            "empty_workflow", f"{path} defines no workflow.", "Mark a function with @workflow.", Place(path)
        )
    return sorted(_unique(own), key=lambda value: value.name)


def _has(own: list[WorkflowFunction[..., Any]]) -> str:
    return f"It has: {', '.join(sorted(value.name for value in own))}." if own else "It has none."


def _unique(functions: list[WorkflowFunction[..., Any]]) -> list[WorkflowFunction[..., Any]]:
    first: dict[str, WorkflowFunction[..., Any]] = {}
    for function in functions:
        other = first.setdefault(function.name, function)
        if other is not function:
            raise _refused(
                "schema",
                f'two workflows are named "{function.name}": the other one is at {other.place}.',
                'Give one another name with @workflow(name="…").',
                function.place,
            )
    return functions


# -- executing a file ------------------------------------------------------------------------------------------------


@contextmanager
def _executed(path: str | os.PathLike[str]) -> Iterator[tuple[ModuleType, str]]:
    """The module of the file, importable with its neighbours while the context is open."""
    file = os.path.abspath(path)
    show_as(file, os.fspath(path))
    code = _compiled(file)
    name = Path(file).stem
    with _lock, _alone(os.path.dirname(file), name):
        spec = ModuleSpec(name, None, origin=file)
        spec.has_location = True
        module = ModuleType(name)
        module.__spec__ = spec
        module.__file__ = file
        sys.modules[name] = module
        with _told(file):
            exec(code, module.__dict__)  # the user's own file, on the user's own command
        yield module, file


def _compiled(file: str) -> CodeType:
    """Compiled here and not by an import: a cached byte code could be that of an earlier second."""
    with open(file, "rb") as stream:
        text = stream.read(_MAX_BYTES + 1)
    place = Place(shown(file))
    if len(text) > _MAX_BYTES:
        raise _refused("too_large", f"the file has more than {_MAX_BYTES:,} bytes.", None, place)
    try:
        return compile(text, file, "exec", dont_inherit=True)
    except SyntaxError as problem:
        place = Place(shown(file), problem.lineno, problem.offset)
        raise _refused("parse_error", f"Python cannot read this: {problem.msg}.", None, place) from None
    except (ValueError, RecursionError, MemoryError) as problem:  # a NUL, or nesting beyond reason
        raise _refused("parse_error", f"Python cannot read this: {problem}.", None, place) from None


@contextmanager
def _told(file: str) -> Iterator[None]:
    """Turns what the user's code raises into a problem at the innermost line of it that is in the file."""
    try:
        yield
    except InvalidWorkflow:
        raise
    except (Exception, SystemExit) as problem:
        line = None
        for frame, number in walk_tb(problem.__traceback__):
            if frame.f_code.co_filename == file:
                line = number
        said = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
        if isinstance(problem, SyntaxError):  # of a module that the file imports
            said += (
                f" ({problem.filename}, line {problem.lineno})"
                if problem.lineno and "line" not in said
                else ""
            )
        raise _refused(
            "not_importable", f"the file fails when it is executed: {said}.", None, Place(shown(file), line)
        ) from problem


def _refused(code: str, message: str, hint: str | None, place: Place | None) -> InvalidWorkflow:
    return InvalidWorkflow((Problem(code, message, hint, place=place),))


@contextmanager
def _alone(folder: str, name: str) -> Iterator[None]:
    """While open, imports find the folder's modules first; afterwards, nothing of this is left in the process."""
    importlib.invalidate_caches()
    path, before = list(sys.path), dict(sys.modules)
    sys.path.insert(0, folder)
    for top in {key.partition(".")[0] for key in before} - sys.stdlib_module_names - {"headrace"}:
        if top == name or _elsewhere(before.get(top), top, folder):
            for key in before:
                if key == top or key.startswith(top + "."):
                    sys.modules.pop(key, None)
    try:
        yield
    finally:
        sys.path[:] = path
        for key, module in list(sys.modules.items()):
            if before.get(key) is not module and (key == name or _lies_in(module, folder)):
                del sys.modules[key]
        for key, module in before.items():
            sys.modules.setdefault(key, module)


def _elsewhere(module: ModuleType | None, top: str, folder: str) -> bool:
    """Whether the folder holds a module of this name, and another one is loaded."""
    if module is None or not (
        os.path.exists(os.path.join(folder, top + ".py")) or os.path.isdir(os.path.join(folder, top))
    ):
        return False
    if _lies_in(module, folder):
        return False
    spec = PathFinder.find_spec(top, [folder])
    return spec is not None and spec.origin is not None


def _lies_in(module: Any, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    inside = os.path.realpath(folder) + os.sep
    for place in places:
        real = os.path.realpath(place)
        if real.startswith(inside) and os.sep + "site-packages" + os.sep not in real[len(inside) - 1 :]:
            return True
    return False
