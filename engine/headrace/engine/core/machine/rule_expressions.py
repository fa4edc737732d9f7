"""The expression form of a trigger rule, three-valued: true starts the task, one that can no longer become true
settles it as skipped, anything else waits (docs/trigger_rules.md, 5)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NamedTuple

from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Both, Compare, Either, Holds, Measure, Not, RuleExpression
from headrace.engine.core.states import TaskState
from headrace.engine.core.verdicts import Verdict

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Counts(NamedTuple):
    """What a source's task runs have come to. `total` None: a map not expanded yet. `empty`: the state of a map
    that has no items."""

    total: int | None
    by_state: dict[str, int]
    final: bool
    empty: str | None = None

    @property
    def ended(self) -> int:
        return sum(self.by_state.values())


def judge(board: Board, block: Block, slot: int, node: int) -> Verdict:
    value = evaluate(board.plan.rule_expressions[node], lambda source: counts_of(board, block, slot, source))
    if value is True:
        return Verdict.RUN
    if value is False or not block.unmet[slot]:
        return Verdict.SKIP
    return Verdict.WAIT


def counts_of(board: Board, block: Block, slot: int, source: int) -> Counts:
    """The task runs of a source. Tolerated failures of a map that has ended count as succeeded."""
    at, spot = board.instance(block, slot, source)
    below = at.children.get(spot)
    state = at.state[spot]
    if below is None:
        if board.static.is_group[source] and source not in board.plan.items:
            return _of_leaves([counts_of(board, block, slot, m) for m in board.plan.group_leaves[source]])
        if source in board.plan.items and state < TaskState.SUCCEEDED:
            return Counts(None, {}, False)
        if state < TaskState.SUCCEEDED:
            return Counts(1, {}, False)
        if at.key(spot) in board.empty:
            return Counts(0, {}, True, TaskState(state).word)
        return Counts(1, {TaskState(state).word: 1}, True)
    by = {
        "succeeded": below.succeeded,
        "skipped": below.skipped,
        "cancelled": below.cancelled,
        "failed": below.failed - below.cancelled,
    }
    final = below.ended == below.n
    if final and not below.exceeded:
        by["succeeded"] += below.failed
        by["failed"] = by["cancelled"] = 0
    elif not below.exceeded and below.allowed:
        by["failed"] = by["cancelled"] = 0  # not certain yet
    return Counts(below.n, {word: number for word, number in by.items() if number}, final)


def _of_leaves(leaves: list[Counts]) -> Counts:
    """A plain group's task runs are those of its leaves; a map without items is one that ended as the map did."""
    by: dict[str, int] = {}
    total: int | None = 0
    for leaf in leaves:
        found = leaf.by_state if leaf.empty is None else {leaf.empty: 1}
        for word, number in found.items():
            by[word] = by.get(word, 0) + number
        size = leaf.total if leaf.empty is None else 1
        total = None if total is None or size is None else total + size
    return Counts(total, by, all(leaf.final for leaf in leaves))


def evaluate(expression: RuleExpression, counts: Callable[[int], Counts]) -> bool | None:
    """True, False, or None while it cannot be told."""
    match expression:
        case Not(of):
            value = evaluate(of, counts)
            return None if value is None else not value
        case Both(of):
            values = [evaluate(each, counts) for each in of]
            return False if False in values else None if None in values else True
        case Either(of):
            values = [evaluate(each, counts) for each in of]
            return True if True in values else None if None in values else False
        case Holds(what, source):
            return _holds(what, counts(source))
        case Compare(left, sign, right):
            return _compare(left, sign, right, counts(left.source))
    raise AssertionError(expression)


def _holds(what: str, c: Counts) -> bool | None:
    if c.empty is not None:
        return what == "done" or (what == "success" and c.empty == "succeeded") or what == c.empty
    bad = sum(c.by_state.get(word, 0) for word in ("failed", "upstream_failed", "cancelled"))
    good, skipped = c.by_state.get("succeeded", 0), c.by_state.get("skipped", 0)
    if what == "done":
        return True if c.final else None
    if what == "failed":
        return True if bad else False if c.final else None
    if what == "success":
        return False if bad or skipped else True if c.final else None
    return False if bad or good else (True if c.final else None)


def _compare(measure: Measure, sign: str, right: float, c: Counts) -> bool | None:
    """Between the least and the most that the measure can still become, does the comparison hold?"""
    test = _OPERATORS[sign]
    word = "succeeded" if measure.what == "rate" else str(measure.state)
    now = c.by_state.get(word, 0)
    if c.total is None and not c.final:
        return None
    total = c.total or 0
    low, high = now, now + (0 if c.final else total - c.ended)
    if measure.what == "count":
        results = {bool(test(value, right)) for value in _telling(low, high, right)}
    elif total:
        results = {bool(test(value / total, right)) for value in _telling(low, high, right * total)}
    else:
        return bool(test(1.0, right)) if c.final else None
    return results.pop() if len(results) == 1 else None


def _telling(low: int, high: int, right: float) -> set[int]:
    """Of the values between low and high those that tell how all of them compare: the ends, and whatever may equal the
    right side. All of them would be as many as a map has items, at every item's end."""
    if not low < right < high:
        return {low, high}
    near = int(right)
    return {low, high} | {value for value in (near - 1, near, near + 1) if low <= value <= high}
