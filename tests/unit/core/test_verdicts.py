"""The table of trigger rules against docs/trigger_rules.md: every rule, every outcome of up to four upstreams, in numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import NamedTuple

import pytest

from headrace.engine.core.plan import Rule
from headrace.engine.core.verdicts import (
    FAILED,
    SETUP_FAILED,
    SETUP_SKIPPED,
    SETUP_SUCCEEDED,
    SKIPPED,
    SUCCEEDED,
    UPSTREAM,
    VERDICTS,
    Verdict,
)

RUN, SKIP, FAIL, WAIT = Verdict.RUN, Verdict.SKIP, Verdict.FAIL, Verdict.WAIT
BITS = {"S": SUCCEEDED, "F": FAILED, "U": UPSTREAM, "K": SKIPPED}


class Seen(NamedTuple):
    """How many upstreams came to what; the page's letters."""

    S: int
    F: int
    U: int
    K: int

    @property
    def n(self) -> int:
        return sum(self)


PAGE: dict[Rule, Callable[[Seen], Verdict]] = {
    Rule.ALL_SUCCESS: lambda o: RUN if o.n == o.S else FAIL if o.F + o.U else SKIP,
    Rule.ALL_FAILED: lambda o: RUN if o.n == o.F + o.U else SKIP,
    Rule.ALL_DONE: lambda o: RUN,
    Rule.ALL_DONE_MIN_ONE_SUCCESS: lambda o: SKIP if o.K else RUN if o.S else FAIL,
    Rule.ONE_SUCCESS: lambda o: RUN if o.S else SKIP if o.n == o.K else FAIL,
    Rule.ONE_FAILED: lambda o: RUN if o.F + o.U else SKIP,
    Rule.ONE_DONE: lambda o: RUN if o.S + o.F else SKIP,
    Rule.NONE_FAILED: lambda o: FAIL if o.F + o.U else RUN,
    Rule.NONE_FAILED_MIN_ONE_SUCCESS: lambda o: FAIL if o.F + o.U else SKIP if o.n == o.K else RUN,
    Rule.NONE_SKIPPED: lambda o: SKIP if o.K else RUN,
    Rule.ALL_SKIPPED: lambda o: RUN if o.n == o.K else SKIP,
    Rule.ALWAYS: lambda o: RUN,
}
AT_ONCE = {Rule.ONE_SUCCESS: "S", Rule.ONE_FAILED: "FU", Rule.ONE_DONE: "SF"}


def bits(outcome: tuple[str, ...]) -> int:
    found = 0
    for letter in outcome:
        found |= BITS[letter]
    return found


def verdict(rule: Rule, seen: int, closed: bool) -> int:
    return VERDICTS[rule][seen << 1 | closed]


OUTCOMES = [outcome for n in range(1, 5) for outcome in combinations_with_replacement("SFUK", n)]


@pytest.mark.parametrize("rule", PAGE, ids=lambda rule: rule.name.lower())
def test_when_all_have_ended_the_page_decides(rule: Rule) -> None:
    for outcome in OUTCOMES:
        seen = Seen(*(outcome.count(letter) for letter in "SFUK"))
        assert verdict(rule, bits(outcome), True) == PAGE[rule](seen), outcome


@pytest.mark.parametrize("rule", PAGE, ids=lambda rule: rule.name.lower())
def test_before_that_it_settles_only_where_nothing_can_change_the_answer(rule: Rule) -> None:
    for outcome in [(), *OUTCOMES]:
        so_far = bits(outcome)
        early = verdict(rule, so_far, False)
        may_come = {verdict(rule, so_far | bits(more), True) for more in OUTCOMES}
        if rule is Rule.ALWAYS or set(outcome) & set(AT_ONCE.get(rule, "")):
            assert early == RUN
        else:
            assert early == WAIT or may_come == {early}, outcome
            if early == WAIT and may_come == {FAIL}:
                assert rule is not Rule.ALL_SUCCESS, "it settles early"


SETUPS = {SUCCEEDED: SETUP_SUCCEEDED, FAILED: SETUP_FAILED, UPSTREAM: SETUP_FAILED, SKIPPED: SETUP_SKIPPED}


def test_a_teardown_goes_by_its_setups() -> None:
    rule = Rule.ALL_DONE_SETUP_SUCCESS
    for others in [(), *OUTCOMES]:
        assert verdict(rule, bits(others), True) == RUN
        for setups in OUTCOMES:
            seen = bits(others) | bits(setups)
            for letter in setups:
                seen |= SETUPS[BITS[letter]]
            assert verdict(rule, seen, False) == WAIT
            expected = RUN if "S" in setups else SKIP if set(setups) == {"K"} else FAIL
            assert verdict(rule, seen, True) == expected, (others, setups)


def test_without_upstreams_every_rule_holds() -> None:
    assert {verdict(rule, 0, True) for rule in (*PAGE, Rule.ALL_DONE_SETUP_SUCCESS)} == {RUN}
