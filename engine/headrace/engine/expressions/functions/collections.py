"""Functions on lists and maps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

from headrace.engine.core.workflow import Json
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.functions.arguments import items, mapping, text
from headrace.engine.expressions.kinds import is_map, kind
from headrace.engine.expressions.operators import integer
from headrace.engine.expressions.values import MAX_DEPTH, compact_json, to_json
from headrace.engine.expressions.work import Work


def size(work: Work, value: Any) -> int:
    """Characters of a text, bytes, elements of a list, keys of a map."""
    if type(value) in (str, bytes, list) or is_map(value):
        return len(value)
    if value is None:
        raise Fault("null has no size; write default(x, []) around what may be null")
    raise Fault(f"{kind(value)} has no size")


def get(work: Work, source: Any, key: Any, default: Any) -> Any:
    """The value at a key, or the default when there is no such key or no map at all (null)."""
    if source is None:
        return default
    return mapping("get", source).get(text("get", key), default)


def default(work: Work, value: Any, otherwise: Any) -> Any:
    """The value, or the other one in place of null. A missing key is an error all the same: see get."""
    return otherwise if value is None else value


def compact(work: Work, values: Any) -> list[Any]:
    """The list without its nulls."""
    checked = items("compact", values)
    work.spend(len(checked) >> 1)
    return [value for value in checked if value is not None]


def keys(work: Work, source: Any) -> list[str]:
    """A map's keys, sorted."""
    checked = mapping("keys", source)
    work.spend(8 * len(checked))
    return sorted(checked)


def entries(work: Work, source: Any) -> list[dict[str, Any]]:
    """A map as a list of {key, value}, sorted by key."""
    return [{"key": key, "value": source[key]} for key in keys(work, mapping("entries", source))]


def total(work: Work, values: Any) -> int | float:
    """The sum of ints, or of doubles (rounded once, at the end). Nothing sums up to 0."""
    checked = items("sum", values)
    work.spend(len(checked) >> 1)
    kinds = set(map(type, checked))
    if kinds <= {int}:
        return integer(sum(checked))
    if kinds == {float}:
        try:
            return math.fsum(checked)
        except OverflowError:
            return math.inf
        except ValueError:  # infinities of both signs
            return math.nan
    if kinds == {int, float}:
        raise Fault("sum does not mix int and double; write list.map(x, double(x)) first")
    if type(None) in kinds:
        raise Fault("sum cannot add null; write sum(compact(list))")
    other = next(value for value in checked if type(value) not in (int, float))
    raise Fault(f"sum adds numbers, not {kind(other)}")


def json_text(work: Work, value: Any) -> str:
    """Compact JSON text with sorted keys."""
    room = work.room
    checked = to_json(work, value)
    work.spend((room - work.room) >> 4)
    return compact_json(checked)


def parse_json(work: Work, source: Any) -> Json:
    """The value of a JSON text; integers have 64 bits, NaN and infinities are none."""
    checked = text("parse_json", source)
    work.spend(len(checked) >> 2)
    try:
        value = json.loads(checked, parse_constant=_no_constant, parse_int=_parse_int)
    except json.JSONDecodeError as error:
        raise Fault(f"the text is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Fault(f"the JSON is nested more than {MAX_DEPTH} deep") from None
    _check(value, 0)
    return value


def _no_constant(name: str) -> Any:
    raise Fault(f"the text is no JSON: {name}")


def _parse_int(digits: str) -> int:
    if len(digits) > 20:
        raise Fault("the JSON holds an integer that does not fit into 64 bits")
    return integer(int(digits))


def _check(value: Json, depth: int) -> None:
    if type(value) is float:
        if not math.isfinite(value):
            raise Fault("the JSON holds a number that is too large for a double")
    elif type(value) in (list, dict):
        if depth >= MAX_DEPTH:
            raise Fault(f"the JSON is nested more than {MAX_DEPTH} deep")
        for item in value.values() if type(value) is dict else value:
            _check(item, depth + 1)


def digest(work: Work, value: Any) -> str:
    """SHA-256, in hexadecimal, of the value's compact JSON with sorted keys."""
    source = json_text(work, value)
    work.spend(len(source) >> 4)
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": size,
    "get": get,
    "default": default,
    "compact": compact,
    "keys": keys,
    "entries": entries,
    "sum": total,
    "json": json_text,
    "parse_json": parse_json,
    "hash": digest,
}
