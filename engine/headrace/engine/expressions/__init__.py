"""Judging expressions: the adapter behind `headrace.engine.core.evaluation.Evaluator`.

The language is CEL as docs/language.md bounds it, on JSON values: 64-bit ints, doubles, no unsigned integers, maps
with text keys, times to the microsecond. A tree becomes nested closures over the values as they lie in the scope, so
nothing is copied into another runtime first (which for an output of 100,000 maps takes longer than a second, with
the interpreter held), every step is counted before it is done, and errors can name operands. A property test holds
it against another implementation.
"""

from headrace.engine.expressions.check import check_expression
from headrace.engine.expressions.evaluator import CelEvaluator

__all__ = ["CelEvaluator", "check_expression"]
