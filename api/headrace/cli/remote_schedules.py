"""Schedules on a server."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, TypeVar

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.refusals import no_schedule, paused
from headrace.cli.remote_refusals import invalid

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.api.shapes.schedules import Preview, ScheduleEntry

T = TypeVar("T")


class RemoteSchedules:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self, workflow: str | None) -> Sequence[ScheduleEntry]:
        return [one async for one in self._client.schedules.list(workflow=workflow)]

    async def get(self, id: str) -> ScheduleEntry:
        return await self._known(id, self._client.schedules.get(id))

    async def preview(self, id: str, count: int, after: str | None) -> Preview:
        return await self._known(id, self._client.schedules.preview(id, count, after=after))

    async def set_paused(self, id: str, paused: bool, reason: str | None) -> ScheduleEntry:
        schedules = self._client.schedules
        return await self._known(id, schedules.pause(id, reason) if paused else schedules.resume(id))

    async def trigger(self, id: str, folder: str) -> RunEntry:
        return await self._known(id, self._client.schedules.trigger(id))

    async def _known(self, id: str, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except ApiError as error:
            if error.status == 404:
                raise no_schedule(id, {one.id for one in await self.list(None)}) from None
            if error.code == "workflow_paused":
                raise paused(id.partition(".")[0]) from None
            raise invalid(error) from None
