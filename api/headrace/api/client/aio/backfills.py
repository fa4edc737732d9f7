"""Backfills: planned, begun, followed, changed, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import BackfillEntry, BackfillMomentEntry, BackfillPlan


class AsyncBackfills:
    """Moments of schedules that are made up for. Each method raises ApiError."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def plan(
        self,
        workflow: str,
        begin: str | None = None,
        end: str | None = None,
        *,
        dates: Sequence[str] = (),
        schedule: str | None = None,
        params: Mapping[str, Any] | None = None,
        reprocess: str = "missing",
        order: str = "forward",
        max_active: int = 5,
        priority: str = "low",
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> BackfillPlan:
        """What a backfill would do; nothing is done yet. Takes an operator.

        Args:
            begin, end: days in the schedule's zone, the last one whole, or times (RFC 3339); or `dates`, such days.
            schedule: which one, where the workflow has several.
            params: laid over what the schedule gives.
            reprocess: missing | failed | all.
            order: forward | backward.
            max_active: how many of its runs may go on at once.
            select, exclude: selectors of the part of the workflow that its runs run.
        """
        given: dict[str, Any] = {
            "workflow": workflow,
            "schedule": schedule,
            "from": begin,
            "to": end,
            "dates": list(dates),
            "params": dict(params or {}),
            "reprocess": reprocess,
            "order": order,
            "max_active": max_active,
            "priority": priority,
            "select": list(select),
            "exclude": list(exclude),
        }
        return await self._connection.post(BackfillPlan, "backfills", body=given)

    async def confirm(self, plan_id: str) -> BackfillEntry:
        """Begin what was planned, within five minutes. Takes an operator."""
        return await self._connection.post(BackfillEntry, "backfills", body={"confirm": plan_id})

    def list(
        self, *, workflow: str | None = None, state: str | None = None, most: int | None = None
    ) -> AsyncIterator[BackfillEntry]:
        """The newest first."""
        return self._connection.pages(BackfillEntry, "backfills", most=most, workflow=workflow, state=state)

    async def get(self, backfill: int) -> BackfillEntry:
        """How far it is, and what it waits for."""
        return await self._connection.get(BackfillEntry, "backfills", backfill)

    def moments(
        self, backfill: int, *, state: str | None = None, most: int | None = None
    ) -> AsyncIterator[BackfillMomentEntry]:
        """Its moments in the order of their turns."""
        return self._connection.pages(
            BackfillMomentEntry, "backfills", backfill, "moments", most=most, state=state
        )

    async def change(
        self, backfill: int, *, max_active: int | None = None, priority: str | None = None
    ) -> BackfillEntry:
        """What is to hold for runs that begin from now on. Takes an operator."""
        given = {"max_active": max_active, "priority": priority}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._connection.post(BackfillEntry, "backfills", backfill, body=body, method="PATCH")

    async def pause(self, backfill: int, reason: str | None = None) -> BackfillEntry:
        """It begins nothing until it is resumed; its runs go on. Takes an operator."""
        body = None if reason is None else {"reason": reason}
        return await self._connection.post(BackfillEntry, "backfills", backfill, "pause", body=body)

    async def resume(self, backfill: int) -> BackfillEntry:
        """It goes on with the next moment. Takes an operator."""
        return await self._connection.post(BackfillEntry, "backfills", backfill, "resume")

    async def cancel(self, backfill: int, *, runs: bool = False, reason: str | None = None) -> BackfillEntry:
        """It begins nothing more. `runs`: those that go on are cancelled too. Takes an operator."""
        body: dict[str, Any] = {"runs": runs, **({} if reason is None else {"reason": reason})}
        return await self._connection.post(BackfillEntry, "backfills", backfill, "cancel", body=body)
