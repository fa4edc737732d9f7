"""The functions of expressions, by name: docs/language.md, section 6.

Each takes the work that may be done and its arguments, a method's target first. Each is pure, checks the types of
what it gets, and pays before it does what grows with its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.expressions.functions import collections, conversions, numbers, texts, times

Function = Callable[..., Any]

FUNCTIONS: dict[str, Function] = {
    **collections.FUNCTIONS,
    **conversions.FUNCTIONS,
    **numbers.FUNCTIONS,
    **texts.FUNCTIONS,
    **times.FUNCTIONS,
}
