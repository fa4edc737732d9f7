"""A timetable and its moments: a cron line in a zone with its clock changes, a fixed distance, or one moment.

Moments are instants, in seconds since the epoch. Those of a cron line are found by walking through real time: as long as the
zone keeps its offset a wall time is an instant, and where it changes the walk goes on from the change. So a moment that the
wall clock shows twice is seen twice, and the timetable says which one counts; one that it jumps over is seen at the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import floor
from typing import NamedTuple, Protocol

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Words for cron lines."""

SHIFT = 26 * 3600
"""No clock is put forward or back by more than a day: within this of a change, a wall time may come twice."""


class Calendar(Protocol):
    """What cron lines and the names of zones mean."""

    def walls(self, line: str, after: datetime) -> Iterator[datetime]:
        """Wall times without a zone that match the line, strictly after the given one, in order; they end where none comes within
        decades. Raises ValueError for what is no line."""

    def zone(self, name: str) -> tzinfo:
        """The zone of that IANA name. Raises ValueError when there is none."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """Exactly one of `cron` (5 or 6 fields, or a word), `every` (seconds) and `at` is given. `start`, `end`: no moment before,
    none after. `gap`: after | skip, for a wall time that the clock jumps over; `overlap`: first | last, for one that comes
    twice. A line that matches every hour goes on through both by real time."""

    cron: str | None = None
    every: float | None = None
    at: float | None = None
    zone: str = "UTC"
    start: float | None = None
    end: float | None = None
    gap: str = "after"
    overlap: str = "first"

    def moments(self, calendar: Calendar, after: float) -> Iterator[float]:
        """The moments strictly after an instant, in order. Raises ValueError for a line or a zone that is none."""
        if self.start is not None and after < self.start:
            after = self.start - 0.001
        for moment in self._from(calendar, after):
            if self.end is not None and moment > self.end:
                return
            yield moment

    def before(self, calendar: Calendar, instant: float, *, near: float, since: float) -> float | None:
        """The last moment before an instant and after `since`. Looks back from there, first by `near` seconds and then each time
        further, so that a year of seconds is not walked through."""
        while True:
            low = max(since, instant - near)
            last = None
            for moment in self.moments(calendar, low):
                if moment >= instant:
                    break
                last = moment
            if last is not None or low <= since:
                return last
            near *= 4

    def _from(self, calendar: Calendar, after: float) -> Iterator[float]:
        if self.cron is not None:
            return _Walk(self, calendar).after(after)
        if self.every is not None:
            return _every(self.every, self.start or 0.0, after)
        return iter(() if self.at is None or self.at <= after else (self.at,))


def _every(seconds: float, anchor: float, after: float) -> Iterator[float]:
    """Counted from the anchor, so that everybody who counts finds the same moments."""
    step, first = round(seconds * 1000), round(anchor * 1000)
    turn = floor((after * 1000 - first) / step)
    while True:
        moment = (first + turn * step) / 1000
        if moment > after:
            yield moment
        turn += 1


class _Walk:
    """Through the moments of a cron line."""

    def __init__(self, timetable: Timetable, calendar: Calendar) -> None:
        line = timetable.cron or ""
        self._line = WORDS.get(line, line)
        self._zone = calendar.zone(timetable.zone)
        self._calendar = calendar
        self._by_hour = all_hours(self._line, calendar)
        self._gap, self._overlap = timetable.gap, timetable.overlap

    def after(self, instant: float) -> Iterator[float]:
        told = instant
        at: int | None = floor(instant)
        seen = floor(instant)
        while at is not None:
            since, at = at, None
            offset = self._offset(since)
            for wall in self._calendar.walls(self._line, _wall(seen + offset)):
                found = _instant(wall) - offset
                at = self._change(since, found, offset)
                if at is not None:  # what comes is read by another offset
                    if at > told and self._jumped(at, offset):
                        told = at
                        yield float(at)
                    seen = at - 1
                    break
                since = found
                if found > told and self._counts(wall, offset):
                    told = found
                    yield float(found)

    def _change(self, at: int, found: int, offset: int) -> int | None:
        """The first second of another offset after an instant and up to the one that was found, or within the next day, where a
        wall time that has passed may come again."""
        near = max(at, min(found, at + SHIFT))
        if self._offset(near) != offset:
            last = near
        elif self._offset(found) != offset:
            last = found
        else:
            return None
        first = at
        while last > first + 1:
            middle = (first + last) // 2
            if self._offset(middle) == offset:
                first = middle
            else:
                last = middle
        return last

    def _jumped(self, change: int, before: int) -> bool:
        """Whether the line has a moment in what the wall clock jumps over at a change, and it counts."""
        ahead = self._offset(change) - before
        if ahead <= 0 or self._by_hour or self._gap == "skip":
            return False
        gone = _wall(change + before)
        missed = next(self._calendar.walls(self._line, gone - timedelta(seconds=1)), None)
        return missed is not None and missed < gone + timedelta(seconds=ahead)

    def _counts(self, wall: datetime, offset: int) -> bool:
        """Whether a wall time counts when it is read by that offset: of two, one."""
        if self._by_hour:
            return True
        first, last = self._readings(wall)
        return first <= last or offset == (first if self._overlap == "first" else last)

    def _readings(self, wall: datetime) -> tuple[int, int]:
        return tuple(_seconds(wall.replace(tzinfo=self._zone, fold=fold).utcoffset()) for fold in (0, 1))  # type: ignore[return-value]

    def _offset(self, instant: int) -> int:
        return _seconds(datetime.fromtimestamp(instant, self._zone).utcoffset())


def all_hours(line: str, calendar: Calendar) -> bool:
    """Whether a cron line matches in every hour of its days."""
    fields = WORDS.get(line, line).split()
    hours = fields[-4] if len(fields) in (5, 6) else ""
    if hours == "*":
        return True
    day = datetime(2001, 1, 1)  # only the field of hours is left, and a day to try it on
    found = (wall.hour for wall in calendar.walls(f"0 {hours} * * *", day - timedelta(seconds=1)))
    return [next(found, None) for _ in range(24)] == list(range(24))


class Day(NamedTuple):
    """A day in a zone. `shift`: by how many seconds the clock is put forward on it, back when negative, else 0."""

    date: str  # 2026-03-29
    shift: int


def day_of(moment: float, zone: tzinfo) -> Day:
    """The day of an instant, and what the clock does on it."""
    today = datetime.fromtimestamp(moment, zone).date()
    begins, ends = (_midnight(day, zone) for day in (today, today + timedelta(days=1)))
    return Day(today.isoformat(), _seconds(ends.utcoffset()) - _seconds(begins.utcoffset()))


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset.total_seconds())


def _wall(local: int) -> datetime:
    return datetime.fromtimestamp(local, UTC).replace(tzinfo=None)


def _instant(wall: datetime) -> int:
    return round(wall.replace(tzinfo=UTC).timestamp())
