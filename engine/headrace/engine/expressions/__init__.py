"""Judging expressions: the adapter behind `headrace.engine.core.evaluation.Evaluator`."""

from headrace.engine.expressions.check import check_expression
from headrace.engine.expressions.evaluator import CelEvaluator

__all__ = ["CelEvaluator", "check_expression"]
