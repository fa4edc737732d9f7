"""The comparisons of rule expressions are judged by a few telling values, and come to what all of them would."""

from __future__ import annotations

import operator

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.machine.rule_expressions import Counts, evaluate
from headrace.engine.core.plan import Compare, Measure

SIGNS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@given(
    what=st.sampled_from(["rate", "count"]),
    sign=st.sampled_from(sorted(SIGNS)),
    total=st.integers(1, 40),
    share=st.floats(0, 1),
    good=st.integers(0, 40),
    right=st.integers(-1, 41) | st.floats(-0.5, 40.5),
)
def test_a_comparison_is_certain_when_every_outcome_agrees(
    what: str, sign: str, total: int, share: float, good: int, right: float
) -> None:
    ended = int(total * share)
    good = min(good, ended)
    scale = total if what == "rate" else 1
    bound = right / scale
    counts = Counts(total, {"succeeded": good, "failed": ended - good} if ended else {}, final=ended == total)
    possible = {SIGNS[sign](value / scale, bound) for value in range(good, good + total - ended + 1)}
    expected = possible.pop() if len(possible) == 1 else None
    compare = Compare(Measure(what, 0, "succeeded"), sign, bound)
    assert evaluate(compare, lambda source: counts) is expected


def test_a_comparison_over_a_very_large_map_is_judged_at_once() -> None:
    """faults 15: as many steps for a million million items as for ten."""
    compare = Compare(Measure("rate", 0), ">=", 0.9)
    counts = Counts(10**12, {"succeeded": 5}, False)
    assert evaluate(compare, lambda source: counts) is None
