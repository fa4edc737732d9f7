"""The shapes that values of the language have: how each is read and checked, and its JSON Schema for editors."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from headrace.dsl.language.spot import Spot
from headrace.dsl.words import show
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.units import parse_duration, parse_share, parse_size
from headrace.engine.core.workflow import EMPTY, Json

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


# -- compounds -------------------------------------------------------------------------------------------------------


class OrNull(Shape):
    """A shape, or null for "none"."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def read(self, value: Json, at: Spot) -> Any:
        return None if value is None else self.shape.read(value, at)

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [self.shape.schema(definitions), {"type": "null"}]}


class ListOf(Shape):
    """A list as a tuple; `alone`: one item may stand without its list."""

    def __init__(
        self, item: Shape, what: str, *, alone: bool = False, least: int = 0, unique: bool = False
    ) -> None:
        self.item, self.what, self.alone, self.least, self.unique = item, what, alone, least, unique

    def read(self, value: Json, at: Spot) -> Any:
        if self.alone and isinstance(value, str):
            return (self.item.read(value, at),)
        if not isinstance(value, list | tuple):
            at.not_a(self.what, value)
            return ()
        if len(value) < self.least:
            at.wrong(f"{at.key} is empty.", f"It takes {self.what}.")
        read = self.item.read
        found = [read(item, at.below(place)) for place, item in enumerate(value)]
        return tuple(dict.fromkeys(found) if self.unique else found)

    def schema(self, definitions: Definitions) -> Schema:
        item = self.item.schema(definitions)
        found: Schema = {"type": "array", "items": item}
        if self.least:
            found["minItems"] = self.least
        return {"anyOf": [item, found]} if self.alone else found


class MapOf(Shape):
    """Names to values; `EMPTY` when there is none."""

    def __init__(self, key: Shape, value: Shape, what: str, *, least: int = 0) -> None:
        self.key, self.value, self.what, self.least = key, value, what, least

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, Mapping):
            at.not_a(self.what, value)
            return EMPTY
        if len(value) < self.least:
            at.wrong(f"{at.key} is empty.", f"It takes {self.what}.")
        found = {}
        for key, item in value.items():
            below = at.below(key)
            self.key.read(key, below)
            found[key] = self.value.read(item, below)
        return found or EMPTY

    def schema(self, definitions: Definitions) -> Schema:
        return {
            "type": "object",
            "propertyNames": {k: v for k, v in self.key.schema(definitions).items() if k != "type"},
            "additionalProperties": self.value.schema(definitions),
        }


class Key:
    """One key of a record: its shape, what it means, and the field it fills."""

    __slots__ = ("field", "meaning", "name", "required", "shape")

    def __init__(
        self, name: str, shape: Shape, meaning: str, *, required: bool = False, field: str | None = None
    ) -> None:
        self.name, self.shape, self.meaning, self.required = name, shape, meaning, required
        self.field = field or name

    def schema(self, definitions: Definitions) -> Schema:
        """What the key takes, with its meaning."""
        return {**self.shape.schema(definitions), "description": self.meaning}


class Record(Shape):
    """A map of known keys that becomes one frozen value. `short`: the key that a value alone stands for."""

    def __init__(
        self,
        name: str,
        what: str,
        build: Callable[..., Any],
        *keys: Key,
        short: str | None = None,
    ) -> None:
        self.name, self.what, self.build, self.short = name, what, build, short
        self.keys = {key.name: key for key in keys}
        self.required = tuple(key for key in keys if key.required)

    def read(self, value: Json, at: Spot) -> Any:
        return self.build(**{**self.blank, **self.given(value, at)})

    @property
    def blank(self) -> dict[str, Any]:
        """What stands for required keys that are missing, so that reading can go on."""
        return {key.field: None for key in self.required}

    def given(self, value: Json, at: Spot) -> dict[str, Any]:
        """The fields that are written, each read."""
        if not isinstance(value, Mapping):
            if self.short is None:
                at.not_a(f"{self.what} (a map)", value)
                return {}
            key = self.keys[self.short]
            return {key.field: key.shape.read(value, at)}
        found = {}
        for name, item in value.items():
            known = self.keys.get(name)
            if known is None:
                at.unknown_key(name, self.keys, self.what)
            else:
                found[known.field] = known.shape.read(item, at.below(name))
        for key in self.required:
            if key.name not in value:
                at.wrong(f"{self.what} needs {key.name}: {key.meaning[0].lower()}{key.meaning[1:]}")
        return found

    def schema(self, definitions: Definitions) -> Schema:
        if self.name not in definitions:
            definitions[self.name] = {}  # a record may hold itself
            definitions[self.name] = self._schema(definitions)
        return {"$ref": f"#/$defs/{self.name}"}

    def _schema(self, definitions: Definitions) -> Schema:
        long: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: key.schema(definitions) for name, key in self.keys.items()},
        }
        if self.required:
            long["required"] = [key.name for key in self.required]
        if self.short is None:
            return long
        return {"anyOf": [self.keys[self.short].schema(definitions), long]}


def exclusive(given: Mapping[str, Any], fields: Collection[str], at: Spot, what: str) -> bool:
    """Whether exactly one of these fields is given; tells the problem otherwise."""
    found = [field for field in fields if field in given]
    if len(found) == 1:
        return True
    several = f"both {' and '.join(found)}" if found else "neither"
    at.wrong(f"{what} takes exactly one of {one_of(list(fields))}; here is {several}.")
    return False
