"""The first difference between two documents, for a workflow whose two builds are not the same."""

from __future__ import annotations

import json
from typing import Any

from headrace.engine.core.problems import Path

_ABSENT = object()


class DocumentPath(tuple[str | int, ...]):
    """Keys and positions from the root, printed as `tasks.load.with.day`."""

    __slots__ = ()

    def __str__(self) -> str:
        return ".".join(map(str, self))


def difference(first: Any, second: Any) -> tuple[DocumentPath, str, str] | None:
    """Where two documents first differ, and what stands there in each; None when they are the same, types included.

    Keys are compared in any order, for the order of writing means nothing, except in a `product`.
    """
    pending: list[tuple[Path, Any, Any]] = [((), first, second)]
    while pending:
        path, one, other = pending.pop()
        if type(one) is not type(other):
            return DocumentPath(path), _shown(one), _shown(other)
        if isinstance(one, dict):
            if path and path[-1] == "product" and list(one) != list(other):
                return DocumentPath(path), _shown(list(one)), _shown(list(other))
            names = [*one, *(name for name in other if name not in one)]
            pending += [
                ((*path, name), one.get(name, _ABSENT), other.get(name, _ABSENT)) for name in reversed(names)
            ]
        elif isinstance(one, list):
            if len(one) != len(other):
                return DocumentPath(path), f"{len(one)} items", f"{len(other)} items"
            pending += [
                ((*path, at), *pair) for at, pair in reversed(list(enumerate(zip(one, other, strict=True))))
            ]
        elif one != other:
            return DocumentPath(path), _shown(one), _shown(other)
    return None


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
