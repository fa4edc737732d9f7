"""Reads JSON strictly: no key twice, no NaN or infinity, integers of 64 bits, whole characters, bounded nesting."""

from __future__ import annotations

import json
import re
from typing import Any

from headrace.dsl.reading import MAX_DEPTH
from headrace.dsl.words import show
from headrace.dsl.yaml_loader import Read, read_yaml
from headrace.engine.core.problems import Place, Problem


class _Refused(ValueError):
    """Something JSON's own reader lets pass."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def read_json(text: str, file: str | None = None) -> Read:
    """The value of a JSON text and every problem of its writing, as `read_yaml` gives them."""
    duplicates: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, item in pairs:
            if key in value:
                duplicates.append(key)
            else:
                value[key] = item
        return value

    try:
        value = json.loads(
            text,
            object_pairs_hook=object_of,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        place = Place(file, error.lineno, error.colno)
        message = f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}."
        return Read(None, (Problem("parse_error", message, place=place),))
    except _Refused as error:
        located = tuple(
            p for p in read_yaml(text, file).problems if str(error) in p.message or "64 bits" in p.message
        )
        place = _of_constant(text, file) or Place(file)
        return Read(None, located[:1] or (Problem("parse_error", f"{error}.", error.hint, place=place),))
    except RecursionError:
        message = f"maps and lists nest more than {MAX_DEPTH} deep."
        return Read(None, (Problem("parse_error", message, place=Place(file)),))
    if duplicates:
        # JSON is YAML but for surrogate escapes, and that reader knows every place.
        found = [p for p in read_yaml(text, file).problems if p.code in ("duplicate_key", "duplicate_task")]
        unplaced = [
            Problem("duplicate_key", f"the key {show(key)} stands in one object twice.", place=Place(file))
            for key in dict.fromkeys(duplicates)
        ]
        return Read(value, tuple(found or unplaced))
    return Read(value, ())


_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(NaN|-?Infinity)')


def _of_constant(text: str, file: str | None) -> Place | None:
    """Where the first NaN or infinity stands: JSON's reader does not tell."""
    for found in _CONSTANT.finditer(text):
        if found.group(1):
            start = found.start()
            return Place(file, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
    return None


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise _Refused("an integer beyond 64 bits", "Write it as text, in quotes.")
    return int(digits)


def _constant(word: str) -> float:
    raise _Refused(f"{word} is no JSON value", "Leave it out or use null.")
