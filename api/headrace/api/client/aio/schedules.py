"""Schedules: listed, previewed, paused, made to start now."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import Preview, RunEntry, ScheduleEntry


class AsyncSchedules:
    """What starts workflows by time. Each method raises ApiError."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, workflow: str | None = None, most: int | None = None) -> AsyncIterator[ScheduleEntry]:
        """By id, of one workflow or of all."""
        return self._connection.pages(ScheduleEntry, "schedules", most=most, workflow=workflow)

    async def get(self, id: str) -> ScheduleEntry:
        """How it stands, and what comes next."""
        return await self._connection.get(ScheduleEntry, "schedules", id)

    async def preview(self, id: str, count: int = 10, *, after: str | None = None) -> Preview:
        """The next moments after now, or after a time (RFC 3339)."""
        return await self._connection.get(Preview, "schedules", id, "preview", count=count, after=after)

    async def pause(self, id: str, reason: str | None = None) -> ScheduleEntry:
        """It starts nothing until it is resumed. Takes an operator."""
        body = None if reason is None else {"reason": reason}
        return await self._connection.post(ScheduleEntry, "schedules", id, "pause", body=body)

    async def resume(self, id: str) -> ScheduleEntry:
        """It goes on with the next moment. Takes an operator."""
        return await self._connection.post(ScheduleEntry, "schedules", id, "resume")

    async def trigger(self, id: str) -> RunEntry:
        """A run for this moment, beside the schedule's own. Takes an operator."""
        return await self._connection.post(RunEntry, "schedules", id, "trigger")
