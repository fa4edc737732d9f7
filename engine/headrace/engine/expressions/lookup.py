"""Following a path into values, with an answer a stranger can use when it leads nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from headrace.engine.core.evaluation import EvaluationError, PathParts, Reference, Scope
from headrace.engine.core.expressions import path_text
from headrace.engine.core.problems import did_you_mean
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import is_map, kind

_NEAREST_AMONG = 200  # keys: more are not compared with the missing one


def look_up(reference: Reference, scope: Scope, text: str) -> Any:
    """The value of a lone path, as it is. Raises EvaluationError naming the path and the nearest key."""
    root, name, path, _ = reference
    keys = path if name is None else (name, *path)
    try:
        value = scope[root]
    except KeyError:
        raise EvaluationError(text, f"`{root}` has no value here") from None
    for key in keys:
        made = type(value)
        try:
            if made is dict or (made is list and type(key) is int):
                value = value[key]
                continue
            if type(key) is str and isinstance(value, Mapping):
                value = value[key]
                continue
        except (KeyError, IndexError):
            pass
        raise EvaluationError(text, _where(reference, keys, scope)) from None
    return value


def _where(reference: Reference, keys: PathParts, scope: Scope) -> str:
    """Walks again, slowly, to tell where the path ends."""
    value: Any = scope[reference.root]
    for place, key in enumerate(keys):
        try:
            value = step(value, key, lambda place=place: path_text(reference.root, keys[:place]))
        except Fault as fault:
            return fault.why
    raise AssertionError("the path leads somewhere")


def step(value: Any, key: Any, text: Any) -> Any:
    """The value at one key. Raises Fault; `text` is called then for how the value before the key is written."""
    if is_map(value):
        if type(key) is str:
            if key in value:
                return value[key]
            raise Fault(lambda: missing(text(), key, value))
        raise Fault(f"{text()} is a map, whose keys are strings, not {kind(key)}")
    if type(value) is list:
        if type(key) is not int:
            raise Fault(f"{text()} is a list, which has positions, not {_shown(key)}")
        if 0 <= key < len(value):
            return value[key]
        raise Fault(f"{text()} has {len(value)} elements; there is none at [{key}]")
    if value is None:
        raise Fault(f"{text()} is null and has no {_shown(key)}; write {text()} != null && … first")
    raise Fault(f"{text()} is {kind(value)} and has no {_shown(key)}")


def missing(text: str, key: str, known: Iterable[str]) -> str:
    """That a map has no such key, with the nearest one, or how to read a key that may be missing."""
    near = did_you_mean(key[:100], islice((name for name in known if len(name) <= 100), _NEAREST_AMONG))
    hint = near or f"Where it may be missing, write get({text}, {_quoted(key)}, default)."
    return f"{text} has no key {_quoted(key)}. {hint}"


def _shown(key: Any) -> str:
    return f"[{key}]" if type(key) is int else _quoted(key) if type(key) is str else f"{kind(key)} key"


def _quoted(key: str) -> str:
    return f'"{key}"' if len(key) <= 100 else f'"{key[:100]}…"'
