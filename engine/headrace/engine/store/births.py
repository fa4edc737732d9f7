"""Runs that begin: all that are asked for before the writer comes to them go into the same two statements.

Two hundred runs triggered at once cost two statements and one flush to the disk, not four hundred statements that each hand the
interpreter to whoever waits for it.
"""

from __future__ import annotations

import asyncio
from threading import Lock

from headrace.engine.ports.store import NewRun, StoreUnavailable
from headrace.engine.store import sqlite_batch
from headrace.engine.store.lane import Lane
from headrace.engine.store.writer import Writer


class _Together:
    """Runs on their way to the writer. Closed once it has come to them."""

    def __init__(self) -> None:
        self.runs: list[NewRun] = []
        self.closed = False
        self.made: asyncio.Future[dict[str, int]] | None = None


class Births:
    """Begins runs that claim no unique key but their id. Used on event loops; a group belongs to one of them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = Lock()
        self._waiting: dict[asyncio.AbstractEventLoop, _Together] = {}

    async def begin(self, run: NewRun) -> int | None:
        """The number of the run, with its `start` command posted; None when its id exists. Raises StoreUnavailable."""
        together = self._join(run)
        assert together.made is not None
        try:
            made = await asyncio.shield(together.made)
        except StoreUnavailable:
            raise
        except Exception:
            if len(together.runs) == 1:
                raise
            # One of them cannot be written, say for a text that is none: each for itself, so that the others are.
            made = await self._writer.do(lambda lane: sqlite_batch.begin_runs(lane.raw, [run]))
        return made.get(run.id)

    def _join(self, run: NewRun) -> _Together:
        loop = asyncio.get_running_loop()
        with self._lock:
            together = self._waiting.get(loop)
            if together is not None and not together.closed:
                together.runs.append(run)
                return together
            together = self._waiting[loop] = _Together()
            together.runs.append(run)
        opened = together

        def write(lane: Lane) -> dict[str, int]:
            with self._lock:
                opened.closed = True
                if self._waiting.get(loop) is opened:
                    del self._waiting[loop]
            return sqlite_batch.begin_runs(lane.raw, opened.runs)

        together.made = loop.create_task(self._writer.do(write))
        return together
