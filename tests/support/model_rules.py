"""Trigger rules as the table of docs/trigger_rules.md has them, decided by trying every way the rest could end.

An upstream task run is given by the set of what it may still count as: `{"succeeded"}` once that is certain, all four
while it is not final, and two for a failed item while it may yet turn out to be tolerated. A rule gives an answer as
soon as all completions agree on one. That is what "early, but only where no later arrival could change the answer" means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations_with_replacement, product

S, F, U, K = "succeeded", "failed", "upstream_failed", "skipped"
OPEN = frozenset((S, F, U, K))
"""What a task run that is not final may still count as."""

Chance = frozenset[str]
RUN, SKIP, FAIL, WAIT = "run", "skipped", "upstream_failed", "wait"


def outcome(rule: str, states: Sequence[str], setups: Sequence[str] | None) -> str:
    """The table, with every upstream final. `setups`: the states of those that a teardown tears down."""
    n = len(states)
    if n == 0:
        return RUN
    count = Counter(states)
    failed, skipped, succeeded = count[F] + count[U], count[K], count[S]
    match rule:
        case "all_success":
            return FAIL if failed else SKIP if skipped else RUN
        case "all_failed":
            return RUN if failed == n else SKIP
        case "all_done" | "always":
            return RUN
        case "all_done_min_one_success":
            return SKIP if skipped else RUN if succeeded else FAIL
        case "all_done_setup_success":
            if not setups or S in setups:
                return RUN
            return SKIP if all(state == K for state in setups) else FAIL
        case "one_success":
            return RUN if succeeded else SKIP if skipped == n else FAIL
        case "one_failed":
            return RUN if failed else SKIP
        case "one_done":
            return RUN if succeeded or count[F] else SKIP
        case "none_failed":
            return FAIL if failed else RUN
        case "none_failed_min_one_success":
            return FAIL if failed else SKIP if skipped == n else RUN
        case "none_skipped":
            return SKIP if skipped else RUN
        case "all_skipped":
            return RUN if skipped == n else SKIP
    raise AssertionError(rule)


AT_THE_END = ("all_done", "all_done_setup_success")
"""The rules that are about waiting itself: they say nothing before all is done."""


def judge(rule: str, upstream: Sequence[Chance], setups: Sequence[Chance] | None = None) -> str:
    """RUN, SKIP, FAIL or WAIT for a rule named by a word."""
    if rule == "always":
        return RUN
    if rule in AT_THE_END:
        if OPEN in upstream:
            return WAIT
        ends = {
            outcome(rule, states, chosen)
            for states in completions(upstream)
            for chosen in completions(setups or ())
        }
    else:
        ends = {outcome(rule, states, None) for states in completions(upstream)}
    return ends.pop() if len(ends) == 1 else WAIT


def completions(upstream: Sequence[Chance]) -> Iterator[list[str]]:
    """Every way the upstreams could end; their order has no meaning."""
    groups = [combinations_with_replacement(sorted(may), n) for may, n in Counter(upstream).items()]
    for chosen in product(*groups):
        yield [state for part in chosen for state in part]


# -- the expression form -------------------------------------------------------------------------------------------------

Source = Callable[[str], "tuple[list[Chance] | None, bool]"]
"""By id as written: its task runs (None: a map not expanded yet), and whether it is a map without items."""

_TOKEN = re.compile(
    r"\s*(&&|\|\||!(?!=)|[()]|(success|failed|skipped|done)\(([^)]*)\)|(rate|count)\(([^)]*)\)\s*(==|!=|<=|>=|<|>)\s*([\d.]+))"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def judge_expression(text: str, source: Source) -> str:
    """RUN, SKIP or WAIT for a rule expression: true, never true any more, not yet."""
    value, rest = _either(_tokens(text), source)
    assert not rest
    return WAIT if value is None else RUN if value else SKIP


def _tokens(text: str) -> list[re.Match[str]]:
    found, at = [], 0
    while text[at:].strip():
        token = _TOKEN.match(text, at)
        assert token, text[at:]
        found.append(token)
        at = token.end()
    return found


Rest = list[re.Match[str]]


def _either(tokens: Rest, source: Source) -> tuple[bool | None, Rest]:
    value, tokens = _both(tokens, source)
    while tokens and tokens[0][1] == "||":
        other, tokens = _both(tokens[1:], source)
        value = True if True in (value, other) else None if None in (value, other) else False
    return value, tokens


def _both(tokens: Rest, source: Source) -> tuple[bool | None, Rest]:
    value, tokens = _one(tokens, source)
    while tokens and tokens[0][1] == "&&":
        other, tokens = _one(tokens[1:], source)
        value = False if False in (value, other) else None if None in (value, other) else True
    return value, tokens


def _one(tokens: Rest, source: Source) -> tuple[bool | None, Rest]:
    token, tokens = tokens[0], tokens[1:]
    if token[1] == "!":
        value, tokens = _one(tokens, source)
        return None if value is None else not value, tokens
    if token[1] == "(":
        value, tokens = _either(tokens, source)
        assert tokens[0][1] == ")"
        return value, tokens[1:]
    if token[2]:
        return _holds(token[2], *source(token[3].strip("\"'"))), tokens
    name, _, state = token[5].partition(",")
    runs, empty = source(name.strip("\"'"))
    return _measures(
        token[4], state.strip().strip("\"'"), runs, empty, _COMPARE[token[6]], float(token[7])
    ), tokens


def _holds(what: str, runs: list[Chance] | None, empty: bool) -> bool | None:
    if runs is None:
        return None
    if what == "done":
        return None if OPEN in runs else True
    good = {"success": (S,), "skipped": (K,), "failed": (F, U, "cancelled")}[what]
    hits = [all(state in good for state in may) for may in runs]
    misses = [not any(state in good for state in may) for may in runs]
    if what == "failed":
        return True if any(hits) else False if all(misses) else None
    return True if all(hits) else False if any(misses) else None


def _measures(
    what: str,
    state: str,
    runs: list[Chance] | None,
    empty: bool,
    compare: Callable[[float, float], bool],
    right: float,
) -> bool | None:
    if runs is None:
        return None
    wanted = S if what == "rate" else state
    least = sum(may == {wanted} for may in runs)
    most = sum(wanted in may for may in runs)
    if what == "rate":
        values: Iterable[float] = [1.0] if empty else [n / len(runs) for n in range(least, most + 1)]
    else:
        values = [0] if empty else range(least, most + 1)
    answers = {compare(value, right) for value in values}
    return answers.pop() if len(answers) == 1 else None
