"""Expressions and templates as text: reading, bounding, one canonical spelling, and what they refer to.

Nothing here judges an expression; `headrace.engine.expressions` does.
"""

from headrace.engine.core.expressions.names import (
    ENDED_RUN_FIELDS,
    ERROR_FIELDS,
    LOOP_FIELDS,
    RUN_FIELDS,
    TASK_FIELDS,
    check_names,
)
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.references import path_text
from headrace.engine.core.expressions.templates import (
    has_template,
    parse_expression,
    parse_template,
    tree_of,
)

__all__ = [
    "ENDED_RUN_FIELDS",
    "ERROR_FIELDS",
    "LOOP_FIELDS",
    "RUN_FIELDS",
    "TASK_FIELDS",
    "ExpressionProblem",
    "check_names",
    "has_template",
    "parse_expression",
    "parse_template",
    "path_text",
    "tree_of",
]
