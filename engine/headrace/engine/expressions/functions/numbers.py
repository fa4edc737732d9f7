"""Functions on numbers: CEL's `math` library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import kind
from headrace.engine.expressions.operators import integer
from headrace.engine.expressions.work import Work


def greatest(work: Work, *values: Any) -> Any:
    """The greatest of its arguments, or of one list; ints and doubles compare by value."""
    return max(_numbers(work, "math.greatest", values))


def least(work: Work, *values: Any) -> Any:
    return min(_numbers(work, "math.least", values))


def absolute(work: Work, value: Any) -> Any:
    number = _number("math.abs", value)
    return integer(abs(number)) if type(number) is int else abs(number)


def ceil(work: Work, value: Any) -> Any:
    """Up to a whole number, of the same type."""
    number = _number("math.ceil", value)
    return number if type(number) is int or not math.isfinite(number) else float(math.ceil(number))


def floor(work: Work, value: Any) -> Any:
    """Down to a whole number, of the same type."""
    number = _number("math.floor", value)
    return number if type(number) is int or not math.isfinite(number) else float(math.floor(number))


def round_away(work: Work, value: Any) -> Any:
    """To the nearest whole number, halves away from zero, of the same type."""
    number = _number("math.round", value)
    if type(number) is int or not math.isfinite(number):
        return number
    whole = float(math.trunc(number))
    return whole + math.copysign(1.0, number) if abs(number - whole) >= 0.5 else whole


def _number(function: str, value: Any) -> int | float:
    if type(value) is int or type(value) is float:
        return value
    raise Fault(f"{function} takes a number, not {kind(value)}")


def _numbers(work: Work, function: str, values: tuple[Any, ...]) -> list[int | float]:
    given = values[0] if len(values) == 1 and type(values[0]) is list else values
    work.spend(2 * len(given))
    numbers = [_number(function, value) for value in given]
    if not numbers:
        raise Fault(f"{function} of an empty list")
    if any(number != number for number in numbers):
        raise Fault(f"{function} cannot compare NaN")
    return numbers


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "math.greatest": greatest,
    "math.least": least,
    "math.abs": absolute,
    "math.ceil": ceil,
    "math.floor": floor,
    "math.round": round_away,
}
