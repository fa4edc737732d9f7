"""Schedules that are looked at, paused, resumed, and made to start now. No Litestar here."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.api.access.asking import Asker
from headrace.api.asking.finding import SHOWN, version_of
from headrace.api.asking.settings import startable
from headrace.api.asking.starting import Started, begin_run, by, key_reused
from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.api.shapes.schedules import ScheduleEntry
from headrace.api.showing.schedules import schedule_entry
from headrace.api.veiling import Veil
from headrace.engine.calendars import IanaCalendar
from headrace.engine.ports.acts import Repeated
from headrace.engine.ports.schedules import ScheduleRow
from headrace.engine.shell.schedules.firing import CannotFire, Firing
from headrace.engine.shell.schedules.reading import read


async def schedule_of(office: Office, asker: Asker, id: str) -> ScheduleRow:
    """The schedule of that id. Raises Problem (404)."""
    row = await office.store.schedule(asker.project, id) if "\0" not in id else None
    if row is None:
        raise missing("schedule", id[:SHOWN])
    return row


async def shown(office: Office, asker: Asker, rows: Sequence[ScheduleRow]) -> list[ScheduleEntry]:
    """As they stand now."""
    names = sorted({row.workflow for row in rows})
    settings = await office.store.workflow_settings(asker.project, names)
    calendar, veil = IanaCalendar(), Veil(asker.role)
    return [schedule_entry(row, settings.get(row.workflow), calendar, asker.now, veil) for row in rows]


async def set_paused(
    office: Office, asker: Asker, id: str, paused: bool, why: str | None, asked: bytes
) -> tuple[ScheduleEntry, bool]:
    """How it stands then, and whether this very request was answered before. Raises Problem: 404, 422 idempotency_key_reused."""
    row = await schedule_of(office, asker, id)
    action = "schedule.pause" if paused else "schedule.resume"
    act = asker.act(action, f"schedule {row.id}", {"reason": why} if why else None, asked)
    replayed = False
    try:
        kept = await office.store.set_schedule(
            asker.project, row.id, asker.now, paused=paused, by=asker.actor, why=why, act=act
        )
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        replayed = True
        kept = await office.store.schedule(asker.project, row.id)
    if kept is None:  # it has ended meanwhile
        raise missing("schedule", row.id)
    [entry] = await shown(office, asker, [kept])
    return entry, replayed


async def start_now(office: Office, asker: Asker, id: str, asked: bytes) -> Started:
    """Begin a run for this moment. Raises Problem: 404, 409 workflow_paused, 422 cannot_start, and what `begin_run` raises."""
    row = await schedule_of(office, asker, id)
    settings = await startable(office, asker.project, row.workflow)
    version = await version_of(office, asker.project, row.workflow)
    firing = Firing(
        office.plans,
        IanaCalendar(),
        office.evaluator,
        office.check,
        await office.parts(),
        folder_of=office.folder_of,
    )
    try:
        new = await firing.run(
            read(row.id, row.trigger),
            version,
            asker.now,
            asker.now,
            priority=settings.priority,
            more=by(asker),
            once=False,
        )
    except (CannotFire, ValueError) as why:
        raise Problem(422, "cannot_start", f"Schedule {row.id} can start no run now: {why}") from None
    return await begin_run(office, asker, new, {"schedule": row.id, "version": version.version}, asked)
