"""A function as the language knows it: how a worker finds it again, and what it says about itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.dsl.python.errors import BuildError


def reference_to(function: Callable[..., Any]) -> str:
    """`module:function`, importable from the folder of the workflow's file.

    Raises BuildError (`not_importable`) for a lambda, a method, a function within a function, an object that is no
    function, or one whose name now means something else in its module.
    """
    name = getattr(function, "__qualname__", None)
    module = module_of(function)
    if name is None or module is None:
        raise _refused(
            f"{function!r} has no name to import it by", "Wrap it in a function at the top of a module."
        )
    where = _place(function)
    if name.endswith("<lambda>"):
        raise _refused(
            f"a lambda{where} cannot be imported by a worker", "Write it with def at the top of a module."
        )
    if "<locals>" in name:
        raise _refused(
            f"{name.rpartition('.')[2]}{where} is defined inside another function, where no worker can import it",
            "Move it to the top of the module.",
        )
    if "." in name:
        raise _refused(
            f"{name}{where} is a method: a worker can only import functions",
            "Call it from a function at the top of the module.",
        )
    home = getattr(inspect.unwrap(function), "__globals__", None)
    if home is not None and name in home and not _same(home[name], function):
        raise _refused(
            f"{module}:{name} is not this function{where}: the name has come to mean something else in its module",
            "Give each function a name of its own.",
        )
    return f"{module}:{name}"


def summary(function: Callable[..., Any]) -> str | None:
    """The first paragraph of its docstring, on one line."""
    text = inspect.getdoc(function)
    return text.split("\n\n", 1)[0].replace("\n", " ") if text else None


def module_of(function: Callable[..., Any]) -> str | None:
    """The module's name as a worker imports it; of a script that is run, the name of its file."""
    module: str | None = getattr(function, "__module__", None)
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else None


def _same(found: object, function: Callable[..., Any]) -> bool:
    inner: Any = getattr(found, "__headrace_fn__", found)
    return inner is function or inspect.unwrap(inner) is inspect.unwrap(function)


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" (line {code.co_firstlineno})" if code is not None else ""


def _refused(message: str, hint: str) -> BuildError:
    return BuildError(message, hint, code="not_importable")
