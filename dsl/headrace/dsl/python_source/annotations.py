"""The annotation of a parameter that gives back its JSON Schema."""

from __future__ import annotations

from typing import Any, Protocol

from headrace.dsl.python_source.layout import constant, flat

_SIMPLE: tuple[tuple[dict[str, Any], str, str | None], ...] = (
    ({}, "Any", "typing"),
    ({"type": "string"}, "str", None),
    ({"type": "integer"}, "int", None),
    ({"type": "number"}, "float", None),
    ({"type": "boolean"}, "bool", None),
    ({"type": "null"}, "None", None),
    ({"type": "string", "format": "date"}, "date", "datetime"),
    ({"type": "string", "format": "date-time"}, "datetime", "datetime"),
    ({"type": "string", "format": "uuid"}, "UUID", "uuid"),
    ({"type": "object", "additionalProperties": True}, "dict[str, Any]", "typing"),
)
_TYPED = frozenset(("type", "format", "items", "enum", "anyOf", "additionalProperties"))


class Imports(Protocol):
    """Who hands out names, importing them."""

    def of(self, module: str, name: str) -> str: ...

    def dsl(self, name: str) -> str: ...


def annotation(schema: dict[str, Any], imports: Imports) -> str:
    """The type whose JSON Schema, made by pydantic, is `schema`; where there is none, the schema itself as `Param`."""
    plain = _type(schema, imports)
    if plain is not None:
        return plain
    base = {key: value for key, value in schema.items() if key in _TYPED}
    inner = _type(base, imports) if base else None
    said = {key: value for key, value in schema.items() if inner is None or key not in _TYPED}
    inner = inner or imports.of("typing", "Any")
    arguments = []
    if isinstance(said.get("description"), str):
        arguments.append(f"description={flat(constant(said['description']))}")
        said = {key: value for key, value in said.items() if key != "description"}
    if all(key.isidentifier() and key not in ("if", "else", "not") for key in said):
        arguments += [f"{key}={flat(constant(value))}" for key, value in said.items()]
    else:
        arguments.append(f"**{flat(constant(said))}")
    return f"{imports.of('typing', 'Annotated')}[{inner}, {imports.dsl('Param')}({', '.join(arguments)})]"


def _type(schema: Any, imports: Imports) -> str | None:
    for known, name, module in _SIMPLE:
        if schema == known and type(schema) is dict:
            bare = name.partition("[")[0]
            if module is None or bare == "dict":
                if bare == "dict":
                    return f"dict[str, {imports.of('typing', 'Any')}]"
                return name
            return imports.of(module, name)
    if not isinstance(schema, dict):
        return None
    if set(schema) == {"type", "items"} and schema["type"] == "array":
        inner = _type(schema["items"], imports)
        return None if inner is None else f"list[{inner}]"
    if set(schema) == {"anyOf"} and len(schema["anyOf"]) >= 2:
        inners = [_type(each, imports) for each in schema["anyOf"]]
        kinds = [str(each.get("type")) for each in schema["anyOf"] if isinstance(each, dict)]
        if all(inners) and "Any" not in str(inners) and len(set(kinds)) == len(kinds) and kinds[-1] == "null":
            return " | ".join(str(inner) for inner in inners)
    if set(schema) == {"type", "enum"} and schema["type"] == "string":
        words = schema["enum"]
        if words and all(isinstance(word, str) for word in words) and len(words) > 1:
            return f"{imports.of('typing', 'Literal')}[{', '.join(flat(constant(word)) for word in words)}]"
    return None
