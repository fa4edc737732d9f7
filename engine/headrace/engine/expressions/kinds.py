"""The types of values, under the names that CEL and error messages give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headrace.engine.core.evaluation import Artifact

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    datetime: "timestamp",
    timedelta: "duration",
}


class CelType(str):
    """What `type(x)` gives: equal to itself only, never to a text."""

    __slots__ = ()


def kind(value: Any) -> str:
    """The name of a value's type."""
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Artifact):
        return f"a value of {value.size:,} bytes that is not loaded"
    return "map" if isinstance(value, Mapping) else "type"


def is_map(value: Any) -> bool:
    return type(value) is dict or isinstance(value, Mapping)
