"""Operators of CEL on numbers, texts, lists and times. Arithmetic never mixes types; integers have 64 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import is_map, kind
from headrace.engine.expressions.values import equal, less
from headrace.engine.expressions.work import Work

MIN_INT, MAX_INT = -(2**63), 2**63 - 1


def integer(value: int) -> int:
    """The value, checked to fit into 64 bits."""
    if MIN_INT <= value <= MAX_INT:
        return value
    raise Fault("the integer does not fit into 64 bits")


def _no_overload(operator: str, left: Any, right: Any) -> Fault:
    kinds = {type(left), type(right)}
    why = f"{kind(left)} {operator} {kind(right)} is not defined"
    if kinds == {int, float}:
        return Fault(f"{why}; write double(…) around the int")
    if str in kinds and operator == "+" and kinds & {int, float, bool}:
        return Fault(f"{why}; write string(…) around the {kind(left if type(right) is str else right)}")
    return Fault(why)


def add(work: Work, left: Any, right: Any) -> Any:
    first, second = type(left), type(right)
    if first is second:
        if first is int:
            return integer(left + right)
        if first is float:
            return left + right
        if first is str or first is bytes:
            work.read(len(left) + len(right))
            return left + right
        if first is list:
            work.spend((len(left) + len(right)) >> 2)
            return left + right
    if timedelta in (first, second) and {first, second} <= {datetime, timedelta}:
        return _moment(lambda: left + right)
    raise _no_overload("+", left, right)


def subtract(work: Work, left: Any, right: Any) -> Any:
    first, second = type(left), type(right)
    if first is second is int:
        return integer(left - right)
    if first is second is float:
        return left - right
    if (first is datetime and second in (datetime, timedelta)) or first is second is timedelta:
        return _moment(lambda: left - right)
    raise _no_overload("-", left, right)


def multiply(work: Work, left: Any, right: Any) -> Any:
    if type(left) is type(right) is int:
        return integer(left * right)
    if type(left) is type(right) is float:
        return left * right
    raise _no_overload("*", left, right)


def divide(work: Work, left: Any, right: Any) -> Any:
    """Integers are cut towards zero; a double by zero is an infinity, as IEEE 754 has it."""
    if type(left) is type(right) is int:
        if right == 0:
            raise Fault("division by zero")
        quotient = abs(left) // abs(right)
        return integer(quotient if (left < 0) == (right < 0) else -quotient)
    if type(left) is type(right) is float:
        if right == 0:
            return (
                math.nan
                if left == 0 or math.isnan(left)
                else math.copysign(math.inf, left) * math.copysign(1, right)
            )
        return left / right
    raise _no_overload("/", left, right)


def remainder(work: Work, left: Any, right: Any) -> Any:
    """Of the sign of the left side."""
    if type(left) is type(right) is int:
        if right == 0:
            raise Fault("remainder of a division by zero")
        rest = abs(left) % abs(right)
        return rest if left >= 0 else -rest
    raise _no_overload("%", left, right)


def negate(work: Work, value: Any) -> Any:
    if type(value) is int:
        return integer(-value)
    if type(value) is float:
        return -value
    raise Fault(f"-{kind(value)} is not defined")


def contains(work: Work, needle: Any, within: Any) -> bool:
    """`needle in within`: an element of a list, or a key of a map."""
    if type(within) is list:
        if type(needle) in (str, int, float, bool, type(None)):
            work.spend(len(within) >> 2)
            if needle not in within:  # Python's equality is wider than CEL's: a sound first look
                return False
        work.spend(2 * len(within))
        return any(equal(work, needle, item) for item in within)
    if is_map(within):
        return type(needle) is str and needle in within
    if type(within) is str:
        raise Fault("`in` looks into lists and maps; write text.contains(part)")
    raise Fault(f"`in` looks into lists and maps, not into {kind(within)}")


def _moment(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except OverflowError:
        raise Fault("the time is out of range: years 1 to 9999") from None


BINARY: dict[str, Callable[[Work, Any, Any], Any]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "in": contains,
    "==": equal,
    "!=": lambda work, left, right: not equal(work, left, right),
    "<": less,
    ">": lambda work, left, right: less(work, right, left),
    "<=": lambda work, left, right: not_above(work, left, right),
    ">=": lambda work, left, right: not_above(work, right, left),
}


def not_above(work: Work, left: Any, right: Any) -> bool:
    """left <= right. Not the contrary of right < left: no comparison with NaN is true."""
    return less(work, left, right) or (bool(left == right))
