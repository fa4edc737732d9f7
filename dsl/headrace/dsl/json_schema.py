"""JSON Schema 2020-12 as parameters use it: no remote references, formats enforced, `1.0` no integer.

Most parameters say little more than their type; what is surely right is told here without the library, which costs a
fifth of a second to import. Everything else, and every error message, is the library's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from headrace.dsl.language.shapes import moment, one_of
from headrace.dsl.words import describe, show
from headrace.engine.core.problems import Path, did_you_mean
from headrace.engine.core.workflow import Json

Found = tuple[Path, str]
"""Where below the value or schema, and what is wrong there."""


# -- formats ---------------------------------------------------------------------------------------------------------


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}@(?:[\w](?:[\w-]{0,61}[\w])?\.)*[\w](?:[\w-]{0,61}[\w])?")
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "date-time": lambda text: moment(text) is not None,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "uri": lambda text: _URI.fullmatch(text) is not None,
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
}
"""The formats that are enforced; others are notes to people, as JSON Schema has it."""

_SHAPES = {
    "date": "a date such as 2030-01-31",
    "date-time": "a time such as 2030-01-31T06:00:00Z",
    "email": "an e-mail address",
    "uri": "a URI",
    "uuid": "a UUID",
}


# -- what is surely right --------------------------------------------------------------------------------------------

_NOTES = frozenset(("description", "title", "examples", "default", "$comment", "deprecated"))
_TYPES: dict[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def _plain(schema: Any, depth: int = 0) -> bool:
    """Whether the schema is a right one of the few keywords that `_fits` knows."""
    if not isinstance(schema, Mapping) or depth > 8:
        return False
    for key, value in schema.items():
        match key:
            case "type":
                if not isinstance(value, str) or value not in _TYPES:
                    return False
            case "items":
                if not _plain(value, depth + 1):
                    return False
            case "anyOf":
                if not (isinstance(value, list) and value and all(_plain(each, depth + 1) for each in value)):
                    return False
            case "enum":
                if not isinstance(value, list):
                    return False
            case "format" | "description" | "title" | "$comment":
                if not isinstance(value, str):
                    return False
            case "minimum" | "maximum":
                if not _TYPES["number"](value):
                    return False
            case "examples":
                if not isinstance(value, list):
                    return False
            case "deprecated":
                if not isinstance(value, bool):
                    return False
            case "default":
                pass
            case _:
                return False
    return True


def _fits(schema: Mapping[str, Any], value: Json) -> bool:
    """Whether the value surely fits a plain schema."""
    for key, wanted in schema.items():
        match key:
            case "type":
                if not _TYPES[wanted](value):
                    return False
            case "items":
                if isinstance(value, list) and not all(_fits(wanted, item) for item in value):
                    return False
            case "anyOf":
                if not any(_fits(each, value) for each in wanted):
                    return False
            case "enum":
                if not any(type(each) is type(value) and each == value for each in wanted):
                    return False
            case "format":
                if isinstance(value, str) and wanted in FORMATS and not FORMATS[wanted](value):
                    return False
            case "minimum":
                if _TYPES["number"](value) and value < wanted:
                    return False
            case "maximum":
                if _TYPES["number"](value) and value > wanted:
                    return False
    return True


# -- the library -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _validator() -> Any:
    from jsonschema import Draft202012Validator, FormatChecker, validators

    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name)(lambda value, check=check: not isinstance(value, str) or check(value))
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _TYPES["integer"](value))
    made = validators.extend(Draft202012Validator, type_checker=types)
    return lambda schema: made(schema, format_checker=checker)


def schema_problems(schema: Any) -> list[Found]:
    """What is wrong with a schema itself."""
    if _plain(schema):
        return []
    if not isinstance(schema, Mapping):
        return [((), f"a parameter takes a JSON Schema (a map), not {describe(schema)}.")]
    found = list(_own_rules(schema, schema, ()))
    if found:
        return found
    from jsonschema import Draft202012Validator

    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    try:
        return [
            (tuple(error.absolute_path), f"this is no JSON Schema: {_said(error)}")
            for error in sorted(
                meta.iter_errors(schema), key=lambda error: list(map(str, error.absolute_path))
            )
        ]
    except RecursionError:
        return [((), "the schema is nested too deep.")]


def violations(schema: Mapping[str, Any], value: Json) -> list[Found]:
    """Where a value does not fit a schema that has no problems itself."""
    if _plain(schema) and _fits(schema, value):
        return []
    from jsonschema.exceptions import ValidationError

    try:
        errors: list[ValidationError] = list(_validator()(schema).iter_errors(value))
    except RecursionError:
        return [((), "the schema refers to itself without end.")]
    except Exception as problem:  # the library has no common error for references that lead nowhere
        return [((), f"the schema cannot be used: {show(str(problem))[1:-1]}.")]
    return [(tuple(error.absolute_path), _said(error)) for error in errors]


_DATA = frozenset(("const", "enum", "default", "examples", "dependentRequired", "$vocabulary"))
_NAMED = frozenset(("properties", "$defs", "patternProperties", "dependentSchemas"))
_KEYWORDS = (  # noqa: SIM905
    "$anchor $comment $defs $dynamicAnchor $dynamicRef $id $ref $schema $vocabulary additionalProperties allOf anyOf "
    "const contains contentEncoding contentMediaType contentSchema default dependentRequired dependentSchemas "
    "deprecated description else enum examples exclusiveMaximum exclusiveMinimum format if items maxContains maxItems "
    "maxLength maxProperties maximum minContains minItems minLength minProperties minimum multipleOf not oneOf "
    "pattern patternProperties prefixItems properties propertyNames readOnly required then title type "
    "unevaluatedItems unevaluatedProperties uniqueItems writeOnly"
).split()


def _own_rules(schema: Any, root: Any, path: Path) -> Iterator[Found]:
    """What the meta-schema does not say: references stay inside and lead somewhere, patterns can be read."""
    if isinstance(schema, list):
        for place, item in enumerate(schema):
            yield from _own_rules(item, root, (*path, place))
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        here = (*path, key)
        if meant := _misspelt(key):
            yield here, f'a JSON Schema has no keyword {show(key)}. Did you mean "{meant}"?'
        elif key in ("$ref", "$dynamicRef") and isinstance(value, str):
            if not value.startswith("#"):
                yield (
                    here,
                    f"{show(value)} leads outside of this schema; write what it says here, or under $defs.",
                )
            elif value.startswith("#/") and not _leads_somewhere(root, value):
                yield here, f"{show(value)} leads nowhere."
        elif key == "$schema" and value != "https://json-schema.org/draft/2020-12/schema":
            yield here, "parameters are JSON Schema 2020-12."
        elif key == "type" and isinstance(value, str) and value not in _TYPES:
            yield (
                here,
                f"{show(value)} is no type. {did_you_mean(value.lower()[:50], _TYPES) or _known_types()}",
            )
        elif key == "pattern" and isinstance(value, str) and (wrong := _unreadable(value)):
            yield here, f"the pattern cannot be read: {wrong}."
        elif key in _NAMED and isinstance(value, Mapping):
            for name, item in value.items():
                if key == "patternProperties" and (wrong := _unreadable(name)):
                    yield (*here, name), f"the pattern cannot be read: {wrong}."
                yield from _own_rules(item, root, (*here, name))
        elif key not in _DATA and not key.startswith("x-"):
            yield from _own_rules(value, root, here)


def _misspelt(key: str) -> str | None:
    """The keyword that was surely meant. Other unknown keys are notes to people, as JSON Schema has it."""
    if key in _KEYWORDS or key.startswith("x-"):
        return None
    near = get_close_matches(key[:50], _KEYWORDS, n=1, cutoff=0.8)
    return near[0] if near else None


def _known_types() -> str:
    return f"A type is {one_of(list(_TYPES))}."


def _unreadable(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        return str(problem)
    return None


def _leads_somewhere(root: Any, reference: str) -> bool:
    found = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return False
    return True


# -- messages --------------------------------------------------------------------------------------------------------

_A = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}


def _said(error: Any) -> str:
    """A violation in the words of this language."""
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "type":
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            return f"it takes {one_of([_A.get(name, name) for name in names])}, not {describe(value)}."
        case "enum":
            options = one_of([_short(each) for each in wanted[:20]])
            hint = (
                did_you_mean(value[:100], [each for each in wanted if isinstance(each, str)])
                if isinstance(value, str)
                else None
            )
            return f"it takes {options}, not {describe(value)}." + (f" {hint}" if hint else "")
        case "const":
            return f"it takes {_short(wanted)} alone, not {describe(value)}."
        case "format":
            return f"it takes {_SHAPES.get(wanted, wanted)}, not {describe(value)}."
        case "required":
            missing = next((name for name in wanted if name not in value), "a key")
            return f"{show(missing)} is missing."
        case "additionalProperties" if wanted is False:
            known = error.schema.get("properties", {})
            unknown = [key for key in value if key not in known]
            hint = did_you_mean(unknown[0][:100], known) if unknown else None
            return f"it has no key {show(unknown[0]) if unknown else ''}." + (f" {hint}" if hint else "")
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            bound = {
                "minimum": "at least",
                "maximum": "at most",
                "exclusiveMinimum": "more than",
                "exclusiveMaximum": "less than",
                "multipleOf": "a multiple of",
            }[error.validator]
            return f"it must be {bound} {wanted}, not {value}."
        case "minLength" | "maxLength" | "minItems" | "maxItems":
            bound = "at least" if error.validator.startswith("min") else "at most"
            unit = "characters" if error.validator.endswith("Length") else "items"
            return f"it must have {bound} {wanted} {unit}, not {len(value):,}."
        case "pattern":
            return f"{describe(value)} does not match {show(wanted)}."
        case "anyOf" | "oneOf" if not error.schema.get("description"):
            return f"{describe(value)} fits none of what it takes."
    message = str(error.message)
    return f"{message if len(message) <= 200 else message[:200] + '…'}."


def _short(value: Json) -> str:
    return show(value)[1:-1] if isinstance(value, str) else describe(value).removeprefix("the number ")
