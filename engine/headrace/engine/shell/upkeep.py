"""What an engine does for the database beside deciding: it notes which workers live, makes room for the weeks to come, and
removes what has been kept long enough. Every engine does it; the store bears that several do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headrace.engine.ports.store import Store, StoreLost, StoreUnavailable
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.roster import seen

_logger = logging.getLogger(__name__)

DAY = 86_400.0
ROSTER_SECONDS = 2.0
EXPIRY_SECONDS = 60.0
EXPIRED_AT_ONCE = 100
SIGNAL_SECONDS = 5.0
SIGNALS_AT_ONCE = 100


class Upkeep:
    """`retention`: seconds that runs are kept after their end; None: for ever."""

    def __init__(self, store: Store, fleet: Fleet, clock: Clock, retention: float | None) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._retention = retention
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._every(ROSTER_SECONDS, self._note_workers), name="headrace-roster"),
            asyncio.create_task(self._every(DAY, self._tend), name="headrace-upkeep"),
            asyncio.create_task(self._every(SIGNAL_SECONDS, self._deliver), name="headrace-signals"),
        ]
        if self._retention is not None:
            self._tasks.append(
                asyncio.create_task(self._every(EXPIRY_SECONDS, self._expire), name="headrace-expiry")
            )

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreLost:
                return  # the turns end the engine
            except StoreUnavailable as problem:
                _logger.info("put off: %s", problem)
            except Exception:
                _logger.exception("upkeep of the database failed; runs are not touched by it")
            await asyncio.sleep(seconds)

    async def _note_workers(self) -> None:
        workers = seen(self._fleet, self._clock.steady(), self._clock.now())
        if workers:
            await self._store.saw_workers(workers)

    async def _deliver(self) -> None:
        """Signals whose sender ended between storing and delivering them."""
        for signal in await self._store.undelivered(self._clock.now() - SIGNAL_SECONDS, SIGNALS_AT_ONCE):
            await self._store.deliver(signal)

    async def _tend(self) -> None:
        await self._store.tend(None if self._retention is None else self._clock.now() - self._retention)

    async def _expire(self) -> None:
        if self._retention is None:
            return
        before = self._clock.now() - self._retention
        more = True
        while more:
            more = await self._store.expire(before, EXPIRED_AT_ONCE) == EXPIRED_AT_ONCE
