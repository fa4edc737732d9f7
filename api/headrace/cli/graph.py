"""`headrace graph`: the graph as a drawing, as text, or as numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.files import plan_one
from headrace.cli.output import print_json, say

Format = Literal["text", "json", "svg", "mermaid", "dot"]


def graph(
    file: str,
    /,
    *,
    format: Annotated[
        Format | None, Parameter(name=["--format", "-f"], help="text, unless -o says more.")
    ] = None,
    json: Annotated[bool, Parameter(help="The same as --format json.")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="A file; else stdout.")] = None,
) -> int:
    """Draw a workflow's graph, or measure it.

    Parameters
    ----------
    file
        A workflow file; FILE.py:name for one workflow of a Python file.
    """
    planned = plan_one(file)
    from headrace.engine.core import drawing

    chosen = "json" if json else format or _by_suffix(output)
    if chosen == "json":
        document = drawing.graph_document(planned.plan, planned.warnings)
        if output is None:
            print_json(document)
            return 0
        import json as codec

        text = codec.dumps(document, ensure_ascii=False, indent=2) + "\n"
    else:
        text = drawing.DRAWINGS[chosen](planned.plan)
    if output is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        output.write_text(text, encoding="utf-8")
        say(f"Wrote {output}.")
    return 0


def _by_suffix(output: Path | None) -> Format:
    known: dict[str, Format] = {
        ".svg": "svg",
        ".mmd": "mermaid",
        ".dot": "dot",
        ".json": "json",
        ".gv": "dot",
    }
    return known.get(output.suffix, "text") if output else "text"
