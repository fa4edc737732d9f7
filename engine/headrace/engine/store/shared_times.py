"""What every store does alike for schedules and backfills: `SharedStore`'s part of `ports.schedules` and `ports.backfills`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.engine.ports.acts import Act
from headrace.engine.ports.backfills import (
    BackfillMoment,
    BackfillRow,
    BackfillStep,
    ChangedBackfill,
    DueBackfill,
    NewBackfill,
)
from headrace.engine.ports.schedules import DueSchedule, RunEnd, ScheduleRow, ScheduleStep, Upcoming
from headrace.engine.store import backfilling, scheduling, upcoming
from headrace.engine.store.transacting import Transacting


class SharedTimes(Transacting):
    """Schedules, and moments of them that are made up for."""

    # schedules -----------------------------------------------------------------------------------------------------

    async def schedules(
        self,
        project: str,
        *,
        workflow: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[ScheduleRow]:
        return await self._read(scheduling.listed, project, workflow, after, limit)

    async def schedule(self, project: str, id: str) -> ScheduleRow | None:
        return await self._read(scheduling.one, project, id)

    async def set_schedule(
        self,
        project: str,
        id: str,
        at: float,
        *,
        paused: bool,
        by: str,
        why: str | None = None,
        act: Act | None = None,
    ) -> ScheduleRow | None:
        return await self._change(act, scheduling.set_paused, project, id, at, paused, by, why)

    async def due_schedules(self, now: float, limit: int) -> list[DueSchedule]:
        return await self._read(scheduling.due, now, limit)

    async def upcoming(self) -> Upcoming:
        return await self._read(upcoming.upcoming)

    async def advance(self, steps: Sequence[ScheduleStep]) -> list[ScheduleStep]:
        return await self._write(scheduling.advance, steps) if steps else []

    # backfills -----------------------------------------------------------------------------------------------------

    async def create_backfill(self, new: NewBackfill, *, act: Act | None = None) -> BackfillRow:
        return await self._write(backfilling.create, new, act, repeatable=False)

    async def backfills(
        self,
        project: str,
        *,
        workflow: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[BackfillRow]:
        return await self._read(backfilling.listed, project, workflow, state, before, limit)

    async def backfill(self, project: str, no: int) -> BackfillRow | None:
        return await self._read(backfilling.one, project, no)

    async def backfill_counts(self, numbers: Collection[int]) -> dict[int, dict[str, int]]:
        return await self._read(backfilling.counts, numbers) if numbers else {}

    async def backfill_moments(
        self, no: int, *, state: str | None = None, after: int = -1, limit: int | None = None
    ) -> list[BackfillMoment]:
        return await self._read(backfilling.moments, no, state, after, limit)

    async def newest_runs(self, project: str, schedule: str, moments: Sequence[float]) -> dict[float, RunEnd]:
        return await self._read(backfilling.newest, project, schedule, moments)

    async def set_backfill(
        self,
        project: str,
        no: int,
        at: float,
        *,
        by: str,
        state: str | None = None,
        why: str | None = None,
        max_active: int | None = None,
        priority: str | None = None,
        stop: bytes | None = None,
        act: Act | None = None,
    ) -> ChangedBackfill | None:
        change = (by, state, why, max_active, priority, stop)
        return await self._change(act, backfilling.change, project, no, at, *change, repeatable=False)

    async def due_backfills(self, now: float, limit: int) -> list[DueBackfill]:
        return await self._read(backfilling.due, now, limit)

    async def advance_backfills(self, steps: Sequence[BackfillStep]) -> list[BackfillStep]:
        return await self._write(backfilling.advance, steps) if steps else []
