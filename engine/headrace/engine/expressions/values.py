"""Values: equality and order as CEL has them, and the way back to JSON and to text."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.workflow import Json
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import CelType, is_map, kind
from headrace.engine.expressions.work import Work

MAX_DEPTH = 64
"""How deep a value may be nested."""

_WHOLE = frozenset({int, bool, type(None)})
_MICROSECOND = timedelta(microseconds=1)


def equal(work: Work, left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value, everything else only within its type; true is not 1."""
    kinds = type(left), type(right)
    if kinds[0] is not kinds[1]:
        if kinds in ((int, float), (float, int)):
            return bool(left == right)
        return is_map(left) and is_map(right) and _equal_maps(work, left, right)
    if kinds[0] is str:
        work.read(min(len(left), len(right)))
        return bool(left == right)
    if kinds[0] is list:
        if len(left) != len(right):
            return False
        work.spend(2 * len(left))
        return all(equal(work, a, b) for a, b in zip(left, right, strict=True))
    if is_map(left):
        return _equal_maps(work, left, right)
    return bool(left == right)


def _equal_maps(work: Work, left: Any, right: Any) -> bool:
    if len(left) != len(right):
        return False
    work.spend(3 * len(left))
    return all(key in right and equal(work, value, right[key]) for key, value in left.items())


def less(work: Work, left: Any, right: Any) -> bool:
    """Whether left < right. Raises Fault for types that have no order between them."""
    first, second = type(left), type(right)
    if (first is int or first is float) and (second is int or second is float):
        return bool(left < right)
    if first is second and first in (str, bytes, bool, datetime, timedelta):
        if first is str:
            work.read(min(len(left), len(right)))
        return bool(left < right)
    raise Fault(f"{kind(left)} and {kind(right)} cannot be compared")


def to_json(work: Work, value: Any, depth: int = 0) -> Json:
    """The value as JSON: keys of maps sorted, times as RFC 3339, durations as seconds, bytes as base64.

    What is JSON in this form already is not copied. Raises Fault for what JSON cannot hold, and for what is too deep
    or too large.
    """
    made = type(value)
    if made is str:
        work.keep(len(value))
        work.read(len(value))
        return value
    if made is int or made is bool or value is None:
        return value
    if made is float:
        return _finite(value)
    if made is list:
        _enter(work, len(value), depth)
        kinds = set(map(type, value))
        if kinds <= _WHOLE:
            return value
        if kinds == {str}:
            characters = sum(map(len, value))
            work.keep(characters)
            work.read(characters)
            return value
        return [to_json(work, item, depth + 1) for item in value]
    if is_map(value):
        return _map_to_json(work, value, depth)
    return _special(work, value)


def _map_to_json(work: Work, value: Any, depth: int) -> dict[str, Json]:
    """The one place that is long for speed: lists of maps are what results are made of."""
    _enter(work, len(value), depth)
    order = sorted(value)
    if type(value) is not dict or list(value) != order:
        value = {key: value[key] for key in order}
    characters = 0
    replaced: dict[str, Json] = {}
    for key, item in value.items():
        made = type(item)
        if made is str:
            characters += len(item)
        elif not (made is int or made is bool or item is None or (made is float and math.isfinite(item))):
            converted = to_json(work, item, depth + 1)
            if converted is not item:
                replaced[key] = converted
    if characters:
        work.keep(characters)
        work.read(characters)
    return {**value, **replaced} if replaced else value


def _special(work: Work, value: Any) -> Json:
    """What JSON has no type for."""
    match value:
        case datetime():
            return timestamp_text(value)
        case timedelta():
            return duration_text(value)
        case bytes():
            work.read(2 * len(value))
            work.keep(2 * len(value))
            return base64.b64encode(value).decode()
        case CelType():
            return str(value)
        case Artifact():
            raise Fault(f"{kind(value)} cannot be part of a result")
    raise Fault(f"a value of type {type(value).__name__} is no JSON")


def _finite(value: float) -> float:
    if math.isfinite(value):
        return value
    raise Fault(f"the result is {value}, which JSON cannot hold")


def _enter(work: Work, elements: int, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise Fault(f"the result is nested more than {MAX_DEPTH} deep")
    work.spend(1 + elements)
    work.keep(8 + 8 * elements)


def compact_json(value: Json) -> str:
    """Compact JSON text of a JSON value, its order of keys kept. Raises Fault for what is none."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise Fault("the value, or something in it, is no JSON") from None


def as_text(value: Json) -> str:
    """A JSON value inside text: strings as they are, null as nothing, the rest as compact JSON."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    return compact_json(value)


def timestamp_text(value: datetime) -> str:
    """RFC 3339 in UTC with `Z`, with only as many digits of the second as there are."""
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"


def duration_text(value: timedelta) -> str:
    """Seconds, like `3.5s`."""
    total = value // _MICROSECOND
    seconds, micros = divmod(abs(total), 1_000_000)
    text = f"{seconds}.{micros:06d}".rstrip("0").rstrip(".")
    return f"{'-' if total < 0 else ''}{text}s"
