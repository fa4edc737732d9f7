"""The shapes that values of the language have: how each is read and checked, and its JSON Schema for editors."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from headrace.dsl.language.spot import Spot
from headrace.dsl.words import show
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.units import parse_duration, parse_share, parse_size
from headrace.engine.core.workflow import Json

Schema: TypeAlias = dict[str, Any]
Definitions: TypeAlias = dict[str, Schema]

OPENING = "${{"


class Shape(ABC):
    """What a key takes."""

    @abstractmethod
    def read(self, value: Json, at: Spot) -> Any:
        """The value as the core holds it. Problems are told to `at`; what is returned then has no meaning."""

    @abstractmethod
    def schema(self, definitions: Definitions) -> Schema:
        """JSON Schema of what may be written; shapes with a name go into `definitions`."""


def no_template(text: str, at: Spot, hint: str | None = None) -> bool:
    """Whether the text holds no `${{`; tells the problem where it does."""
    if OPENING in text:
        at.tell(
            "invalid_expression",
            f"{at.key} cannot hold a template (${{{{ … }}}}).",
            hint or "It is fixed when the workflow is read.",
        )
        return False
    return True


# -- text ------------------------------------------------------------------------------------------------------------


class Text(Shape):
    """Plain text, never a template."""

    def __init__(self, *, empty: bool = True, hint: str | None = None) -> None:
        self.empty = empty
        self.hint = hint

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("text", value, quote_hint(value))
        elif "\0" in value:
            at.wrong(f"{at.key} holds a NUL character.", "Leave it out.")
        elif not self.empty and not value.strip():
            at.wrong(f"{at.key} is empty.")
        elif no_template(value, at, self.hint):
            return value
        return None

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string"} if self.empty else {"type": "string", "minLength": 1}


class Name(Shape):
    """Text of a fixed form."""

    def __init__(self, pattern: re.Pattern[str], what: str, rule: str, *, code: str = "schema") -> None:
        self.pattern, self.what, self.rule, self.code = pattern, what, rule, code

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a(self.what, value, quote_hint(value))
        elif self.pattern.fullmatch(value):
            return value
        elif no_template(value, at):
            at.tell(self.code, f"{show(value)} cannot be {self.what}.", self.rule)
        return None

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self.pattern.pattern})$"}


class Word(Shape):
    """One of a few words."""

    def __init__(self, *words: str, make: Callable[[str], Any] = str) -> None:
        self.words, self.make = words, make

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, str) and value in self.words:
            return self.make(value)
        listed = one_of(self.words)
        if not isinstance(value, str):
            at.not_a(listed, value)
        elif no_template(value, at):
            at.not_a(listed, value, did_you_mean(value.lower()[:100], self.words))
        return None

    def schema(self, definitions: Definitions) -> Schema:
        return {"enum": list(self.words)}


def one_of(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]


def quote_hint(value: Json) -> str | None:
    """The hint for a plain value where text is wanted."""
    if isinstance(value, bool):
        return f'Quote it: "{"true" if value else "false"}".'
    return f'Quote it: "{value}".' if isinstance(value, int | float) else None


# -- numbers ---------------------------------------------------------------------------------------------------------


class Whole(Shape):
    """An integer within bounds, both included."""

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self.least, self.most = least, most

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            hint = "An integer is written without . and exponent." if isinstance(value, float) else None
            at.not_a("an integer", value, hint)
        elif value < self.least or (self.most is not None and value > self.most):
            most = "" if self.most is None else f" and at most {self.most:,}"
            at.wrong(f"{at.key} must be at least {self.least:,}{most}, not {value}.")
        return value

    def schema(self, definitions: Definitions) -> Schema:
        found: Schema = {"type": "integer", "minimum": self.least}
        return found if self.most is None else {**found, "maximum": self.most}


class Number(Shape):
    """A number within bounds, both included, as a float."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            at.not_a("a number", value)
            return None
        if not self.least <= value <= self.most:
            at.wrong(f"{at.key} must be from {self.least:g} to {self.most:g}, not {value}.")
        return float(value)

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


class Flag(Shape):
    """True or false."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, bool):
            old = isinstance(value, str) and value.lower() in ("yes", "no", "on", "off")
            at.not_a("true or false", value, "YAML 1.2 has only true and false." if old else None)
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "boolean"}


# -- units -----------------------------------------------------------------------------------------------------------

_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"


class Duration(Shape):
    """A duration as a timedelta, at least `least`."""

    def __init__(self, least: timedelta = timedelta(0)) -> None:
        self.least = least

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            number = not isinstance(value, bool) and isinstance(value, int | float)
            hint = f"A number needs its unit: write {value}s, {value}m or {value}h." if number else None
            at.not_a("a duration", value, hint)
            return None
        try:
            found = parse_duration(value)
        except ValueError as problem:
            if no_template(value, at):
                at.wrong(
                    f"{at.key}: {problem}."
                    if len(value) < 100
                    else f"{at.key}: {show(value)} is no duration."
                )
            return None
        if found < self.least:
            at.wrong(f"{at.key} must be at least {_said(self.least)}, not {value}.")
        return found

    def schema(self, definitions: Definitions) -> Schema:
        definitions["duration"] = {
            "type": "string",
            "pattern": _DURATION,
            "description": "A number with ms, s, m, h or d; joined if wished: 1h30m.",
        }
        return {"$ref": "#/$defs/duration"}


def _said(duration: timedelta) -> str:
    return (
        f"{duration.total_seconds() * 1000:g}ms"
        if duration < timedelta(seconds=1)
        else f"{duration.seconds}s"
    )


class Size(Shape):
    """A number of bytes; the text stays as it was written."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("a size such as 512MiB", value)
        elif no_template(value, at):
            try:
                parse_size(value)
            except ValueError as problem:
                at.wrong(f"{at.key}: {problem}.")
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMG]i?)?B$"}


class Tolerance(Shape):
    """A number of items as an int, or a share of them as a float."""

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, str):
            try:
                return parse_share(value)
            except ValueError as problem:
                if no_template(value, at):
                    at.wrong(f"{at.key}: {problem}.")
                return 0
        if isinstance(value, bool) or not isinstance(value, int):
            at.not_a("a number of items, or a share such as 5%", value)
            return 0
        if value < 0:
            at.wrong(f"{at.key} must be at least 0, not {value}.")
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"},
            ]
        }


class Moment(Shape):
    """A point in time: RFC 3339 with its offset, kept as text in UTC with `Z`."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("a time such as 2030-01-31T06:00:00Z", value)
            return None
        if not no_template(value, at):
            return None
        found = moment(value)
        if found is None:
            at.not_a("a time", value, "Write RFC 3339 with Z or an offset, in quotes: 2030-01-31T06:00:00Z.")
        return found

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "format": "date-time"}


_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


def moment(text: str) -> str | None:
    """An RFC 3339 time in UTC with `Z`, or None when the text is none."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found.isoformat().replace("+00:00", "Z")
