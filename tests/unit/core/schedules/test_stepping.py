"""What a schedule does about runs that go on, that fail, and about a pause; and what it does with a year of missed seconds."""

from __future__ import annotations

import pytest

from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.schedules.rules import Rules
from headrace.engine.core.schedules.stepping import MOST_WAITING, Standing, Step, settled, started, step
from headrace.engine.core.schedules.timetable import Timetable, day_of

CALENDAR = IanaCalendar()
NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z
MINUTE = Timetable(every=60.0)


def due(overlap: str, standing: Standing, now: float = NOON + 60, **more: object) -> Step:
    """A step of a schedule of every minute whose moment of 12:01 has come."""
    return step(Rules("a.b", MINUTE, overlap=overlap, **more), CALENDAR, standing, now)  # type: ignore[arg-type]


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all", "cancel_running", "allow"])
def test_a_moment_starts_when_nothing_goes_on(overlap: str) -> None:
    made = due(overlap, Standing(NOON))
    assert made.start == (NOON + 60,)
    assert made.standing == Standing(NOON + 60)
    assert made.due_at == NOON + 120


def test_while_a_run_goes_on_a_moment_is_skipped_waits_or_takes_its_place() -> None:
    busy = Standing(NOON, running=("r1",))
    assert due("skip", busy)[:3] == (Standing(NOON + 60, running=("r1",), skipped=1), (), ())
    assert due("queue_one", busy).standing == Standing(NOON + 60, (NOON + 60,), ("r1",))
    assert due("queue_all", busy).standing == Standing(NOON + 60, (NOON + 60,), ("r1",))
    assert due("allow", busy).start == (NOON + 60,)
    taking = due("cancel_running", busy)
    assert taking[:3] == (Standing(NOON + 60, (NOON + 60,), ("r1",)), (), ("r1",))
    assert taking.standing.waits_for == "r1"


def test_a_second_moment_waits_only_where_all_may_and_takes_the_place_of_the_one_that_waits() -> None:
    busy = Standing(NOON, waiting=(NOON - 60,), running=("r1",))
    assert due("queue_one", busy).standing == Standing(NOON + 60, (NOON - 60,), ("r1",), skipped=1)
    assert due("queue_all", busy).standing.waiting == (NOON - 60, NOON + 60)
    assert due("cancel_running", busy).standing == Standing(NOON + 60, (NOON + 60,), ("r1",), skipped=1)


def test_what_waits_begins_when_the_run_has_ended() -> None:
    standing = settled(Standing(NOON, waiting=(NOON, NOON + 1), running=("r1",)), {"r1": True})
    made = due("queue_all", standing, NOON + 30)
    assert made.start == (NOON,)
    assert started(made.standing, ("r2",)) == Standing(NOON, (NOON + 1,), ("r2",))


def test_failures_in_a_row_pause_and_a_success_begins_the_count_anew() -> None:
    standing = Standing(NOON, running=("r1", "r2", "r3"), failures=1)
    failed = settled(standing, {"r1": False, "r3": None})
    assert failed == Standing(NOON, running=("r2",), failures=2)
    assert due("allow", failed, pause_after=2) == Step(failed, pause=True)
    assert not due("allow", settled(failed, {"r2": True}), pause_after=2).pause


def test_while_the_workflow_is_paused_moments_pass() -> None:
    rules = Rules("a.b", MINUTE, overlap="queue_all")
    made = step(rules, CALENDAR, Standing(NOON, waiting=(NOON,)), NOON + 61, held=True)
    assert made.start == ()
    assert made.standing == Standing(NOON + 60, (NOON,), skipped=1)
    assert made.due_at == NOON + 120


def test_a_year_of_seconds_that_were_missed_is_caught_up_in_bounded_steps() -> None:
    rules = Rules("a.b", Timetable(every=1.0), overlap="queue_all", catchup="all")
    standing, now = Standing(NOON), NOON + 366 * 86_400
    for _ in range(20):
        made = step(rules, CALENDAR, standing, now)
        standing = started(made.standing, ("r1",) if made.start else ())
        assert len(standing.waiting) <= MOST_WAITING
    assert made.due_at is None
    assert standing.waits_for == "r1"
    again = step(rules, CALENDAR, settled(standing, {"r1": True}), now)
    assert again.start == (NOON + 2,)


def test_a_timetable_that_is_over_is_never_looked_at_again() -> None:
    over = Timetable(every=60.0, end=NOON + 90)
    assert step(Rules("a.b", over), CALENDAR, Standing(NOON), NOON + 60).due_at is None
    assert step(Rules("a.b", Timetable(at=NOON)), CALENDAR, Standing(NOON), NOON + 5).start == ()


def test_a_step_back_of_the_clock_doubles_nothing() -> None:
    """Faults 58: what is dealt with stays so, whatever the clock says."""
    rules = Rules("a.b", MINUTE, overlap="allow")
    first = step(rules, CALENDAR, Standing(NOON), NOON + 3600)
    back = step(rules, CALENDAR, first.standing, NOON + 60)
    assert back.start == ()
    assert back.due_at == NOON + 3660


def test_a_leap_day_comes_every_four_years() -> None:
    leap = Timetable(cron="0 12 29 2 *")
    found = [moment for moment, _ in zip(leap.moments(CALENDAR, NOON), range(2), strict=False)]
    assert [day_of(moment, CALENDAR.zone("UTC")).date for moment in found] == ["2028-02-29", "2032-02-29"]


@pytest.mark.parametrize(
    ("day", "shift"), [("2026-03-28", 0), ("2026-03-29", 3600), ("2026-10-25", -3600), ("2026-10-26", 0)]
)
def test_days_on_which_the_clock_changes_are_known(day: str, shift: int) -> None:
    morning = Timetable(cron="0 6 * * *", zone="Europe/Berlin")
    for moment in morning.moments(CALENDAR, NOON):
        found = day_of(moment, CALENDAR.zone("Europe/Berlin"))
        if found.date == day:
            assert found.shift == shift
            break


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "Europe", "x" * 100])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        CALENDAR.zone(name)
