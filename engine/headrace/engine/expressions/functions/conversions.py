"""Conversions between types: always written, never done silently."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.functions.times import EPOCH, parse_timestamp
from headrace.engine.expressions.kinds import CelType, is_map, kind
from headrace.engine.expressions.operators import integer
from headrace.engine.expressions.values import duration_text, timestamp_text
from headrace.engine.expressions.work import Work

_INT = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_SHOWN = 40
_KINDS = {"null": "null_type"}


def to_int(work: Work, value: Any) -> int:
    """From a double (cut towards zero), a text, or a timestamp (seconds since 1970)."""
    match value:
        case bool():
            raise Fault("int takes no bool; write b ? 1 : 0")
        case int():
            return value
        case float():
            if not math.isfinite(value):
                raise Fault(f"int of {value}")
            return integer(int(value))
        case str():
            if not _INT.fullmatch(value):
                raise Fault(f"int cannot read {_shown(value)}")
            return integer(int(value))
        case datetime():
            return (value - EPOCH) // timedelta(seconds=1)
    raise Fault(f"int takes a number, a string or a timestamp, not {kind(value)}")


def to_double(work: Work, value: Any) -> float:
    """From an int or a text."""
    if type(value) in (int, float):
        return float(value)
    if type(value) is str:
        if len(value) > 400 or not _DOUBLE.fullmatch(value):
            raise Fault(f"double cannot read {_shown(value)}")
        return float(value)
    raise Fault(f"double takes a number or a string, not {kind(value)}")


def to_string(work: Work, value: Any) -> str:
    """Numbers as they are written, without an exponent; times as RFC 3339; durations in seconds."""
    match value:
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return (
                format(Decimal(repr(value)), "f").removesuffix(".0") if math.isfinite(value) else str(value)
            )
        case bytes():
            work.read(len(value))
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise Fault("these bytes are no UTF-8") from None
        case datetime():
            return timestamp_text(value)
        case timedelta():
            return duration_text(value)
    if value is None:
        raise Fault('string takes no null; write default(x, "") around what may be null')
    if type(value) is list or is_map(value):
        raise Fault(f"string takes no {kind(value)}; write json(x)")
    raise Fault(f"string takes no {kind(value)}")


def to_bool(work: Work, value: Any) -> bool:
    """From the texts that CEL takes: true, True, TRUE, t, 1 and their contraries."""
    if type(value) is bool:
        return value
    if type(value) is str and value in ("true", "True", "TRUE", "t", "1"):
        return True
    if type(value) is str and value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise Fault("bool takes true or false, or a string that says so; there is no truthiness")


def to_bytes(work: Work, value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        work.read(len(value))
        return value.encode("utf-8", "surrogatepass")
    raise Fault(f"bytes takes a string, not {kind(value)}")


def dyn(work: Work, value: Any) -> Any:
    """The value itself: CEL's mark for values that are checked late, as all are here."""
    return value


def type_of(work: Work, value: Any) -> CelType:
    name = kind(value)
    return CelType(_KINDS.get(name, name))


def to_timestamp(work: Work, value: Any) -> datetime:
    """From RFC 3339 text, or from seconds since 1970."""
    match value:
        case datetime():
            return value
        case str():
            return parse_timestamp(value)
        case int() if type(value) is int:
            try:
                return EPOCH + timedelta(seconds=value)
            except OverflowError:
                raise Fault("the time is out of range: years 1 to 9999") from None
    raise Fault(f"timestamp takes a string or an int, not {kind(value)}")


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "int": to_int,
    "double": to_double,
    "string": to_string,
    "bool": to_bool,
    "bytes": to_bytes,
    "dyn": dyn,
    "type": type_of,
    "timestamp": to_timestamp,
}
