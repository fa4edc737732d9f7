"""Shapes made of others: lists, maps of names, records of known keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from headrace.dsl.language.shapes import Definitions, Schema, Shape, one_of
from headrace.dsl.language.spot import Spot
from headrace.engine.core.workflow import EMPTY, Json


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
            alone = self.item.read(value, at)
            return () if alone is None else (alone,)
        if not isinstance(value, list | tuple):
            at.not_a(self.what, value)
            return ()
        if len(value) < self.least:
            at.wrong(f"{at.key} is empty.", f"It takes {self.what}.")
        read = self.item.read
        found = [read(item, at.below(place)) for place, item in enumerate(value)]
        if not self.unique:
            return tuple(found)
        return tuple(dict.fromkeys(each for each in found if each is not None))  # None: it could not be read

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
                at.not_a("a map", value)
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
            if key.name not in value and not at.has_misspelt_key():
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
    if not found and at.has_misspelt_key():
        return False
    nothing = "neither" if len(fields) == 2 else "none of them"
    several = f"both {' and '.join(found)}" if found else nothing
    at.wrong(f"{what} takes exactly one of {one_of(list(fields))}; here is {several}.")
    return False
