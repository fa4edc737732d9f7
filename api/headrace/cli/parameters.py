"""Parameters as typed on the command line: `-p key=value`, `-p key=@file`, `--params FILE|-`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.cli.failure import Stop
from headrace.engine.core.workflow import Workflow

Json = Any


def gather(workflow: Workflow, pairs: Sequence[str], file: str | None) -> dict[str, Json]:
    """What the user gave, by name; `-p` wins over the file. Values are not checked here, only read.

    A value is text where the parameter's schema says string, else JSON. Raises Stop when it cannot be read.
    """
    given: dict[str, Json] = _file(file) if file else {}
    refused: list[Stop] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            if not equals or not name:
                raise Stop(f'-p takes key=value, not "{pair}".')
            given[name] = _value(name, _content(name, text), workflow.params.get(name))
        except Stop as stop:
            refused.append(stop)
    if len(refused) > 1:
        raise Stop(
            f"{len(refused)} parameters cannot be read:\n"
            + "\n".join(f"  {stop.message}" for stop in refused),
            hint=next((stop.hint for stop in refused if stop.hint), None),
        )
    if refused:
        raise refused[0]
    return given


def missing(workflow: Workflow, given: Mapping[str, Json]) -> list[str]:
    """The parameters that have neither a value nor a default, in the order written."""
    return [name for name, schema in workflow.params.items() if name not in given and "default" not in schema]


def ask_for(workflow: Workflow, names: Sequence[str], command: Sequence[str], pairs: Sequence[str]) -> Stop:
    """The message for missing parameters: all of them, with type and meaning, and the whole command to type."""
    width = max(map(len, names))
    lines = []
    for name in names:
        schema = workflow.params[name]
        meaning = f"  {schema['description']}" if schema.get("description") else ""
        lines.append(f"  {name:<{width}}  {type_of(schema)}{meaning}")
    typed = [shlex.join(command)]
    typed += [f"-p {shlex.quote(pair)}" for pair in pairs]
    typed += [f"-p {name}={_example(workflow.params[name])}" for name in names]
    plural = "s" if len(names) > 1 else ""
    return Stop(
        f'workflow "{workflow.name}" needs {len(names)} more parameter{plural}:\n' + "\n".join(lines),
        hint="Say: " + " ".join(typed),
    )


def type_of(schema: Mapping[str, Json]) -> str:
    """A schema in a few words: `date`, `list of string`, `one of eu, us`, `integer or null`."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return f"exactly {json.dumps(schema['const'])}"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(type_of(part) for part in schema[union])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {type_of(schema['items'])}"
    if kind == "string" and "format" in schema:
        return str(schema["format"])
    return str(kind)


def _example(schema: Mapping[str, Json]) -> str:
    """A placeholder that shows the shape."""
    examples = schema.get("examples") or schema.get("enum")
    if examples:
        first = examples[0]
        return shlex.quote(first if isinstance(first, str) else json.dumps(first))
    kind = schema.get("type")
    shape = {"array": "'[…]'", "object": "'{…}'", "boolean": "true", "integer": "…", "number": "…"}
    return shape.get(kind, "…") if isinstance(kind, str) else "…"


_WRITTEN = {
    "array": "'[1, 2]'",
    "object": "'{\"a\": 1}'",
    "boolean": "true",
    "integer": "42",
    "number": "1.5",
    "null": "null",
}


def _written(schema: Mapping[str, Json]) -> str:
    """A value of the schema's type as one would type it."""
    kind = schema.get("type")
    known = isinstance(kind, str) and not (schema.get("examples") or schema.get("enum"))
    items = schema.get("items")
    if kind == "array" and known and isinstance(items, Mapping) and _takes_text(items):
        return """'["a", "b"]'"""
    return _WRITTEN.get(str(kind), "…") if known else _example(schema)


def _content(name: str, text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"-p {name}: {text[1:]} cannot be read: {error}.") from None


def _value(name: str, text: str, schema: Mapping[str, Json] | None) -> Json:
    if schema is None:  # not declared: the check of all parameters says so, with the nearest name
        return text
    if _takes_text(schema) and not (_allows(schema, "null") and text == "null"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        if _only_text(schema):
            return text
        raise Stop(
            f'-p {name}: "{_short(text)}" is not JSON, and {name} takes {type_of(schema)}.',
            hint=f"Write it as JSON, e.g. -p {name}={_written(schema)}",
        ) from None
    except RecursionError:
        raise Stop(f"-p {name}: its lists and maps nest too deep.") from None


def _takes_text(schema: Mapping[str, Json]) -> bool:
    kind = schema.get("type")
    if kind == "string" or "string" in (kind if isinstance(kind, list) else ()):
        return True
    if "enum" in schema:
        return all(isinstance(value, str) for value in schema["enum"])
    branches = schema.get("anyOf") or schema.get("oneOf") or ()
    return bool(branches) and all(_takes_text(branch) or branch.get("type") == "null" for branch in branches)


def _only_text(schema: Mapping[str, Json]) -> bool:
    """A schema that says nothing about the type takes what is not JSON as text."""
    return not {"type", "enum", "const", "anyOf", "oneOf"} & set(schema)


def _allows(schema: Mapping[str, Json], kind: str) -> bool:
    named = schema.get("type")
    if named == kind or kind in (named if isinstance(named, list) else ()):
        return True
    return any(_allows(branch, kind) for branch in schema.get("anyOf") or schema.get("oneOf") or ())


def _file(path: str) -> dict[str, Json]:
    """A JSON or YAML file of names and values; `-` is stdin."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"--params {path} cannot be read: {error}.") from None
    try:
        if path.endswith((".yaml", ".yml")):
            from headrace.dsl.yaml_loader import read_yaml

            read = read_yaml(text, path)
            if read.problems:
                raise Stop(f"--params {path} cannot be read: {read.problems[0]}")
            document = read.value
        else:
            document = json.loads(text)
    except ValueError as error:
        raise Stop(f"--params {path}: {error}.") from None
    except RecursionError:
        raise Stop(f"--params {path}: its lists and maps nest too deep.") from None
    if not isinstance(document, dict):
        raise Stop(f"--params {path} must hold an object of names and values.")
    return document


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"
