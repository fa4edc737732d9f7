"""Checks of what functions are called with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import is_map, kind


def text(function: str, value: Any) -> str:
    if type(value) is str:
        return value
    raise Fault(f"{function} takes a string, not {kind(value)}")


def whole(function: str, value: Any) -> int:
    if type(value) is int:
        return value
    raise Fault(f"{function} takes an int, not {kind(value)}")


def items(function: str, value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise Fault(f"{function} takes a list, not {kind(value)}")


def mapping(function: str, value: Any) -> Any:
    if is_map(value):
        return value
    raise Fault(f"{function} takes a map, not {kind(value)}")


def moment(function: str, value: Any) -> datetime:
    if type(value) is datetime:
        return value
    raise Fault(f"{function} takes a timestamp, not {kind(value)}; write timestamp(…) around a text")
