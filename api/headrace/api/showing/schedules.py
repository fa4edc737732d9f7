"""Schedules as people and programs are shown them, from what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from headrace.api.shapes.schedules import Moment, Preview, ScheduleEntry, ScheduleState
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.core.schedules.rules import Fire
from headrace.engine.core.schedules.timetable import Calendar, day_of
from headrace.engine.ports.schedules import ScheduleRow
from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.shell.schedules.reading import Schedule, read


def schedule_entry(
    row: ScheduleRow, settings: WorkflowSettings | None, calendar: Calendar, now: float, veil: Veil
) -> ScheduleEntry:
    """The schedule as it stands at `now`. `settings` None: nothing was ever set of its workflow. What is told of a parameter that did
    not fit may hold its value."""
    schedule = upcoming = None
    try:
        schedule = read(row.id, row.trigger)
        upcoming = next(_fires(schedule, calendar, max(now, row.cursor)), None)
        state = _state(row, schedule, settings, upcoming)
    except ValueError:
        state = "broken"
    if state != "active":
        upcoming = None
    rules = None if schedule is None else schedule.rules
    return ScheduleEntry(
        id=row.id,
        workflow=row.workflow,
        kind=None if schedule is None else schedule.kind,  # type: ignore[arg-type]
        when=None if schedule is None else schedule.said,
        timezone=None if rules is None else rules.timetable.zone,
        overlap=None if rules is None else rules.overlap,
        catchup=None if rules is None else rules.catchup,
        jitter_seconds=None if rules is None else rules.jitter,
        pause_after=None if rules is None else rules.pause_after,
        state=state,
        next_at=None if upcoming is None else instant(upcoming.at),
        due_at=None if upcoming is None else instant(upcoming.due),
        last_at=instant(row.last_at),
        last_run=row.last_run,
        waiting=len(row.waiting),
        skipped=row.skipped,
        failures=row.failures,
        paused_by=row.paused_by,
        paused_why=row.paused_why,
        problem=None if veil.redacted else row.problem,
        created_at=instant(row.created_at),
        changed_at=instant(row.changed_at),
    )


def preview(row: ScheduleRow, calendar: Calendar, after: float, count: int) -> Preview:
    """The next moments after an instant. Raises ValueError for a line or a zone that the calendar does not know."""
    schedule = read(row.id, row.trigger)
    zone = calendar.zone(schedule.timetable.zone)
    items = []
    for fire in islice(_fires(schedule, calendar, after), count):
        day = day_of(fire.at, zone)
        local = datetime.fromtimestamp(fire.at, zone).isoformat(timespec="seconds")
        items.append(
            Moment(
                at=instant(fire.at),
                due_at=instant(fire.due),
                local=local,
                date=day.date,
                clock_shift_seconds=day.shift,
            )
        )
    return Preview(id=row.id, timezone=schedule.timetable.zone, items=items)


def _fires(schedule: Schedule, calendar: Calendar, after: float) -> Iterator[Fire]:
    return schedule.rules.fires(calendar, after)


def _state(
    row: ScheduleRow, schedule: Schedule, settings: WorkflowSettings | None, upcoming: Any
) -> ScheduleState:
    if row.paused:
        return "paused"
    if not schedule.enabled:
        return "disabled"
    if settings is not None and settings.paused:
        return "workflow_paused"
    return "over" if upcoming is None and not row.waiting else "active"
