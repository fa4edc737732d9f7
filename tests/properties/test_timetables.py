"""Timetables against a walk through every minute, over all zones and ten years of their clock changes (faults 10)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.schedules.rules import Rules
from headrace.engine.core.schedules.timetable import Timetable

CALENDAR = IanaCalendar()
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2026, 2036))
HOUR, DAY = 3600, 86_400
EVERY = tuple(range(24))


class Line(NamedTuple):
    """A cron line that names minutes and hours, and what it means."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours


LINES = (
    Line("30 2 * * *", (30,), (2,)),
    Line("0 0 * * *", (0,), (0,)),
    Line("0,15,30,45 0-4 * * *", (0, 15, 30, 45), (0, 1, 2, 3, 4)),
    Line("5 */2 * * *", (5,), tuple(range(0, 24, 2))),
    Line("*/10 * * * *", tuple(range(0, 60, 10)), EVERY),
    Line("7 0-23 * * *", (7,), EVERY),
)
POLICIES = [(gap, overlap) for gap in ("after", "skip") for overlap in ("first", "last")]


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The instants at which the zone changes its offset."""
    return tuple(_changes(ZoneInfo(zone)))


def _changes(zone: ZoneInfo) -> Iterator[int]:
    for first in range(FIRST, LAST, DAY // 2):
        last = first + DAY // 2
        if _offset(zone, first) == _offset(zone, last):
            continue
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if _offset(zone, middle) == _offset(zone, first) else (first, middle)
        yield last


def _offset(zone: ZoneInfo, instant: int) -> timedelta | None:
    return datetime.fromtimestamp(instant, zone).utcoffset()


@cache
def zones() -> tuple[str, ...]:
    """One zone of each kind: those whose clocks do the same at the same instants are one."""
    kinds: dict[tuple[object, ...], str] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        seen = (_offset(zone, FIRST), *((at, _offset(zone, at)) for at in changes(name)))
        kinds.setdefault(seen, name)
    return tuple(kinds.values())


def expected(line: Line, zone: str, gap: str, overlap: str, first: int, last: int) -> list[float]:
    """The moments within [first, last), which begin on whole minutes: every minute is looked at."""
    local = ZoneInfo(zone)
    minutes = [
        (at, datetime.fromtimestamp(at, local).replace(tzinfo=None, fold=0)) for at in range(first, last, 60)
    ]
    by_wall: dict[datetime, list[int]] = {}
    for at, wall in minutes:
        by_wall.setdefault(wall, []).append(at)
    found: set[int] = set()
    for wall, instants in by_wall.items():
        if line.matches(wall):
            if line.hours == EVERY:
                found.update(instants)
            else:
                found.add(instants[0 if overlap == "first" else -1])
    if gap == "after" and line.hours != EVERY:
        for (_, wall), (at, following) in pairwise(minutes):
            gone = wall + timedelta(minutes=1)
            while gone < following:
                if line.matches(gone):
                    found.add(at)
                gone += timedelta(minutes=1)
    return [float(at) for at in sorted(found)]


def told(line: Line, zone: str, gap: str, overlap: str, first: int, last: int) -> list[float]:
    timetable = Timetable(cron=line.text, zone=zone, gap=gap, overlap=overlap)
    return list(takewhile(lambda moment: moment < last, timetable.moments(CALENDAR, first - 1)))


def test_no_moment_is_lost_or_doubled_but_as_the_timetable_says_in_any_zone_for_ten_years() -> None:
    looked_at = 0
    for zone in zones():
        for change in changes(zone):
            first, last = change // 60 * 60 - 3 * HOUR, change // 60 * 60 + 4 * HOUR
            for number, line in enumerate(LINES[looked_at % 2 :: 2]):
                gap, overlap = POLICIES[(number + looked_at // 2) % len(POLICIES)]
                want = expected(line, zone, gap, overlap, first, last)
                assert told(line, zone, gap, overlap, first, last) == want, (zone, change, line, gap, overlap)
            looked_at += 1
    assert looked_at > 500


@pytest.mark.parametrize(("gap", "overlap"), POLICIES)
@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line.text))
@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca", "Africa/Cairo"]
)
def test_each_policy_on_each_line(line: Line, gap: str, overlap: str, zone: str) -> None:
    """Half an hour of change, one at midnight, one of the other sign, one just after midnight."""
    for change in changes(zone)[:4]:
        first, last = change // 60 * 60 - 30 * HOUR, change // 60 * 60 + 30 * HOUR
        assert told(line, zone, gap, overlap, first, last) == expected(line, zone, gap, overlap, first, last)


@given(
    st.sampled_from(LINES),
    st.sampled_from(POLICIES),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/Havana"]),
    st.integers(0, 5),
    st.lists(st.integers(-4 * 60, 4 * 60), max_size=6),
)
def test_a_walk_that_is_taken_up_anywhere_goes_on_the_same(
    line: Line, policy: tuple[str, str], zone: str, number: int, stops: list[int]
) -> None:
    """An engine that dies at any second, between the two passes of an hour too, leaves the next one the same moments."""
    change = changes(zone)[number]
    timetable = Timetable(cron=line.text, zone=zone, gap=policy[0], overlap=policy[1])
    last = change + 5 * HOUR
    whole = told(line, zone, *policy, change - 5 * HOUR + 1, last)
    pieces: list[float] = []
    cuts = sorted({change + stop * 60 + 17 for stop in stops})
    for begin, end in pairwise([change - 5 * HOUR, *cuts, last - 1]):
        pieces += takewhile(lambda moment, end=end: moment <= end, timetable.moments(CALENDAR, begin))  # type: ignore[misc]
    assert pieces == whole


@pytest.mark.parametrize("line", ["15 2 25 10 *", "15 * 25 10 *"])
def test_a_walk_that_begins_between_the_two_passes_of_an_hour_sees_the_second(line: str) -> None:
    """Though the next moment by the wall clock is a year away, or an hour."""
    between = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    timetable = Timetable(cron=line, zone="Europe/Berlin", overlap="last")
    assert next(timetable.moments(CALENDAR, between)) == between + 45 * 60


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "@hourly", "*/20 * * * * *"]),
    st.integers(FIRST, LAST),
    st.floats(0, 7200),
)
def test_jitter_never_changes_the_order_and_is_the_same_for_everybody(
    line: str, after: int, jitter: float
) -> None:
    rules = Rules("flow.nightly", Timetable(cron=line, zone="Europe/Berlin"), jitter=jitter)
    fires = [fire for fire, _ in zip(rules.fires(CALENDAR, after), range(20), strict=False)]
    again = [fire for fire, _ in zip(rules.fires(CALENDAR, fires[4].at), range(15), strict=False)]
    assert again == fires[5:]
    for one, other in pairwise(fires):
        assert one.at <= one.due <= one.at + jitter
        assert one.due <= other.at < other.due + 0.001


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "* * * * * *"]),
    st.integers(0, 400 * DAY),
    st.sampled_from([0.0, 30.0, 4000.0]),
)
def test_the_last_missed_moment_is_found_without_walking_through_all(
    line: str, away: int, jitter: float
) -> None:
    rules = Rules("flow.nightly", Timetable(cron=line, zone="Europe/Berlin"), jitter=jitter)
    away %= {"* * * * * *": 300, "*/7 * * * *": 20 * DAY}.get(line, away + 1)
    now = FIRST + away + 0.5
    fires = takewhile(lambda fire: fire.due < now, rules.fires(CALENDAR, FIRST))
    assert rules.missed(CALENDAR, FIRST, now) == max((fire.at for fire in fires), default=None)
