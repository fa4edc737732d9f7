"""Rule expressions: certain when whatever is still open cannot change the answer, and not before."""

from __future__ import annotations

import operator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core import events as e
from headrace.engine.core.machine.rule_expressions import Counts, evaluate
from headrace.engine.core.plan import Both, Compare, Either, Holds, Measure, Not
from headrace.engine.core.workflow import Task
from tests.support.flows import flow, group, over, py
from tests.support.pilot import Outcome, Pilot, script

WORDS = ("succeeded", "failed", "upstream_failed", "cancelled", "skipped")

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


def holds(what: str, ended: tuple[str, ...]) -> bool:
    """The word's meaning, when everything has ended."""
    bad = {"failed", "upstream_failed", "cancelled"}
    match what:
        case "failed":
            return bool(bad.intersection(ended))
        case "success":
            return set(ended) <= {"succeeded"}
        case "skipped":
            return set(ended) <= {"skipped"}
    return what == "done"


@pytest.mark.parametrize("what", ["done", "failed", "success", "skipped"])
@pytest.mark.parametrize("open_", [0, 1, 2])
def test_a_word_is_certain_when_every_outcome_agrees(what: str, open_: int) -> None:
    for ended in (mix for size in (1, 2) for mix in product(WORDS, repeat=size)):
        counts = Counts(len(ended) + open_, {word: ended.count(word) for word in ended}, final=not open_)
        possible = {holds(what, ended + rest) for rest in product(WORDS, repeat=open_)}
        certain = len(possible) == 1 and not (what == "done" and open_)  # done speaks of now
        assert evaluate(Holds(what, 0), lambda source, c=counts: c) is (
            possible.pop() if certain else None
        ), ended


@pytest.mark.parametrize("state", ["succeeded", "skipped"])
def test_a_map_without_items_is_what_it_ended_as(state: str) -> None:
    counts = Counts(0, {}, True, state)
    said = {
        what: evaluate(Holds(what, 0), lambda source: counts)
        for what in ("done", "failed", "success", "skipped")
    }
    assert said == {
        "done": True,
        "failed": False,
        "success": state == "succeeded",
        "skipped": state == "skipped",
    }


def test_what_is_unknown_counts_only_where_it_matters() -> None:
    """Three-valued: each operand true, false or not yet certain."""
    known = {
        True: Counts(1, {"failed": 1}, True),
        False: Counts(1, {"succeeded": 1}, True),
        None: Counts(1, {}, False),
    }
    for left, right in product(known, repeat=2):
        counts = {0: known[left], 1: known[right]}
        operands = (Holds("failed", 0), Holds("failed", 1))
        both = False if False in (left, right) else None if None in (left, right) else True
        either = True if True in (left, right) else None if None in (left, right) else False
        assert evaluate(Both(operands), counts.__getitem__) is both
        assert evaluate(Either(operands), counts.__getitem__) is either
        assert evaluate(Not(operands[0]), counts.__getitem__) is (None if left is None else not left)


def begun(*tasks: Task, **outcomes: Outcome) -> Pilot:
    pilot = Pilot(flow(*tasks), script({f"p[{name[1:]}]": one for name, one in outcomes.items()}))
    pilot.feed(e.Started(0.0))
    return pilot


def test_how_many_items_a_map_has_decides_before_one_has_ended() -> None:
    pilot = begun(py("p", map=over([1, 2])), py("after", "p", trigger_rule='count(p, "failed") > 2'))
    assert pilot.states()["after"] == "skipped"
    assert {pilot.states()[name] for name in ("p[0]", "p[1]")} == {"dispatched"}


@pytest.mark.parametrize(
    ("tolerate", "failed", "state"), [(1, 1, "skipped"), (1, 2, "succeeded"), (0, 1, "succeeded")]
)
def test_failures_count_when_they_are_more_than_are_tolerated(tolerate: int, failed: int, state: str) -> None:
    wrong = {f"p{item}": Outcome("failed") for item in range(failed)}
    tasks = (
        py("p", map=over([1, 2, 3]), tolerate=tolerate),
        py("after", "p", trigger_rule='count(p, "failed") >= 1'),
    )
    assert begun(*tasks, **wrong).fly().states()["after"] == state


def test_a_group_has_as_many_task_runs_as_leaves() -> None:
    pilot = begun(group("g", py("a"), py("b")), py("after", "g", trigger_rule="rate(g) >= 1.0"))
    assert pilot.fly().states()["after"] == "succeeded"


@pytest.mark.parametrize("tolerated", [0, 1])
def test_what_was_tolerated_counts_as_succeeded_when_all_has_ended(tolerated: int) -> None:
    tasks = (
        py("p", map=over([1, 2, 3]), tolerate=tolerated),
        py("after", "p", trigger_rule='count(p, "succeeded") == 3'),
    )
    state = begun(*tasks, p1=Outcome("failed")).fly().states()["after"]
    assert state == ("succeeded" if tolerated else "skipped")


def test_what_is_tolerated_so_far_is_neither_failed_nor_succeeded() -> None:
    tasks = (
        py("p", map=over([1, 2, 3]), tolerate=1),
        py("good", "p", trigger_rule='count(p, "succeeded") >= 1'),
        py("bad", "p", trigger_rule='count(p, "failed") >= 1'),
    )
    pilot = begun(*tasks, p0=Outcome("failed"))
    pilot.land()
    states = pilot.states()
    assert (states["p[0]"], states["good"], states["bad"]) == ("failed", "pending", "pending")


def test_a_map_without_items_is_one_of_its_groups_leaves() -> None:
    after = [
        py("both", "g", trigger_rule='count(g, "skipped") == 1 && count(g, "succeeded") == 1'),
        py("half", "g", trigger_rule="rate(g) == 0.5"),
    ]
    states = begun(group("g", py("a"), py("b", map=over([]))), *after).fly().states()
    assert (states["both"], states["half"]) == ("succeeded", "succeeded")


@pytest.mark.parametrize("empty", ["skip", "succeed"])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_map_without_items_is_known_as_such_after_a_crash(crashes: bool, empty: str) -> None:
    state = "skipped" if empty == "skip" else "succeeded"
    tasks = (
        py("p", map=over([]), on_empty=empty),
        py("a"),
        py("after", "p", "a", trigger_rule=f'count(p, "{state}") == 0 && done(a)'),
    )
    pilot = begun(*tasks)
    if crashes:
        pilot.crash()
    assert pilot.fly().states()["after"] == "succeeded"
