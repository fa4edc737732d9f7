"""`headrace export` and `headrace schema`: a workflow in its other spelling, and the schema that editors complete from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.files import load_one
from headrace.cli.output import print_json, say

SCHEMA_FILE = "workflow.schema.json"


def export(
    file: str,
    /,
    *,
    to: Annotated[Literal["yaml", "python"], Parameter(help="The spelling to write.")] = "yaml",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="A file; else stdout.")] = None,
) -> int:
    """Write a workflow as YAML or as Python.

    Both spellings keep the plan's hash, so an exported workflow is the same version.

    Parameters
    ----------
    file
        A workflow file; FILE.py:name for one workflow of a Python file.
    """
    workflow = load_one(file).workflow
    if to == "yaml":
        from headrace.dsl.export import to_yaml

        text = to_yaml(workflow)
    else:
        from headrace.dsl.export_python import to_python

        text = to_python(workflow)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"Wrote {output}.")
    return 0


def schema(
    *, write: Annotated[bool, Parameter(help=f"Write .headrace/{SCHEMA_FILE} and say how to use it.")] = False
) -> int:
    """The JSON Schema of workflow files, for editors."""
    from headrace.dsl.schema import workflow_schema

    if not write:
        print_json(workflow_schema())
        return 0
    path = write_schema(Path(".headrace"))
    say(f"Wrote {path}. Begin your files with:\n# yaml-language-server: $schema={path}")
    return 0


def write_schema(home: Path) -> Path:
    """The schema as a file in the home folder."""
    import json

    from headrace.cli.where import prepare
    from headrace.dsl.schema import workflow_schema

    prepare(home)
    path = home / SCHEMA_FILE
    path.write_text(json.dumps(workflow_schema(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path
