"""Checking ahead of any run what can be judged without values: calls on literals, like a pattern or a duration."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.engine.core.evaluation import Expression
from headrace.engine.core.expressions import ExpressionProblem, tree_of
from headrace.engine.core.expressions.syntax import Call, Chain, ListOf, Literal, MapOf, Node, Unary
from headrace.engine.expressions.compiler import Frame, compile_tree
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.patterns import matches
from headrace.engine.expressions.work import Work


def check_expression(expression: Expression) -> str | None:
    """Why the expression can never be judged, with the position in its text, or None.

    Its syntax was checked when it was parsed; here, whatever depends on literals alone is judged.
    """
    text = expression.text
    try:
        tree = tree_of(text)
    except ExpressionProblem as problem:
        return f"{problem} (at character {problem.offset + 1})"
    work = Work()
    for node in _checkable(tree):
        try:
            if _is_constant(node):
                compile_tree(node, text)(Frame({}, work))
            elif isinstance(node, Call) and node.function == "matches" and isinstance(node.args[1], Literal):
                pattern = node.args[1].value
                if isinstance(pattern, str):
                    matches(work, "", pattern)
        except Fault as fault:
            written = text[node.start : node.end]
            return f"`{written}` always fails: {fault.why} (at character {node.start + 1})"
    return None


def _checkable(node: Node) -> Iterator[Node]:
    """What depends on literals alone, innermost first, and every `matches`, whose pattern may be a literal."""
    for child in node.children():
        yield from _checkable(child)
    if _is_constant(node) or (isinstance(node, Call) and node.function == "matches"):
        yield node


def _is_constant(node: Node) -> bool:
    if isinstance(node, Literal):
        return True
    return isinstance(node, (Call, Chain, Unary, ListOf, MapOf)) and all(map(_is_constant, node.children()))
