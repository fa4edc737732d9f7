"""Pools: listed, given a size, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import PoolEntry


class AsyncPools:
    """Slots that tasks of a project share. Each method raises ApiError."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, most: int | None = None) -> AsyncIterator[PoolEntry]:
        """By name."""
        return self._connection.pages(PoolEntry, "pools", most=most)

    async def get(self, name: str) -> PoolEntry:
        """Its slots, and who uses them."""
        return await self._connection.get(PoolEntry, "pools", name)

    async def set(self, name: str, slots: int, *, note: str | None = None) -> PoolEntry:
        """Make it, or change it while tasks run; 0 closes it. Takes an admin."""
        body = {"slots": slots, "note": note}
        return await self._connection.post(PoolEntry, "pools", name, body=body, method="PUT")

    async def delete(self, name: str) -> None:
        """409 `pool_in_use` while something names it. Takes an admin."""
        await self._connection.post(type(None), "pools", name, method="DELETE")
