"""The lease of a live engine in PostgreSQL, renewed by a thread of its own over a connection of its own.

An event loop that computes for seconds does not lose it. A process that is stopped does, for its threads stop with it: that is
the point of a lease beside the session lock, which the kernel keeps for a stopped process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any

from headrace.engine.store import ownership
from headrace.engine.store.postgres_link import Address

log = logging.getLogger("headrace.store")
PATIENCE = 2.5
"""Seconds for one renewal: four may fail before the lease is over."""


class Lease:
    """Renews from `start` to `stop`."""

    def __init__(self, address: Address, engine: str) -> None:
        self._address = address
        self._engine = engine
        self._over = threading.Event()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._work, name="headrace-lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Returns when the last renewal is over: after it nothing prolongs the lease."""
        self._over.set()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            while not self._over.wait(ownership.RENEW_SECONDS):
                runner.run(self._renew())
            runner.run(self._close())

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._address.connect(f"headrace lease {self._engine}")
                await self._connection.execute(ownership.RENEW, self._engine)
        except Exception as error:  # whatever it is: the next time it may do, until then the lease runs
            log.warning("The lease of engine %s could not be renewed: %s", self._engine, error)
            await self._close()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)
