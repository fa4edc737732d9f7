"""What people write who come from other languages, and what they mean by it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.core.expressions.lexer import quote
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.syntax import Name, Node, Select

WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "if": "test ? then : otherwise"}
"""Words that are operators elsewhere."""

MEANT = {
    "len": "size",
    "length": "size",
    "count": "size",
    "str": "string",
    "float": "double",
    "number": "double",
    "lower": "lowerAscii",
    "upper": "upperAscii",
    "strip": "trim",
    "min": "math.least",
    "max": "math.greatest",
    "abs": "math.abs",
    "round": "math.round",
    "ceil": "math.ceil",
    "floor": "math.floor",
    "any": "exists",
    "coalesce": "default",
    "items": "entries",
    "values": "entries",
    "date": "timestamp",
}
"""Names that functions have elsewhere."""


def check_task_minus(first: Node, rest: Sequence[tuple[str, Node]]) -> None:
    """`tasks.my-task`: CEL reads a difference, and nobody means one."""
    left = first
    for position, (operator, right) in enumerate(rest):
        if operator == "-" and isinstance(left, Select) and isinstance(left.base, Name):
            words = [str(left.keys[0])]
            after: tuple[str | int, ...] = ()
            if left.base.name == "tasks" and len(left.keys) == 1:
                for following, node in rest[position:]:
                    if following != "-" or after:
                        break
                    base = node.base if isinstance(node, Select) else node
                    if not isinstance(base, Name):
                        break
                    words.append(base.name)
                    after = node.keys if isinstance(node, Select) else ()
            if len(words) > 1:
                name = quote("-".join(words))
                raise ExpressionProblem(
                    f"`tasks.{'-'.join(words)}` is read as tasks.{' minus '.join(words)}.",
                    f"Write tasks[{name}].",
                    left.start,
                )
        left = right
