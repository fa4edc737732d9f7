"""Backfills on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.refusals import no_backfill
from headrace.cli.remote_refusals import refused

if TYPE_CHECKING:
    from headrace.api.shapes.backfills import BackfillEntry, BackfillMomentEntry, BackfillPlan
    from headrace.engine.shell.schedules.asking import Wanted

T = TypeVar("T")


class RemoteBackfills:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._backfills = client.backfills

    async def plan(self, wanted: Wanted) -> BackfillPlan:
        return await self._told(
            self._backfills.plan(
                wanted.workflow,
                wanted.begin,
                wanted.end,
                dates=wanted.dates,
                schedule=wanted.schedule,
                params=wanted.params,
                reprocess=wanted.reprocess,
                order=wanted.order,
                max_active=wanted.max_active,
                priority=wanted.priority,
                select=wanted.select,
                exclude=wanted.exclude,
            )
        )

    async def confirm(self, plan_id: str) -> BackfillEntry:
        return await self._told(self._backfills.confirm(plan_id))

    async def list(self, workflow: str | None, state: str | None, most: int) -> Sequence[BackfillEntry]:
        return [one async for one in self._backfills.list(workflow=workflow, state=state, most=most)]

    async def get(self, number: int) -> BackfillEntry:
        return await self._told(self._backfills.get(number), number)

    async def moments(self, number: int, state: str | None) -> Sequence[BackfillMomentEntry]:
        await self.get(number)
        return [one async for one in self._backfills.moments(number, state=state)]

    async def change(self, number: int, action: str, detail: dict[str, Any], **values: Any) -> BackfillEntry:
        asked: Awaitable[BackfillEntry]
        if action == "pause":
            asked = self._backfills.pause(number, values.get("why"))
        elif action == "resume":
            asked = self._backfills.resume(number)
        elif action == "cancel":
            asked = self._backfills.cancel(
                number, runs=values.get("runs", False), reason=detail.get("reason")
            )
        else:
            asked = self._backfills.change(number, **values)
        return await self._told(asked, number)

    async def take_up(self) -> bool:
        return False

    @asynccontextmanager
    async def under_way(self, folder: str) -> AsyncIterator[None]:
        yield

    async def _told(self, asked: Awaitable[T], number: int | None = None) -> T:
        try:
            return await asked
        except ApiError as error:
            if error.status == 404 and number is not None:
                raise no_backfill(number) from None
            raise refused(error) from None
