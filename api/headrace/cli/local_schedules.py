"""Schedules in this machine's database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.cli.failure import Stop
from headrace.cli.refusals import no_schedule, paused

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.api.shapes.schedules import Preview, ScheduleEntry
    from headrace.cli.local import LocalStation
    from headrace.cli.settings import Settings
    from headrace.engine.ports.schedules import ScheduleRow
    from headrace.engine.ports.store import Store


class LocalSchedules:
    """Those of one project, at a station."""

    def __init__(self, settings: Settings, store: Store, station: LocalStation) -> None:
        self._settings, self._store, self._project = settings, store, settings.project
        self._station = station

    async def list(self, workflow: str | None) -> Sequence[ScheduleEntry]:
        rows = await self._store.schedules(self._project, workflow=workflow)
        return [await self._shown(row) for row in rows]

    async def get(self, id: str) -> ScheduleEntry:
        return await self._shown(await self._row(id))

    async def preview(self, id: str, count: int, after: str | None) -> Preview:
        from headrace.api.problems import Problem
        from headrace.api.shapes.times import moment
        from headrace.api.showing.schedules import preview
        from headrace.engine.calendars import IanaCalendar

        row = await self._row(id)
        try:
            since = moment(after, "after")
            return preview(row, IanaCalendar(), time.time() if since is None else since, count)
        except Problem as problem:
            raise Stop(problem.detail) from None
        except (ValueError, OverflowError, OSError) as wrong:
            raise Stop(f"Its moments cannot be had: {wrong}.") from None

    async def set_paused(self, id: str, paused: bool, reason: str | None) -> ScheduleEntry:
        from headrace.cli.acts import act
        from headrace.cli.here import me

        row = await self._row(id)
        action = "schedule.pause" if paused else "schedule.resume"
        line = act(self._settings, action, f"schedule {row.id}", {"reason": reason} if reason else None)
        kept = await self._store.set_schedule(
            self._project, row.id, time.time(), paused=paused, by=f"local:{me()}", why=reason, act=line
        )
        return await self._shown(kept or row)

    async def trigger(self, id: str, folder: str) -> RunEntry:
        from headrace.cli.acts import act
        from headrace.cli.here import me
        from headrace.engine.calendars import IanaCalendar
        from headrace.engine.core.evaluation import EvaluationError
        from headrace.engine.core.problems import InvalidWorkflow
        from headrace.engine.expressions import CelEvaluator
        from headrace.engine.shell.plans import build
        from headrace.engine.shell.schedules.firing import event_of, given
        from headrace.engine.shell.schedules.reading import read

        row = await self._row(id)
        settings = (await self._store.workflow_settings(self._project, [row.workflow])).get(row.workflow)
        if settings is not None and settings.paused:
            raise paused(row.workflow)
        version = await self._store.version(self._project, row.workflow)
        if version is None:
            raise no_schedule(id, set())
        schedule = read(row.id, row.trigger)
        try:
            said = given(schedule, CelEvaluator(), event_of(IanaCalendar(), schedule.timetable, time.time()))
            run = await self._station.home.submit(
                build(version.document),
                said.params,
                trigger={**said.trigger, "by": me()},
                folder=folder,
                priority=schedule.priority or (None if settings is None else settings.priority),
                event=said.event,
                act=act(self._settings, "run.start", "run", {"schedule": row.id, "version": version.version}),
            )
        except (EvaluationError, InvalidWorkflow) as why:
            raise Stop(f"schedule {row.id} can start no run now: {why}") from None
        return self._station.known(run)

    async def _row(self, id: str) -> ScheduleRow:
        row = await self._store.schedule(self._project, id)
        if row is None:
            raise no_schedule(id, {row.id for row in await self._store.schedules(self._project)})
        return row

    async def _shown(self, row: ScheduleRow) -> ScheduleEntry:
        from headrace.api.showing.schedules import schedule_entry
        from headrace.api.veiling import OPEN
        from headrace.engine.calendars import IanaCalendar

        settings = await self._store.workflow_settings(self._project, [row.workflow])
        return schedule_entry(row, settings.get(row.workflow), IanaCalendar(), time.time(), OPEN)
