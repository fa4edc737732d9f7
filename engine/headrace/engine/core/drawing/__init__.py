"""Graphs of a plan for programs and people: JSON, Mermaid, Graphviz, plain text and SVG."""

from collections.abc import Callable

from headrace.engine.core.drawing.document import graph_document, problem_document
from headrace.engine.core.drawing.markup import dot, mermaid
from headrace.engine.core.drawing.svg import svg
from headrace.engine.core.drawing.text import text
from headrace.engine.core.plan import Plan

DRAWINGS: dict[str, Callable[[Plan], str]] = {"svg": svg, "mermaid": mermaid, "dot": dot, "text": text}
"""What draws a plan, by the name of the format; `json` is `graph_document`."""

__all__ = ["DRAWINGS", "dot", "graph_document", "mermaid", "problem_document", "svg", "text"]
