"""The JSON Schema of workflow files, for editors to complete and check from. Made from the tables that read them."""

from __future__ import annotations

from typing import Any

from headrace.dsl.language.shapes import Definitions
from headrace.dsl.language.top import KEYS


def workflow_schema() -> dict[str, Any]:
    """The schema, draft 2020-12. It allows a little more than is valid: what tasks are to each other it cannot say."""
    definitions: Definitions = {}
    properties = {name: key.schema(definitions) for name, key in KEYS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headrace workflow",
        "type": "object",
        "required": [name for name, key in KEYS.items() if key.required],
        "properties": properties,
        "patternProperties": {"^x-": {"description": "Ignored: room for anchors."}},
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }
