"""Python values as the language writes them: JSON with templates, operands of expressions, conditions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import PRIMARY, UNARY, Formula, Part, View, quoted
from headrace.dsl.python.references import Reference, formula, template
from headrace.engine.core.units import format_duration
from headrace.engine.core.workflow import Json

_PIECE = "${{"
_ESCAPED = "${{ '${{' }}"


class Literal(str):
    """Text taken as it is: as a template it is escaped, as an operand it is itself."""

    __slots__ = ("plain",)
    plain: str

    def __new__(cls, text: str) -> Literal:
        made = super().__new__(cls, text.replace(_PIECE, _ESCAPED))
        made.plain = text
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.plain,)


def written(value: object, view: View | None) -> Json:
    """`value` as JSON, every reference in it a template.

    Text means what it means in YAML. Dates, enumerations, dataclasses, pydantic models and the like are written as
    pydantic reads them back. Raises BuildError for what has no JSON form.
    """
    if isinstance(value, Reference):
        return template(value, view)
    if isinstance(value, str) and not isinstance(value, Enum):
        return str(value)
    return _json(value, lambda inner: written(inner, view))


def operand(value: object) -> Formula:
    """`value` as part of an expression. Text is a CEL string, never a template."""
    if isinstance(value, Reference):
        return formula(value)
    if isinstance(value, Literal):
        return Formula((quoted(value.plain),), PRIMARY)
    if isinstance(value, str) and not isinstance(value, Enum):
        if _PIECE in value:
            raise BuildError(
                "a template cannot be part of an expression",
                "Join texts with +, or write literal(…) for the sign.",
            )
        return Formula((quoted(value),), PRIMARY)
    if value is None or isinstance(value, bool):
        return Formula(({None: "null", True: "true", False: "false"}[value],), PRIMARY)
    if isinstance(value, int | float) and not isinstance(value, Enum):
        text = _number(value)
        return Formula((text,), UNARY if text.startswith("-") else PRIMARY)
    if isinstance(value, Mapping):
        parts: list[Part] = []
        for key, item in value.items():
            parts += [", " if parts else "", quoted(_key(key)), ": ", *operand(item).parts]
        return Formula(("{", *parts, "}"), PRIMARY)
    if isinstance(value, list | tuple):
        parts = []
        for item in value:
            parts += [", " if parts else "", *operand(item).parts]
        return Formula(("[", *parts, "]"), PRIMARY)
    return operand(_json(value, lambda inner: inner))


def bare(value: object, view: View | None, key: str) -> str:
    """`value` as the bare expression of `key`. Raises BuildError for a plain truth value, which is a mistake."""
    if isinstance(value, Reference):
        return formula(value).text(view)
    if isinstance(value, bool):
        raise BuildError(
            f"{key} is {value}: a plain value of Python, decided while the workflow is built",
            "Write a comparison of references, such as report.rows > 0; `is None` cannot see a reference, == can.",
        )
    if isinstance(value, str):
        return str(value)
    raise BuildError(
        f"{key} is an expression over references or its text, not {_described(value)}", code="schema"
    )


def duration(value: object, key: str) -> Json:
    """A timedelta as text; text as it is, for the checker to read. Raises BuildError for anything else."""
    if isinstance(value, timedelta):
        try:
            return format_duration(value)
        except ValueError as problem:
            raise BuildError(f"{key}: {problem}", code="schema") from None
    if isinstance(value, str):
        return str(value)
    raise BuildError(f'{key} is a duration: "10m" or a timedelta, not {_described(value)}', code="schema")


def moment(value: object, key: str, view: View | None = None) -> Json:
    """A point in time as RFC 3339. Raises BuildError for a datetime without a time zone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BuildError(f"{key} has no time zone", "Write datetime(…, tzinfo=UTC).", code="schema")
        return value.isoformat().replace("+00:00", "Z")
    return written(value, view)


def listed(value: object, view: View | None) -> Json:
    """What a map goes over: a list of values, or a template that gives one. Raises BuildError for other things."""
    if isinstance(value, Reference):
        return template(value, view)
    if isinstance(value, str):
        if value.startswith(_PIECE):
            return value
        raise BuildError(f"a map goes over a list, not over the letters of {value!r}", code="schema")
    if isinstance(value, Mapping):
        raise BuildError(
            "a map goes over a list, not over a dict", "Write list(d) or list(d.values()).", code="schema"
        )
    if not isinstance(value, Iterable):
        raise BuildError(f"a map goes over a list, not over {_described(value)}", code="schema")
    return written(_ordered(value) if isinstance(value, Set) else list(value), view)


def _json(value: object, inner: Any) -> Any:
    """One level of `value` as JSON; `inner` writes what it holds."""
    match value:
        case None | bool():
            return value
        case Enum():
            return inner(value.value)
        case int() | float():
            _number(value)
            return value
        case Mapping():
            return {_key(key): inner(item) for key, item in value.items()}
        case list() | tuple():
            return [inner(item) for item in value]
        case Set():
            return [inner(item) for item in _ordered(value)]
        case PurePath():
            return value.as_posix()
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {item.name: inner(getattr(value, item.name)) for item in fields(value)}
    if callable(value) and hasattr(value, "__headrace_fn__"):
        name = getattr(value, "__name__", "the task")
        raise BuildError(f"{name} is given itself, not its result", f"Call it: {name}(…).", code="schema")
    if not callable(value):
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        try:
            return to_jsonable_python(value)
        except PydanticSerializationError:
            pass
    raise BuildError(
        f"{_described(value)} has no JSON form, so it cannot travel to a worker",
        "Pass text, numbers, lists, maps, dataclasses or pydantic models.",
        code="schema",
    )


def _number(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise BuildError(f"{value} is no JSON number", "Pass None, or a text.", code="schema")
    return repr(int(value)) if isinstance(value, int) else repr(float(value))


def _key(key: object) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise BuildError(f"a key of a map is text, not {key!r}", code="schema")
    return str(key)


def _ordered(values: Iterable[Any]) -> Sequence[Any]:
    """A set in an order that every build and every process agrees on."""
    try:
        return sorted(values)
    except TypeError:
        raise BuildError(
            "a set has no order that two builds agree on", "Pass a list.", code="schema"
        ) from None


def _described(value: object) -> str:
    if isinstance(value, type) or callable(value):
        return f"{getattr(value, '__name__', value)!s}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
