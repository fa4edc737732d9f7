"""Backfills: the moments of a timetable that are to be made up for, in their order, and which of them have their turn now.

Pure: what a cron line and a zone mean is asked of an injected `Calendar`, the time is given. docs/design/backfills.md says why
it is as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from headrace.engine.core.schedules.timetable import Calendar, Timetable

MOST = 10_000
"""Moments of one backfill."""
MOST_ACTIVE = 1000
"""Runs of one backfill that may go on at once."""
REPROCESS = ("missing", "failed", "all")
"""What has its turn: moments without a run; those too whose newest run has not succeeded; every one."""
ORDERS = ("forward", "backward")


class TooMany(ValueError):
    """More moments than one backfill has."""

    def __init__(self) -> None:
        super().__init__(f"That is more than {MOST:,} moments; take a shorter range, and the rest after it")


def between(timetable: Timetable, calendar: Calendar, first: float, last: float) -> tuple[float, ...]:
    """The moments from one instant to another, both included, in their order. Raises TooMany, and ValueError for a line or a zone
    that is none."""
    found: list[float] = []
    for moment in timetable.moments(calendar, first - 0.001):
        if moment > last:
            break
        if len(found) == MOST:
            raise TooMany
        found.append(moment)
    return tuple(found)


def on_days(timetable: Timetable, calendar: Calendar, days: Iterable[date]) -> dict[date, tuple[float, ...]]:
    """The moments of each of these days in the timetable's zone. Raises as `between` does."""
    found: dict[date, tuple[float, ...]] = {}
    for day in sorted(set(days)):
        first, last = day_span(timetable, calendar, day)
        found[day] = between(timetable, calendar, first, last)
        if sum(map(len, found.values())) > MOST:
            raise TooMany
    return found


def day_span(timetable: Timetable, calendar: Calendar, day: date) -> tuple[float, float]:
    """The first instant of a day in the timetable's zone, and its last. Raises ValueError for a zone that is none, and for a day
    at the end of time."""
    zone = calendar.zone(timetable.zone)
    try:
        begins, ends = (
            datetime(each.year, each.month, each.day, tzinfo=zone).timestamp()
            for each in (day, day + timedelta(days=1))
        )
    except OverflowError:
        raise ValueError(f"{day} is beyond what a calendar holds") from None
    return begins, ends - 0.001


def ordered(moments: Iterable[float], order: str) -> tuple[float, ...]:
    """Oldest first, or newest first."""
    return tuple(sorted(set(moments), reverse=order == "backward"))


class Newest(NamedTuple):
    """The newest run of a moment. `succeeded` is None while it goes on; a run that was cancelled has not succeeded."""

    id: str
    succeeded: bool | None


def has_turn(reprocess: str, newest: Newest | None) -> bool:
    """Whether a moment is to have a run. Where one goes on already, nobody needs another."""
    if newest is None:
        return True
    if newest.succeeded is None or reprocess == "missing":
        return False
    return reprocess == "all" or not newest.succeeded


class Turn(NamedTuple):
    """A place of the backfill that has not had its turn, with its moment's newest run."""

    place: int
    moment: float
    newest: Newest | None


class Step(NamedTuple):
    """What is to be done now: turns whose runs begin, in order, and those that are passed over. `waits`: the next one that is to
    have a run, and has no room."""

    start: tuple[Turn, ...]
    passed: tuple[Turn, ...]
    waits: bool


def step(reprocess: str, coming: Sequence[Turn], room: int) -> Step:
    """Deal with what comes, in order, up to the first that there is no room for. `room`: runs that may begin now."""
    start: list[Turn] = []
    passed: list[Turn] = []
    for turn in coming:
        if not has_turn(reprocess, turn.newest):
            passed.append(turn)
        elif len(start) < room:
            start.append(turn)
        else:
            return Step(tuple(start), tuple(passed), True)
    return Step(tuple(start), tuple(passed), False)
