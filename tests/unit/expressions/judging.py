"""Short ways to judge expressions in tests."""

from __future__ import annotations

from headrace.engine.core.evaluation import EvaluationError, Filled
from headrace.engine.core.expressions import parse_expression, parse_template
from headrace.engine.core.workflow import Json
from headrace.engine.expressions import CelEvaluator

EVALUATOR = CelEvaluator()


def fill(value: Json, **scope: Json) -> Filled:
    return EVALUATOR.fill(parse_template(value), scope)


def judge(text: str, **scope: Json) -> Json:
    """The value of one expression, as a piece that stands alone gives it."""
    filled = fill("${{ " + text + " }}", **scope)
    assert not filled.holes
    return filled.value


def holds(text: str, **scope: Json) -> bool:
    return EVALUATOR.condition(parse_expression(text), scope)


def why(text: str, **scope: Json) -> str:
    """The message of the EvaluationError that judging ends in."""
    try:
        value = judge(text, **scope)
    except EvaluationError as error:
        return str(error)
    raise AssertionError(f"{text} gives {value!r} and does not fail")
