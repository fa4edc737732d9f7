"""A backfill that is asked for: what it would run is found out first, everything that is wrong with it is said, and then it is
begun. Command line and API both come through here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from headrace.engine.core import backfills
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.schedules.timetable import Calendar, Timetable
from headrace.engine.core.workflow import Json
from headrace.engine.ports.backfills import NewBackfill
from headrace.engine.ports.schedules import ScheduleRow
from headrace.engine.ports.store import Store
from headrace.engine.shell.schedules.filling import newest_of
from headrace.engine.shell.schedules.firing import CannotFire, Firing
from headrace.engine.shell.schedules.reading import read
from headrace.engine.shell.times import rfc3339

FOUND = ("missing", "going_on", "failed", "succeeded")
"""How the newest run of a moment may stand."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `schedule` None: the workflow's only one. Either `begin` and `end`, each a day in the schedule's zone, the last
    one whole, or a time; or `dates`, such days."""

    workflow: str
    schedule: str | None = None
    begin: str | None = None
    end: str | None = None
    dates: tuple[str, ...] = ()
    params: Mapping[str, Json] = {}
    reprocess: str = "missing"
    order: str = "forward"
    max_active: int = 5
    priority: str = "low"
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Refused(Exception):
    """No backfill comes of it. `code`: no_workflow, no_schedule, invalid, in_the_future, too_many_moments, nothing_to_do,
    cannot_start; `field`: what of the request."""

    def __init__(self, code: str, field: str, message: str) -> None:
        self.code, self.field = code, field
        super().__init__(message)


class Outlook(NamedTuple):
    """What a backfill would do as things stand. `moments`: all, in the order of their turns; `todo`: those that would have a run;
    `found`: how the newest runs of the moments stand: `FOUND`, and how many."""

    new: NewBackfill
    todo: tuple[float, ...]
    found: Mapping[str, int]


async def outlook(store: Store, firing: Firing, project: str, wanted: Wanted, by: str, now: float) -> Outlook:
    """Find out what it would run. Raises Refused."""
    row = await schedule_for(store, project, wanted.workflow, wanted.schedule)
    try:
        schedule = read(row.id, row.trigger)
        moments = _moments(schedule.timetable, firing.calendar, wanted, now)
    except backfills.TooMany as many:
        raise Refused("too_many_moments", "dates" if wanted.dates else "from", f"{many}.") from None
    except (ValueError, OverflowError, OSError) as wrong:
        raise Refused("invalid", "schedule", f"Schedule {row.id} cannot be read: {wrong}.") from None
    if not moments:
        raise Refused("nothing_to_do", "from", f"Schedule {row.id} has no moment in that range.")
    version = await store.version(project, row.workflow)
    if version is None:
        raise Refused("no_workflow", "workflow", f"There is no workflow {row.workflow}.")
    try:  # what would be refused for the first will be for the others
        await firing.run(
            schedule,
            version,
            moments[0],
            now,
            params=wanted.params,
            once=False,
            select=wanted.select,
            exclude=wanted.exclude,
        )
    except CannotFire as why:
        raise Refused("cannot_start", why.field, f"No run could be begun: {why}") from None
    ends = await store.newest_runs(project, row.id, moments)
    newest = {moment: newest_of(ends.get(moment)) for moment in moments}
    words = {None: "going_on", True: "succeeded", False: "failed"}
    found = Counter("missing" if (run := newest[each]) is None else words[run.succeeded] for each in moments)
    new = NewBackfill(
        project,
        row.workflow,
        row.id,
        row.trigger,
        msgspec.json.encode(wanted.params),
        wanted.reprocess,
        wanted.order,
        wanted.max_active,
        wanted.priority,
        by,
        now,
        moments,
        msgspec.json.encode({"select": wanted.select, "exclude": wanted.exclude})
        if wanted.select or wanted.exclude
        else None,
    )
    todo = tuple(moment for moment in moments if backfills.has_turn(wanted.reprocess, newest[moment]))
    return Outlook(new, todo, {word: found[word] for word in FOUND if found[word]})


async def schedule_for(store: Store, project: str, workflow: str, schedule: str | None) -> ScheduleRow:
    """The schedule of that id, or the workflow's only one. Raises Refused."""
    rows = await store.schedules(project, workflow=workflow)
    if schedule is None and len(rows) == 1:
        return rows[0]
    for row in rows:
        if schedule in (row.id, row.id.removeprefix(f"{workflow}.")):
            return row
    ids = [row.id for row in rows]
    if not rows:
        if await store.version(project, workflow) is None:
            raise Refused("no_workflow", "workflow", f"There is no workflow {workflow[:100]}.")
        raise Refused(
            "no_schedule",
            "workflow",
            f"Workflow {workflow} has no schedule. Give it a trigger with cron or every, and register it again.",
        )
    if schedule is None:
        raise Refused(
            "no_schedule", "schedule", f"{workflow} has several schedules: say one of {', '.join(ids)}."
        )
    hint = did_you_mean(schedule[:100], ids)
    raise Refused(
        "no_schedule",
        "schedule",
        f"{workflow} has no schedule {schedule[:100]}. {hint or 'It has ' + ', '.join(ids) + '.'}",
    )


def _moments(timetable: Timetable, calendar: Calendar, wanted: Wanted, now: float) -> tuple[float, ...]:
    if bool(wanted.dates) == bool(wanted.begin or wanted.end):
        raise Refused("invalid", "from", "Say from when to when, or which dates: one of both.")
    if wanted.dates:
        found = _on_dates(timetable, calendar, wanted, now)
    else:
        if wanted.begin is None or wanted.end is None:
            missing = "from" if wanted.begin is None else "to"
            raise Refused(
                "invalid", missing, f"{missing} is missing: a range has a first day and a last one."
            )
        first, _ = _span(timetable, calendar, wanted.begin, "from")
        last_begins, last = _span(timetable, calendar, wanted.end, "to")
        if last < first:
            raise Refused("invalid", "to", f"{wanted.end} is before {wanted.begin}.")
        _past(last_begins, wanted.end, "to", now)
        found = backfills.between(timetable, calendar, first, min(last, now))
    return backfills.ordered(found, wanted.order)


def _on_dates(timetable: Timetable, calendar: Calendar, wanted: Wanted, now: float) -> tuple[float, ...]:
    days = {}
    for text in wanted.dates:
        days[_day(text, "dates")] = text
    for day, text in days.items():
        _past(_begins(timetable, calendar, day, "dates"), text, "dates", now)
    by_day = backfills.on_days(timetable, calendar, days)
    for day, moments in by_day.items():
        if not moments:
            raise Refused("nothing_to_do", "dates", f"The schedule has no moment on {day}.")
    return tuple(moment for moments in by_day.values() for moment in moments if moment <= now)


def _past(begins: float, said: str, field: str, now: float) -> None:
    if begins > now:
        raise Refused(
            "in_the_future",
            field,
            f"{said} has not come yet (it is {rfc3339(float(int(now)))}): what comes is the schedule's own.",
        )


def _span(timetable: Timetable, calendar: Calendar, text: str, field: str) -> tuple[float, float]:
    """The first and the last instant of a day, or a time twice."""
    if "T" in text:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise Refused("invalid", field, f"{text[:100]} is no time: write 2026-03-01T06:00:00Z.")
        return at.astimezone(UTC).timestamp(), at.timestamp()
    day = _day(text, field)
    return _begins(timetable, calendar, day, field), backfills.day_span(timetable, calendar, day)[1]


def _begins(timetable: Timetable, calendar: Calendar, day: date, field: str) -> float:
    try:
        return backfills.day_span(timetable, calendar, day)[0]
    except ValueError as wrong:
        raise Refused("invalid", field, f"{wrong}.") from None


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(
            "invalid",
            field,
            f"{text[:100]} is no day and no time: write 2026-03-01, or 2026-03-01T06:00:00Z.",
        ) from None
