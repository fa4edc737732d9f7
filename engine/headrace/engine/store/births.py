"""Runs that begin: all that are asked for before the writer comes to them go into the same two statements.

Two hundred runs triggered at once cost two statements and one flush to the disk, not four hundred statements that each hand the
interpreter to whoever waits for it.
"""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import NamedTuple

from headrace.engine.ports.store import NewRun, StoreUnavailable
from headrace.engine.store import sqlite_batch
from headrace.engine.store.lane import Lane
from headrace.engine.store.writer import Writer

FEW = 20
"""So many runs are begun on the caller's own thread, where that is allowed (`writer`)."""


class _Birth(NamedTuple):
    """A run on its way, and who waits for its number."""

    run: NewRun
    number: asyncio.Future[int | None]


class Births:
    """Begins runs that claim no unique key but their id. Callers may be on several event loops."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = Lock()
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Birth]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def begin(self, run: NewRun) -> int | None:
        """The number of the run, with its `start` command posted; None when its id exists. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        birth = _Birth(run, loop.create_future())
        with self._lock:
            together = self._waiting.get(loop)
            if together is not None:
                together.append(birth)
            else:
                together = self._waiting[loop] = [birth]
                writing = loop.create_task(self._write(loop, together))
                self._writing.add(writing)
                writing.add_done_callback(self._writing.discard)
        return await birth.number

    async def _write(self, loop: asyncio.AbstractEventLoop, together: list[_Birth]) -> None:
        def write(lane: Lane) -> dict[str, int]:
            with self._lock:  # from here on nobody joins
                if self._waiting.get(loop) is together:
                    del self._waiting[loop]
            return sqlite_batch.begin_runs(lane.raw, [birth.run for birth in together])

        try:
            made = await self._writer.do(write, small=len(together) <= FEW)
        except Exception as error:
            with self._lock:
                if self._waiting.get(loop) is together:
                    del self._waiting[loop]
            await self._failed(together, error)
        else:
            for birth in together:
                if not birth.number.done():
                    birth.number.set_result(made.get(birth.run.id))

    async def _failed(self, together: list[_Birth], error: Exception) -> None:
        """One of them cannot be written, say for a text that is none: each for itself, so that the others are."""
        for birth in together:
            if birth.number.done():
                continue
            if len(together) == 1 or isinstance(error, StoreUnavailable):
                birth.number.set_exception(error)
                continue
            await self._write_alone(birth)

    async def _write_alone(self, birth: _Birth) -> None:
        try:
            made = await self._writer.do(lambda lane: sqlite_batch.begin_runs(lane.raw, [birth.run]))
        except Exception as error:
            if not birth.number.done():
                birth.number.set_exception(error)
        else:
            if not birth.number.done():
                birth.number.set_result(made.get(birth.run.id))
