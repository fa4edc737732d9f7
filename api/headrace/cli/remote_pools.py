"""Pools on a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.remote_refusals import refused

if TYPE_CHECKING:
    from headrace.api.shapes.pools import PoolEntry


class RemotePools:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> Sequence[PoolEntry]:
        try:
            return [one async for one in self._client.pools.list()]
        except ApiError as error:
            raise refused(error) from None

    async def known(self) -> frozenset[str] | None:
        """The server looks itself."""
        return None

    async def set(self, name: str, slots: int, note: str | None) -> PoolEntry:
        try:
            return await self._client.pools.set(name, slots, note=note)
        except ApiError as error:
            raise refused(error) from None

    async def delete(self, name: str) -> None:
        try:
            await self._client.pools.delete(name)
        except ApiError as error:
            raise refused(error) from None
