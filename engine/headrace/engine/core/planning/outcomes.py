"""What each task may come to by itself, when nobody steps in: the ground on which rules and handlers are judged.

An outcome is a set of the bits that a task run shows downstream (`SUCCEEDED`, `FAILED`, `UPSTREAM`, `SKIPPED`). Where the
workflow leaves it open, everything is possible; upstreams are taken as independent of each other. So a task that cannot
run here surely never does, and one that can may still be kept from it by what the tasks give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from headrace.engine.core.plan import Both, Compare, Either, Holds, Not, Plan, Rule, RuleExpression
from headrace.engine.core.planning.graph import reachable
from headrace.engine.core.verdicts import FAILED, SKIPPED, SUCCEEDED, UPSTREAM, VERDICTS, Verdict
from headrace.engine.core.workflow import Gate, Kind, Task

ANY = SUCCEEDED | FAILED | UPSTREAM | SKIPPED
_BITS = (SUCCEEDED, FAILED, UPSTREAM, SKIPPED)
HOLD_ALWAYS = frozenset(
    (Rule.ALL_SUCCESS, Rule.ALL_DONE, Rule.ALL_DONE_SETUP_SUCCESS, Rule.NONE_FAILED, Rule.ALWAYS)
)
"""Rules that hold in any case, or when all upstreams succeed, as whatever runs may."""

_SOURCES = 5  # of a rule expression, whose outcomes are tried in all combinations; the others are left open

_WORK = {
    Kind.NOOP: SUCCEEDED,
    Kind.SLEEP: SUCCEEDED,
    Kind.GATE: SUCCEEDED | FAILED,
    Kind.SWITCH: SUCCEEDED | FAILED,
    Kind.HTTP: SUCCEEDED | FAILED,
    Kind.WORKFLOW: SUCCEEDED | FAILED,
}
"""By kind: what the work alone comes to; whatever is not here may also skip itself."""

_WORDS = {
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "cancelled": FAILED,
    "upstream_failed": UPSTREAM,
    "skipped": SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """By node: what it may come to, and whether it can run at all. `holds`: whether its rule can hold at all, were all
    that it waits for to come to what they may."""

    possible: bytes
    runs: bytes
    holds: bytes


def surely_succeeds(task: Task) -> bool:
    """Whether the task succeeds whenever it runs: it calls nothing, and judges nothing."""
    return not _own(task) & ~SUCCEEDED and task.when is None and task.map is None


def outcomes(plan: Plan, depth: Callable[[int], int], never: Iterable[int]) -> Outcomes:
    """Worked out once over all tasks, from the first to the last. `never`: nodes whose condition never holds."""
    size = len(plan.ids)
    possible, runs, holds = bytearray(size), bytearray(size), bytearray(size)
    barred = frozenset(never)
    skippable = _skippable(plan)
    steps: dict[tuple[int, int], int] = {}
    # A group stands at the level of its first task, and comes before it.
    for node in sorted(range(size), key=lambda n: (plan.sections[n], plan.level[n], depth(n))):
        task = plan.tasks[node]
        rule = Rule(plan.rules[node])
        upstream = plan.upstream(node)
        group = plan.group[node]
        may_run, settles = _by_rule(plan, node, rule, upstream, possible, steps)
        holds[node] = may_run
        around = 0
        if group >= 0:
            # it is entered, or all in it share what the group came to
            around = possible[group] & ~SUCCEEDED
            around |= UPSTREAM if around & FAILED else 0
            may_run = may_run and bool(runs[group])
        if node in barred:
            settles |= SKIPPED
            may_run = False
        runs[node] = may_run
        found = settles | around | (SKIPPED if node in skippable else 0)
        if may_run:
            found |= _own(task) | (FAILED | SKIPPED if task.when or task.map else 0)
        possible[node] = found or SKIPPED
    return Outcomes(bytes(possible), bytes(runs), bytes(holds))


def _own(task: Task) -> int:
    if task.kind is Kind.GROUP:  # a plain one: it is entered, and its tasks are judged each for itself
        return SUCCEEDED if task.map is None else ANY
    found = _WORK.get(task.kind, ANY & ~UPSTREAM)
    timeouts = task.timeouts
    if timeouts.total is not None or timeouts.queue is not None:
        found |= FAILED
    if task.kind is Kind.SLEEP and getattr(task.work, "until", None) is not None:
        found |= FAILED
    if isinstance(task.work, Gate) and task.work.when in ("true", "false"):
        found &= ~FAILED
    if any(each.then == "skip" for each in task.retry.rules):
        found |= SKIPPED
    return found


def _skippable(plan: Plan) -> set[int]:
    """What a gate or a switch may skip."""
    gates = [node for node, kind in enumerate(plan.kinds) if kind is Kind.GATE]
    switches = [node for node, kind in enumerate(plan.kinds) if kind is Kind.SWITCH]

    def following(node: int) -> Iterable[int]:
        return (*plan.downstream(node), *plan.members.get(node, ()))

    return reachable(gates, following) | {target for node in switches for target in plan.downstream(node)}


# -- rules ---------------------------------------------------------------------------------------------------------------


def _by_rule(
    plan: Plan,
    node: int,
    rule: Rule,
    upstream: Sequence[int],
    possible: Sequence[int],
    steps: dict[tuple[int, int], int],
) -> tuple[bool, int]:
    """Whether the rule may hold, and what the node may settle as without running."""
    if node in plan.teardowns:
        return True, ANY & ~SUCCEEDED  # by its setups
    if rule is Rule.EXPRESSION:
        return _may_hold(plan.rule_expressions[node], possible, plan), SKIPPED
    if not upstream:
        return True, 0
    masks = 1  # a set of what all of them may have shown together, one bit for each of the sixteen
    for source in upstream:
        at = (masks, possible[source])
        following = steps.get(at)
        if following is None:
            following = steps[at] = _shown_too(*at)
        masks = following
    table = VERDICTS[rule]
    verdicts = {table[mask << 1 | 1] for mask in range(16) if masks >> mask & 1}
    settles = (SKIPPED if Verdict.SKIP in verdicts else 0) | (UPSTREAM if Verdict.FAIL in verdicts else 0)
    return Verdict.RUN in verdicts, settles


def _shown_too(masks: int, outcome: int) -> int:
    found = 0
    for mask in range(16):
        if masks >> mask & 1:
            for bit in _BITS:
                if outcome & bit:
                    found |= 1 << (mask | bit)
    return found


def _may_hold(rule: RuleExpression, possible: Sequence[int], plan: Plan) -> bool:
    """Whether some outcome of the sources makes the expression true. Only single task runs are tried; of maps and groups no
    more is known than that a rate lies between 0 and 1, and a count is not negative."""
    sources = sorted(set(_sources(rule)))
    single = [s for s in sources if s not in plan.items and s not in plan.members][:_SOURCES]
    choices = [[bit for bit in _BITS if possible[source] & bit] for source in single]
    return any(
        _holds(rule, dict(zip(single, combination, strict=True))) is not False
        for combination in product(*choices)
    )


def _sources(rule: RuleExpression) -> Iterable[int]:
    match rule:
        case Holds(source=source):
            yield source
        case Compare(left=left):
            yield left.source
        case Not(of=of):
            yield from _sources(of)
        case Both(of=parts) | Either(of=parts):
            for part in parts:
                yield from _sources(part)


def _holds(rule: RuleExpression, shown: dict[int, int]) -> bool | None:
    match rule:
        case Not(of=of):
            value = _holds(of, shown)
            return None if value is None else not value
        case Both(of=parts):
            values = [_holds(part, shown) for part in parts]
            return False if False in values else None if None in values else True
        case Either(of=parts):
            values = [_holds(part, shown) for part in parts]
            return True if True in values else None if None in values else False
        case Holds(what=what, source=source):
            bit = shown.get(source)
            if what == "done":
                return True
            if bit is None:
                return None
            return bool(bit & {"success": SUCCEEDED, "failed": FAILED | UPSTREAM, "skipped": SKIPPED}[what])
        case Compare():
            return _compares(rule, shown.get(rule.left.source))
    raise AssertionError(rule)


def _compares(rule: Compare, bit: int | None) -> bool | None:
    """A measure of one task run is 0 or 1; of several a rate lies between, and a count may be anything above."""
    measure, right = rule.left, rule.right
    test: Callable[[float], bool] = {
        "==": lambda value: value == right,
        "!=": lambda value: value != right,
        "<": lambda value: value < right,
        "<=": lambda value: value <= right,
        ">": lambda value: value > right,
        ">=": lambda value: value >= right,
    }[rule.operator]
    if bit is not None:
        word = "succeeded" if measure.what == "rate" else str(measure.state)
        if bit == FAILED and word in ("failed", "cancelled"):
            return True if test(0) and test(1) else False if not test(0) and not test(1) else None
        return test(1.0 if bit == _WORDS[word] else 0.0)
    most = 1.0 if measure.what == "rate" else float("inf")
    ends = {test(value) for value in (0.0, most, *((right,) if 0 <= right <= most else ()))}
    near = {test(value) for value in (right - 0.5, right + 0.5) if 0 <= value <= most}
    found = ends | near
    return found.pop() if len(found) == 1 else None
