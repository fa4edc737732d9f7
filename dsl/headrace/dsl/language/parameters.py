"""`params`, and the form of an approval: names to JSON Schemas (docs/language.md, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.dsl.json_schema import schema_problems, violations
from headrace.dsl.language.formulas import template
from headrace.dsl.language.shapes import Definitions, Name, Schema, Shape
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import PARAMETER_NAME, describe, show
from headrace.engine.core.expressions import has_template
from headrace.engine.core.workflow import EMPTY, Json

NAME = Name(
    PARAMETER_NAME,
    "the name of a parameter",
    "Begin with a letter or _, then use letters, digits and _, at most 100.",
    code="invalid_parameter",
)


class Schemas(Shape):
    """Names to JSON Schemas. `templates`: a default may be a template."""

    def __init__(self, *, templates: bool) -> None:
        self.templates = templates

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, Mapping):
            at.not_a("a map of names and JSON Schemas", value)
            return EMPTY
        found = {}
        for name, schema in value.items():
            below = at.below(name)
            NAME.read(name, below)
            found[name] = self._one(schema, below)
        return found or EMPTY

    def _one(self, schema: Json, at: Spot) -> dict[str, Json]:
        if not isinstance(schema, Mapping):
            hint = (
                f"Write {{type: {schema}}}." if schema in ("string", "integer", "number", "boolean") else None
            )
            at.tell(
                "invalid_parameter", f"a parameter takes a JSON Schema (a map), not {describe(schema)}.", hint
            )
            return {}
        made = dict(schema)
        before = len(at.problems)
        if "default" in made and self.templates:
            parsed = template(made["default"], at.below("default"))
            constant = parsed is not None and parsed.constant
            made["default"] = None if parsed is None else parsed.value
        else:
            constant = "default" in made
        if has_template({key: item for key, item in made.items() if key != "default" or not self.templates}):
            at.tell("invalid_expression", "of a parameter, only `default` may be a template.")
        for path, message in schema_problems({key: item for key, item in made.items() if key != "default"}):
            at.below(*path).tell("invalid_parameter", f"{show(at.path[-1])[1:-1]}: {message}")
        if constant and len(at.problems) == before:
            for path, message in violations(made, made["default"]):
                at.below("default", *path).tell(
                    "invalid_parameter", f"the default does not fit the schema: {message}"
                )
        return made

    def schema(self, definitions: Definitions) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{PARAMETER_NAME.pattern})$"},
            "additionalProperties": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        }


PARAMS = Schemas(templates=True)
FORM = Schemas(templates=False)
