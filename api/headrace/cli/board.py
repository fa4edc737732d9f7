"""What is known about a run while it moves, kept small: which tasks run, wait, retry, failed, and what waits for what.

Pure: it is fed changes and asked for lines, so the same board serves the live display, plain output and tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from headrace.cli.output import SIGNS, paint, printable, span
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Kind

FINAL = frozenset(state.word for state in TaskState if state.final)
ON_THE_WAY = frozenset(("dispatched", "running"))
BAD = frozenset(("failed", "upstream_failed"))


@dataclass(slots=True)
class Line:
    """One task, over all its items. `state` is the task's own; `items` are the states of its items, when it is mapped."""

    state: str = "pending"
    reason: str | None = None
    attempt: int = 0
    since: float | None = None  # when it entered the state
    began: float | None = None  # when its first attempt started
    items: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def item(self, name: str, state: str) -> None:
        before = self.items.get(name)
        if before is not None:
            self.counts[before] -= 1
        self.items[name] = state
        self.counts[state] += 1

    @property
    def moves(self) -> bool:
        """Whether an item has begun and not ended."""
        return any(number and word not in FINAL and word != "pending" for word, number in self.counts.items())

    def tally(self) -> str:
        """`13 succeeded, 4 running` over the items seen so far."""
        order = ("succeeded", "failed", "running", "dispatched", "retrying", "waiting")
        counted = [(word, self.counts[word]) for word in order]
        others = sum(self.counts.values()) - sum(number for _, number in counted)
        return ", ".join(f"{number} {word}" for word, number in (*counted, ("other", others)) if number > 0)


class Board:
    """Built for a plan, or for none where it may not be seen; `apply` is called for every change, `lines` whenever the display is
    drawn."""

    def __init__(self, plan: Plan | None) -> None:
        self.plan = plan
        self.state = "queued"
        self.done = 0
        self.counted: frozenset[str] = frozenset()
        if plan is not None:
            self.counted = _counted(plan)  # what progress is measured in …
        self.inner = 0  # … and a mapped group by the task runs in it, as they come up
        self.tasks: dict[str, Line] = {}
        self._active: dict[str, None] = {}  # in order of first activity
        self._bad: list[str] = []

    def apply(self, task: str, after: str, at: float, reason: str | None = None, attempt: int = 0) -> Line:
        """A task run moved; `task` as written, with its map index. Returns the task's line."""
        name, bracket, _ = task.partition("[")
        known = self.tasks.get(name)
        line = self.tasks.setdefault(name, Line()) if known is None else known
        if bracket:
            if name not in self.counted:
                self.inner += task not in line.items
                self.done += after in FINAL and line.items.get(task) not in FINAL
            line.item(task, after)
            if line.state not in FINAL and (line.state != "pending" or line.moves):
                self._active.setdefault(name)
            else:
                self._active.pop(name, None)
            return line
        was_final = line.state in FINAL
        if self.plan is None and known is None:
            self.inner += 1
        line.state, line.reason, line.since = after, reason, at
        line.attempt = max(attempt, line.attempt)
        if after in ON_THE_WAY and line.began is None:
            line.began = at
        if after in FINAL:
            self._active.pop(name, None)
            if not was_final and (self.plan is None or name in self.counted):
                self.done += 1
            if after == "failed":
                self._bad.append(name)
        elif after != "pending":
            self._active.setdefault(name)
        return line

    @property
    def total(self) -> int:
        return len(self.counted) + self.inner

    @property
    def running(self) -> int:
        return sum(
            line.counts["running"] + line.counts["dispatched"] or line.state in ON_THE_WAY
            for line in map(self.tasks.__getitem__, self._active)
        )

    def lines(self, now: float, most: int, colour: bool = True) -> Iterator[str]:
        """At most about `most` lines: failures, then what moves, then what waits and for what."""
        width = max((len(name) for name in (*self._active, *self._bad[-5:])), default=0)
        left = most
        for name in self._bad[-5:]:
            line = self.tasks[name]
            yield self._line(name, "failed", width, _why(line.reason), colour)
            left -= 1
        shown = list(self._active)[: max(left - 2, 1)]
        for name in shown:
            line = self.tasks[name]
            state = "running" if line.items and line.state == "waiting" else line.state
            told = line.tally() if line.items else _moving(line, now)
            if state == "pending" and line.items:
                state = "running"
            yield self._line(name, state, width, told, colour)
            left -= 1
        if len(self._active) > len(shown):
            yield f"    … and {len(self._active) - len(shown)} more on their way"
        for name, waits_for in self._waiting(max(left - 1, 0)):
            yield self._line(name, "pending", width, f"waits for {waits_for}", colour)

    def _line(self, name: str, state: str, width: int, told: str, colour: bool) -> str:
        return f"  {paint(SIGNS[state], state, colour=colour)} {printable(name):<{width}}  {told}"

    def _waiting(self, most: int) -> Iterator[tuple[str, str]]:
        """Tasks next in line: directly downstream of what moves, with what they still wait for."""
        plan, seen = self.plan, set[int]()
        if plan is None:
            return
        for name in list(self._active)[:50]:
            for node in plan.downstream(plan.index[name]) if name in plan.index else ():
                if node in seen or plan.sections[node] != Section.MAIN:
                    continue
                seen.add(node)
                line = self.tasks.get(plan.ids[node])
                if line is not None and line.state != "pending":
                    continue
                if len(seen) > most:
                    return
                open_ = [u for u in map(plan.ids.__getitem__, plan.upstream(node)) if not self._final(u)]
                more = f" and {len(open_) - 3} more" if len(open_) > 3 else ""
                yield plan.ids[node], ", ".join(map(printable, open_[:3])) + more

    def _final(self, name: str) -> bool:
        line = self.tasks.get(name)
        return line is not None and line.state in FINAL


def _counted(plan: Plan) -> frozenset[str]:
    """A map counts once, a plain group by its members."""
    return frozenset(
        plan.ids[node]
        for node in plan.regions[0].nodes
        if plan.kinds[node] is not Kind.GROUP and plan.sections[node] == Section.MAIN
    )


def _why(reason: str | None) -> str:
    return f"failed ({reason})" if reason else "failed"


def _moving(line: Line, now: float) -> str:
    elapsed = span(max(now - (line.began or line.since or now), 0))
    nth = f", attempt {line.attempt}" if line.attempt > 1 else ""
    if line.state == "retrying":
        return f"attempt {line.attempt} failed{f' ({line.reason})' if line.reason else ''}, will try again"
    if line.state in ON_THE_WAY:
        return f"{elapsed}{nth}"
    return f"{line.state}{f' ({line.reason})' if line.reason else ''}, {elapsed}"
