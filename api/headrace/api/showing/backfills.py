"""Backfills as people and programs are shown them, from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.api.asking.packing import GOOD_FOR
from headrace.api.shapes.backfills import BackfillEntry, BackfillMomentEntry, BackfillPlan, Progress
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.core.schedules.timetable import Calendar, day_of
from headrace.engine.ports.backfills import MOMENT_STATES, BackfillMoment, BackfillRow, NewBackfill
from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.shell.schedules.asking import Outlook
from headrace.engine.shell.schedules.filling import selection_of
from headrace.engine.shell.schedules.reading import read

SHOWN = 10
"""Moments of a plan that are shown at either end."""


def backfill_entry(
    row: BackfillRow, counts: Mapping[str, int], settings: WorkflowSettings | None, veil: Veil
) -> BackfillEntry:
    """The backfill as it stands. `settings` None: nothing was ever set of its workflow."""
    found = {state: counts.get(state, 0) for state in MOMENT_STATES}
    return BackfillEntry(
        backfill=row.no,
        workflow=row.workflow,
        schedule=row.schedule,
        state=row.state,  # type: ignore[arg-type]
        progress=Progress(total=sum(found.values()), **found),
        waits_for=_waits_for(row, found, settings),
        reprocess=row.reprocess,  # type: ignore[arg-type]
        order=row.order,  # type: ignore[arg-type]
        max_active=row.max_active,
        priority=row.priority,  # type: ignore[arg-type]
        params=veil.value(row.params),
        **_selected(row),
        problem=None if veil.redacted else row.problem,
        by=row.by,
        paused_by=row.paused_by,
        paused_why=row.paused_why,
        created_at=instant(row.created_at),
        changed_at=instant(row.changed_at),
        finished_at=instant(row.finished_at),
    )


def moment_entries(
    row: BackfillRow, moments: Sequence[BackfillMoment], calendar: Calendar
) -> list[BackfillMomentEntry]:
    """Its moments, with their days in the schedule's zone. Raises ValueError for a zone that is none."""
    zone = calendar.zone(read(row.schedule, row.trigger).timetable.zone)
    return [
        BackfillMomentEntry(
            place=each.place,
            at=instant(each.moment),
            date=day_of(each.moment, zone).date,
            state=each.state,  # type: ignore[arg-type]
            run=each.run,
        )
        for each in moments
    ]


def backfill_plan(outlook: Outlook, plan_id: str, now: float) -> BackfillPlan:
    """What would be done, for whoever is to confirm it."""
    new, todo = outlook.new, outlook.todo
    last = todo[max(SHOWN, len(todo) - SHOWN) :]
    return BackfillPlan(
        plan_id=plan_id,
        workflow=new.workflow,
        schedule=new.schedule,
        timezone=read(new.schedule, new.trigger).timetable.zone,
        moments=len(new.moments),
        runs=len(todo),
        found=dict(outlook.found),
        first=[instant(moment) for moment in todo[:SHOWN]],
        last=[instant(moment) for moment in last],
        reprocess=new.reprocess,  # type: ignore[arg-type]
        order=new.order,  # type: ignore[arg-type]
        max_active=new.max_active,
        priority=new.priority,  # type: ignore[arg-type]
        **_selected(new),
        expires_at=instant(now + GOOD_FOR),
    )


def _selected(row: BackfillRow | NewBackfill) -> dict[str, list[str]]:
    part = selection_of(row)
    return {"select": list(part.select), "exclude": list(part.exclude)}


def _waits_for(row: BackfillRow, found: Mapping[str, int], settings: WorkflowSettings | None) -> str | None:
    if not found["waiting"] or row.state in ("cancelled", "done"):
        return None
    if row.state == "paused":
        return f"it is paused by {row.paused_by}" + (f": {row.paused_why}" if row.paused_why else "")
    if settings is not None and settings.paused:
        return f"workflow {row.workflow} is paused"
    if found["started"] >= row.max_active:
        return f"{found['started']} of its runs go on, and max_active is {row.max_active}"
    return "an engine, which looks every second"
