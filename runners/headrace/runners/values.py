"""Values that leave a task: what is JSON by the language's rules, and exceptions as errors of an attempt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.attempt import Outcome
from headrace.runners.context import Fail

DEEPEST = 64
INTEGERS = range(-(1 << 63), 1 << 63)
LONGEST_MESSAGE = 4096

FINAL_REASONS = frozenset(
    (
        "invalid_input",
        "invalid_output",
        "not_found",
        "secret_not_found",
        "address_refused",
        "not_supported_yet",
    )
)
"""Trying again cannot help."""

_encode = msgspec.json.Encoder().encode
_SAFE = (str, bool, type(None))


class NoJson(Exception):
    """The value has no JSON form by the language's rules. The text says what and why."""


def encode_json(value: Any, convert: Callable[[Any], Any] | None = None) -> bytes | None:
    """JSON text of a value, None for null.

    Args:
        value: what a task returned.
        convert: makes plain JSON of what is not plain yet (a model, a date, a set).

    Raises:
        NoJson: NaN or infinity, an integer beyond 64 bits, nested deeper than 64, no JSON at all.
    """
    if value is None:
        return None
    if type(value) is bool:
        return b"true" if value else b"false"
    if not _plain(value, 0):
        if convert is None:
            raise NoJson(f"{_a_kind(value)} is no JSON value.")
        if isinstance(value, Iterator) or hasattr(value, "__aiter__"):
            raise NoJson(f"{_a_kind(value)} is no JSON value: return a list.")
        try:
            value = convert(value)
        except NoJson:
            raise
        except Exception as error:  # pydantic's own, or whatever a user's serializer raises
            raise NoJson(f"{_a_kind(value)} cannot be written as JSON: {error}") from error
        if value is None:
            return None
        if not _plain(value, 0):
            raise NoJson(f"{_a_kind(value)} is no JSON value.")
    try:
        return _encode(value)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise NoJson(f"the value cannot be written as JSON: {error}") from error


def decode_json(text: bytes) -> Any:
    """The value of a JSON text, held to the same rules. Raises NoJson."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoJson(f"no JSON: {error}") from error
    _plain(value, 0)
    return value


def compact(value: Any) -> str:
    """A value inside text: strings as they are, null as nothing, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()


def _plain(value: Any, depth: int) -> bool:
    """Whether it is made of JSON's own types alone. Raises NoJson for what no conversion would mend."""
    kind = type(value)
    if kind in _SAFE:
        return True
    if kind is int:
        if value not in INTEGERS:
            raise NoJson("an integer lies beyond 64 bits.")
        return True
    if kind is float:
        if not math.isfinite(value):
            raise NoJson(f"{value} is no JSON value.")
        return True
    if kind is list or kind is tuple:
        if depth >= DEEPEST:
            raise NoJson(f"the value is nested deeper than {DEEPEST}.")
        return all(_plain(item, depth + 1) for item in value)
    if kind is dict:
        if depth >= DEEPEST:
            raise NoJson(f"the value is nested deeper than {DEEPEST}.")
        return all(type(key) is str and _plain(item, depth + 1) for key, item in value.items())
    return False


def _a_kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def failure(reason: str, message: str, kind: str | None = None) -> Outcome:
    """An attempt that failed for a reason of ours."""
    error = ErrorInfo(
        kind=kind or reason,
        message=message[:LONGEST_MESSAGE],
        kinds=[kind or reason],
        reason=reason,
        retryable=reason not in FINAL_REASONS,
    )
    return Outcome("failed", error=error)


def fault(error: BaseException) -> Outcome:
    """A runner itself raised: a fault of ours, told as such instead of being lost."""
    return failure("internal_error", f"{type(error).__name__}: {text_of(error)}", "InternalError")


def exception_error(error: BaseException) -> ErrorInfo:
    """An exception of the task's own: its class and base classes, and its text."""
    return ErrorInfo(
        kind=type(error).__name__,
        message=text_of(error),
        kinds=[cls.__name__ for cls in type(error).__mro__ if cls not in (object, BaseException)],
        retryable=not isinstance(error, Fail),
    )


def text_of(error: BaseException) -> str:
    """str(error), also when that itself fails."""
    try:
        text = str(error)
    except Exception:  # a user's __str__ may raise anything
        text = f"{type(error).__name__} (its text could not be made)"
    return text[:LONGEST_MESSAGE]
