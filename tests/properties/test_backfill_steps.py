"""Backfills under looks at random times, with runs that end at random and a schedule that begins runs beside them; and their
moments, against a walk through the schedule's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.backfills import Newest, Turn, between, on_days, ordered, step
from headrace.engine.core.schedules.timetable import Timetable, day_of

CALENDAR = IanaCalendar()
LOOKED_AT = 4


TURNS = {
    "missing": {"none": True, "going on": False, "succeeded": False, "failed": False},
    "failed": {"none": True, "going on": False, "succeeded": False, "failed": True},
    "all": {"none": True, "going on": False, "succeeded": True, "failed": True},
}
"""Which moments have a run, by how the newest of theirs stands: the table of docs/howto/backfills.md."""


def standing(newest: Newest | None) -> str:
    words = {None: "going on", True: "succeeded", False: "failed"}
    return "none" if newest is None else words[newest.succeeded]


@dataclass
class World:
    """Moments, the newest run of each, and one backfill that is looked at. `begun`: runs of the backfill by moment; `again`: those
    that it has no right to."""

    reprocess: str
    limit: int
    moments: tuple[float, ...]
    newest: dict[float, Newest] = field(default_factory=dict)
    waiting: list[float] = field(default_factory=list)
    active: dict[str, float] = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)
    passed: dict[float, Newest] = field(default_factory=dict)
    runs: int = 0

    def begin(self, moment: float) -> str:
        self.runs += 1
        self.newest[moment] = Newest(f"run {self.runs}", None)
        return self.newest[moment].id

    def end(self, moment: float, succeeded: bool) -> None:
        run = self.newest[moment]
        if run.succeeded is None:
            self.newest[moment] = Newest(run.id, succeeded)
            self.active.pop(run.id, None)

    def look(self) -> None:
        coming = [
            Turn(self.moments.index(moment), moment, self.newest.get(moment))
            for moment in self.waiting[:LOOKED_AT]
        ]
        made = step(self.reprocess, coming, self.limit - len(self.active))
        dealt = [*made.start, *made.passed]
        assert sorted(turn.place for turn in dealt) == [turn.place for turn in coming[: len(dealt)]]
        assert made.waits == (len(dealt) < len(coming))
        assert all(TURNS[self.reprocess][standing(turn.newest)] for turn in made.start)
        assert not any(TURNS[self.reprocess][standing(turn.newest)] for turn in made.passed)
        for turn in made.passed:
            assert turn.newest is not None
            self.passed[turn.moment] = turn.newest
        for turn in made.start:
            self.active[self.begin(turn.moment)] = turn.moment
            self.begun.append(turn.moment)
        self.waiting = self.waiting[len(dealt) :]
        assert len(self.active) <= self.limit


happenings = st.lists(
    st.one_of(
        st.just(("look", 0, True)),
        st.tuples(st.just("end"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("schedule"), st.integers(0, 9), st.booleans()),
    ),
    max_size=60,
)


@given(
    st.sampled_from(["missing", "failed", "all"]),
    st.integers(1, 4),
    st.sampled_from(["forward", "backward"]),
    st.lists(st.sampled_from([None, True, False]), min_size=10, max_size=10),
    happenings,
)
def test_each_moment_has_its_turn_once_in_order_and_never_more_go_on_than_may(
    reprocess: str,
    limit: int,
    order: str,
    before: list[bool | None],
    happened: list[tuple[str, int, bool]],
) -> None:
    moments = ordered((float(number) for number in range(10)), order)
    world = World(reprocess, limit, moments, waiting=list(moments))
    for moment, succeeded in zip(moments, before, strict=True):
        if succeeded is not None:
            world.newest[moment] = Newest(f"before {moment}", succeeded)
    for what, which, succeeded in happened:
        moment = moments[which]
        if what == "look":
            world.look()
        elif what == "end" and moment in world.newest:
            world.end(moment, succeeded)
        elif what == "schedule" and moment not in world.newest:
            world.begin(moment)
    for _ in range(40):  # then all that goes on ends, look after look
        world.look()
        for moment in list(world.active.values()):
            world.end(moment, True)
    assert world.waiting == []
    assert world.begun == [moment for moment in moments if moment in set(world.begun)]
    assert sorted([*world.begun, *world.passed]) == sorted(moments)


TIMETABLES = st.builds(
    Timetable,
    cron=st.sampled_from(["30 2 * * *", "0 */6 * * *", "0 0 * * 1", "15 1-3 * * *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]),
    gap=st.sampled_from(["after", "skip"]),
    overlap=st.sampled_from(["first", "last"]),
)
DAYS = st.dates(date(2026, 3, 1), date(2026, 4, 10)) | st.dates(date(2026, 10, 10), date(2026, 11, 10))


@given(TIMETABLES, DAYS, st.integers(0, 20))
def test_a_range_of_days_is_the_moments_that_the_schedule_has_on_them(
    timetable: Timetable, first: date, length: int
) -> None:
    days = [first + timedelta(days=number) for number in range(length + 1)]
    found = [moment for moments in on_days(timetable, CALENDAR, days).values() for moment in moments]
    written = {day.isoformat() for day in days}
    start = (first - date(1970, 1, 1)).days * 86_400 - 2 * 86_400
    walked = takewhile(
        lambda moment: moment < start + (length + 6) * 86_400, timetable.moments(CALENDAR, start)
    )
    zone = CALENDAR.zone(timetable.zone)
    assert found == [moment for moment in walked if day_of(moment, zone).date in written]
    if found:
        assert list(between(timetable, CALENDAR, found[0], found[-1])) == found
