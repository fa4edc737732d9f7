"""One step of a schedule: what is to be started and cancelled now, and when to look again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from headrace.engine.core.schedules.rules import PATIENCE, Rules, coming
from headrace.engine.core.schedules.timetable import Calendar

MOST_WAITING = 1000
"""Moments that wait for a run to end."""
MOST_RUNNING = 1000
"""Runs whose end is looked at."""
WAITING = {"skip": 0, "queue_one": 1, "queue_all": MOST_WAITING}
"""Moments that may wait while a run goes on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a schedule stands. `cursor`: every moment up to it is dealt with; `waiting`: moments whose runs begin when those that go
    on have ended; `running`: ids of the runs that were started and not yet seen to end; `failures`: in a row; `skipped`: moments
    for which no run was started because one was going on."""

    cursor: float
    waiting: tuple[float, ...] = ()
    running: tuple[str, ...] = ()
    failures: int = 0
    skipped: int = 0

    @property
    def waits_for(self) -> str | None:
        """The run at whose end a moment that waits may have its turn."""
        return self.running[0] if self.waiting and self.running else None


class Step(NamedTuple):
    """What is to be done. The runs of `start` are begun, in order, and join `running` of the standing; `pause`: the schedule has
    failed too often in a row. `due_at`: when to look again, None: never (but see `Standing.waits_for`)."""

    standing: Standing
    start: tuple[float, ...] = ()
    cancel: tuple[str, ...] = ()
    pause: bool = False
    due_at: float | None = None


def settled(standing: Standing, ended: Mapping[str, bool | None]) -> Standing:
    """With the runs that have ended taken out: `ended` says of each whether it succeeded, None for neither (it was cancelled, or
    is gone)."""
    failures = standing.failures
    for run in standing.running:
        succeeded = ended.get(run)
        if succeeded is not None:
            failures = 0 if succeeded else failures + 1
    return replace(
        standing, running=tuple(run for run in standing.running if run not in ended), failures=failures
    )


def step(rules: Rules, calendar: Calendar, standing: Standing, now: float, *, held: bool = False) -> Step:
    """What to do at `now`. `standing` is settled. `held`: nothing may be started at the moment, and what is due is passed over.
    Raises ValueError for a line or a zone that the calendar does not know."""
    if rules.pause_after is not None and standing.failures >= rules.pause_after:
        return Step(standing, pause=True)
    come = coming(rules, calendar, standing.cursor, now, MOST_WAITING - len(standing.waiting))
    if held:
        skipped = standing.skipped + len(come.missed) + len(come.fresh)
        start: list[float] = []
        waiting = list(standing.waiting)
        cancel: Collection[str] = ()
    else:
        start, waiting, cancel, skipped = _chosen(rules.overlap, standing, come.missed, come.fresh)
        skipped += standing.skipped
    after = replace(standing, cursor=come.cursor, waiting=tuple(waiting), skipped=skipped)
    following = next(rules.fires(calendar, come.cursor), None)
    due_at = None if following is None else following.due
    if held and waiting:
        due_at = min(now + PATIENCE, due_at or now + PATIENCE)
    elif come.more and len(waiting) >= MOST_WAITING:
        due_at = None  # there is no room for what was missed, and what it waits for makes some
    return Step(after, tuple(start), tuple(cancel), due_at=due_at)


def _chosen(
    overlap: str, standing: Standing, missed: tuple[float, ...], fresh: tuple[float, ...]
) -> tuple[list[float], list[float], tuple[str, ...], int]:
    """What starts, what waits, what is cancelled, and how many are skipped. What was missed waits for its turn whatever the
    overlap says: there was nobody to start it, so it did not come while a run was going on."""
    waiting, skipped = list(standing.waiting), 0
    if overlap == "allow":
        return [*waiting, *missed, *fresh], [], (), 0
    if overlap == "cancel_running":
        come = [*waiting, *missed, *fresh]
        waiting, skipped = come[-1:], max(0, len(come) - 1)
        cancel = standing.running if missed or fresh else ()
    else:
        waiting += missed
        cancel = ()
        room = WAITING[overlap] + (not standing.running)  # the first one waits for nothing
        for moment in fresh:
            if len(waiting) < room:
                waiting.append(moment)
            else:
                skipped += 1
    start = [waiting.pop(0)] if waiting and not standing.running else []
    return start, waiting, cancel, skipped


def started(standing: Standing, runs: tuple[str, ...]) -> Standing:
    """With runs that were begun."""
    return replace(standing, running=(*standing.running, *runs)[-MOST_RUNNING:])
