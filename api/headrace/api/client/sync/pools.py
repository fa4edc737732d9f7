"""Pools: listed, given a size, deleted."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.api.client.models import PoolEntry
from headrace.api.client.sync.connection import Connection


class Pools:
    """Slots that tasks of a project share. Each method raises ApiError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, most: int | None = None) -> Iterator[PoolEntry]:
        """By name."""
        return self._connection.pages(PoolEntry, "pools", most=most)

    def get(self, name: str) -> PoolEntry:
        """Its slots, and who uses them."""
        return self._connection.get(PoolEntry, "pools", name)

    def set(self, name: str, slots: int, *, note: str | None = None) -> PoolEntry:
        """Make it, or change it while tasks run; 0 closes it. Takes an admin."""
        body = {"slots": slots, "note": note}
        return self._connection.post(PoolEntry, "pools", name, body=body, method="PUT")

    def delete(self, name: str) -> None:
        """409 `pool_in_use` while something names it. Takes an admin."""
        self._connection.post(type(None), "pools", name, method="DELETE")
