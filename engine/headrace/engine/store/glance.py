"""What an engine looks at several times a second, over a connection of the driver's own.

A look through the pool costs an idle process four times as much, and the engine's own connection may be busy, or waiting for a lock,
when the others must be seen.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from headrace.engine.store.postgres_link import COMMAND_SECONDS, GONE, Address, outage


class Glance:
    """Opened when first needed, and again after it was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Any = None
        self._turn = asyncio.Lock()

    async def at(self, query: str) -> Any:
        """The row that the query gives; asked again when the connection was lost. Raises StoreUnavailable."""
        async with self._turn:
            try:
                return await self._row(query)
            except GONE:
                try:
                    return await self._row(query)
                except GONE as error:
                    raise self._address.unavailable(error) from error
            except asyncpg.PostgresError as error:
                if not outage(error):
                    raise  # a fault of ours, not of the server
                raise self._address.unavailable(error) from error

    async def close(self) -> None:
        async with self._turn:
            self._drop()

    async def _row(self, query: str) -> Any:
        if self._connection is None:
            self._connection = await self._address.connect("headrace glance", patience=COMMAND_SECONDS)
        try:
            return await self._connection.fetchrow(query)
        except BaseException as error:
            if not isinstance(error, asyncpg.PostgresError) or isinstance(error, GONE):
                self._drop()  # lost, or left in the middle of a query
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
