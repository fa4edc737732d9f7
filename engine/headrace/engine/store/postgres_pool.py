"""The connections to PostgreSQL that callers share, all of them known: closing ends every one, whoever has it at the moment.

SQLAlchemy's pool knows only what was given back to it. A call that is cancelled while it gets a connection or gives one back,
or that is still under way when the pool is disposed of, would leave a connection to nobody.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store.postgres_link import KEEPALIVE, Address

POOL = 5
OVERFLOW = 15
IDLE_MILLISECONDS = "5000"
"""A process that stops in the middle of a transaction holds inbox locks no longer than this."""


class Pool:
    """`engine` is what statements are run with; after `close` it raises StoreUnavailable."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._opened: set[Any] = set()
        self.closed = False
        settings = {
            "application_name": "headrace",
            "idle_in_transaction_session_timeout": IDLE_MILLISECONDS,
            "default_transaction_isolation": "read committed",
            **KEEPALIVE,
        }
        self.engine: AsyncEngine = create_async_engine(
            address.pooled,
            pool_size=POOL,
            max_overflow=OVERFLOW,
            connect_args={"server_settings": settings, "timeout": 10, "async_creator_fn": self._open},
        )

    async def close(self) -> None:
        """Idle connections say goodbye; one that is in use is cut off under its user."""
        self.closed = True
        try:
            await self.engine.dispose()
        finally:
            for connection in self._opened:
                if not connection.is_closed():
                    connection.terminate()
            self._opened.clear()
            await asyncio.sleep(0)  # in which the transports close their sockets

    async def _open(self, *args: Any, **named: Any) -> Any:
        self._require_open()
        connection = await asyncpg.connect(*args, **named)
        if self.closed:
            connection.terminate()
            self._require_open()
        self._opened = {each for each in self._opened if not each.is_closed()}
        self._opened.add(connection)
        return connection

    def _require_open(self) -> None:
        if self.closed:
            raise StoreUnavailable(f"The connection to {self._address.shown} was closed.")
