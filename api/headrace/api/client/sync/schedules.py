"""Schedules: listed, previewed, paused, made to start now."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.api.client.models import Preview, RunEntry, ScheduleEntry
from headrace.api.client.sync.connection import Connection


class Schedules:
    """What starts workflows by time. Each method raises ApiError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, workflow: str | None = None, most: int | None = None) -> Iterator[ScheduleEntry]:
        """By id, of one workflow or of all."""
        return self._connection.pages(ScheduleEntry, "schedules", most=most, workflow=workflow)

    def get(self, id: str) -> ScheduleEntry:
        """How it stands, and what comes next."""
        return self._connection.get(ScheduleEntry, "schedules", id)

    def preview(self, id: str, count: int = 10, *, after: str | None = None) -> Preview:
        """The next moments after now, or after a time (RFC 3339)."""
        return self._connection.get(Preview, "schedules", id, "preview", count=count, after=after)

    def pause(self, id: str, reason: str | None = None) -> ScheduleEntry:
        """It starts nothing until it is resumed. Takes an operator."""
        body = None if reason is None else {"reason": reason}
        return self._connection.post(ScheduleEntry, "schedules", id, "pause", body=body)

    def resume(self, id: str) -> ScheduleEntry:
        """It goes on with the next moment. Takes an operator."""
        return self._connection.post(ScheduleEntry, "schedules", id, "resume")

    def trigger(self, id: str) -> RunEntry:
        """A run for this moment, beside the schedule's own. Takes an operator."""
        return self._connection.post(RunEntry, "schedules", id, "trigger")
