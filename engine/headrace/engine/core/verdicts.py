"""Trigger rules as one table: rule × what the upstreams have shown so far × whether all of them are final → verdict.

What the upstreams have shown is eight bits, so the table has 13 × 256 × 2 entries and a decision on the hot path is
one look-up. The rows follow docs/trigger_rules.md line by line; a rule settles early only where no later arrival
could change the answer, so the order of arrival never matters (except for the rules that start at once, by name).
"""

from __future__ import annotations

from enum import IntEnum

from headrace.engine.core.plan import Rule
from headrace.engine.core.states import TaskState

SUCCEEDED, FAILED, UPSTREAM, SKIPPED = 1, 2, 4, 8
"""Some upstream task run ended so; a cancelled one counts as failed."""
SETUP_SUCCEEDED, SETUP_FAILED, SETUP_SKIPPED = 16, 32, 64
"""The same for those upstreams that are the task's setups."""

SHOWN = bytes(
    {
        TaskState.SUCCEEDED: SUCCEEDED,
        TaskState.FAILED: FAILED,
        TaskState.CANCELLED: FAILED,
        TaskState.UPSTREAM_FAILED: UPSTREAM,
        TaskState.SKIPPED: SKIPPED,
    }.get(state, 0)
    for state in TaskState
)
"""The bit that a final state shows, by state."""

SETUP_SHOWN = {
    SUCCEEDED: SETUP_SUCCEEDED,
    FAILED: SETUP_FAILED,
    UPSTREAM: SETUP_FAILED,
    SKIPPED: SETUP_SKIPPED,
    0: 0,
}


class Verdict(IntEnum):
    WAIT = 0
    RUN = 1
    SKIP = 2
    FAIL = 3  # settles as upstream_failed


def _judge(rule: Rule, seen: int, closed: bool) -> Verdict:
    good, bad, skipped = seen & SUCCEEDED, seen & (FAILED | UPSTREAM), seen & SKIPPED
    anything = good or bad or skipped
    if closed and not anything:
        return Verdict.RUN  # no upstream at all: nothing to wait for, whatever the rule
    match rule:
        case Rule.ALL_SUCCESS:
            if bad:
                return Verdict.FAIL
            return Verdict.WAIT if not closed else Verdict.SKIP if skipped else Verdict.RUN
        case Rule.ALL_FAILED:
            if good or skipped:
                return Verdict.SKIP
            return Verdict.RUN if closed else Verdict.WAIT
        case Rule.ALL_DONE:
            return Verdict.RUN if closed else Verdict.WAIT
        case Rule.ALL_DONE_MIN_ONE_SUCCESS:
            if skipped:
                return Verdict.SKIP
            return Verdict.WAIT if not closed else Verdict.RUN if good else Verdict.FAIL
        case Rule.ALL_DONE_SETUP_SUCCESS:
            if not closed:
                return Verdict.WAIT
            if seen & SETUP_SUCCEEDED or not seen & (SETUP_FAILED | SETUP_SKIPPED):
                return Verdict.RUN
            return Verdict.FAIL if seen & SETUP_FAILED else Verdict.SKIP
        case Rule.ONE_SUCCESS:
            if good:
                return Verdict.RUN
            return Verdict.WAIT if not closed else Verdict.FAIL if bad else Verdict.SKIP
        case Rule.ONE_FAILED:
            return Verdict.RUN if bad else Verdict.SKIP if closed else Verdict.WAIT
        case Rule.ONE_DONE:
            if good or seen & FAILED:
                return Verdict.RUN
            return Verdict.SKIP if closed else Verdict.WAIT
        case Rule.NONE_FAILED:
            if bad:
                return Verdict.FAIL
            return Verdict.RUN if closed else Verdict.WAIT
        case Rule.NONE_FAILED_MIN_ONE_SUCCESS:
            if bad:
                return Verdict.FAIL
            return Verdict.WAIT if not closed else Verdict.RUN if good else Verdict.SKIP
        case Rule.NONE_SKIPPED:
            if skipped:
                return Verdict.SKIP
            return Verdict.RUN if closed else Verdict.WAIT
        case Rule.ALL_SKIPPED:
            if good or bad:
                return Verdict.SKIP
            return Verdict.RUN if closed else Verdict.WAIT
        case _:
            return Verdict.RUN  # ALWAYS: upstreams are not looked at


VERDICTS: tuple[bytes, ...] = tuple(
    bytes(_judge(rule, index >> 1, bool(index & 1)) for index in range(512))
    for rule in Rule
    if rule is not Rule.EXPRESSION
)
"""`VERDICTS[rule][seen << 1 | closed]`."""
