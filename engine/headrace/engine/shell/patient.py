"""A store that is waited for: what an engine reads in the middle of a turn it must get, or the turn is lost.

While the store is away nothing is decided, committed, sent or timed out; reports wait in the broker. When it is back,
the engine goes on where it stood.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from headrace.engine.ports.ownership import Survey
from headrace.engine.ports.pools import PoolRow
from headrace.engine.ports.store import (
    Batch,
    InboxRow,
    Loaded,
    OutcomeUnknown,
    RunRow,
    Store,
    StoredValue,
    StoreLost,
    StoreUnavailable,
    TaskRow,
    VersionRow,
)
from headrace.engine.ports.waits import SignalRow

_P = ParamSpec("_P")
_R = TypeVar("_R")
_logger = logging.getLogger(__name__)

FIRST_WAIT = 0.05
LONGEST_WAIT = 2.0


class PartLost(Exception):
    """Another engine owns the part now: nothing of the batch was written, and nothing more of it may be sent."""


class PatientStore:
    """The engine's view of a store: calls are repeated, with growing pauses, while it cannot be used.

    A store that is lost for good is not waited for: StoreLost passes through and ends the engine.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = asyncio.Event()
        self.trouble: str | None = None
        """Why the store cannot be used now; None while it can."""

    def give_up(self) -> None:
        """Wait no longer: the engine stops. Calls that would wait raise StoreUnavailable."""
        self._stopped.set()

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        """Commit, finding out what happened when the answer is lost. Answers with the parts that belong to another engine by
        now: if there are any, nothing was written. Raises StoreUnavailable, and whatever else says that the store will never take
        what was given; nothing was written then."""
        while True:
            try:
                return await self._patiently(self._store.commit, batches)
            except OutcomeUnknown:
                _logger.warning("the outcome of a commit is unknown; looking it up")
                if await self._patiently(self._store.settle, batches):
                    return []

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        return await self._patiently(self._store.values, keys)

    async def task_rows(self, run: int) -> list[TaskRow]:
        return await self._patiently(self._store.task_rows, run)

    async def cached(
        self, project: str, keys: Sequence[str], now: float
    ) -> dict[str, tuple[bytes | None, bytes | None]]:
        return await self._patiently(self._store.cached, project, keys, now)

    async def live_runs(self, part: int) -> list[int]:
        return await self._patiently(self._store.live_runs, part)

    async def load(self, runs: Sequence[int]) -> list[Loaded]:
        return await self._patiently(self._store.load, runs)

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]:
        return await self._patiently(self._store.inbox, part, after, limit)

    async def inboxes(self, after: Mapping[int, int], limit: int) -> list[InboxRow]:
        return await self._patiently(self._store.inboxes, after, limit)

    async def changed(self) -> Any:
        return await self._patiently(self._store.changed)

    async def version(self, project: str, name: str, version: int | None = None) -> VersionRow | None:
        return await self._patiently(self._store.version, project, name, version)

    async def plan(self, plan: str) -> bytes | None:
        return await self._patiently(self._store.plan, plan)

    async def survey(self) -> Survey:
        return await self._patiently(self._store.survey)

    async def run(self, no: int) -> RunRow | None:
        return await self._patiently(self._store.run, no)

    async def signals(
        self, project: str, names: Sequence[str], since: float, after: int, limit: int
    ) -> list[SignalRow]:
        return await self._patiently(self._store.signals, project, names, since, after=after, limit=limit)

    async def pools(self) -> list[PoolRow]:
        """Of all projects."""
        return await self._patiently(self._store.pools, None)

    async def existing(self, runs: Sequence[int]) -> list[int]:
        return await self._patiently(self._store.existing, runs)

    async def children(self, run: int) -> list[RunRow]:
        return await self._patiently(self._store.children, run)

    async def _patiently(self, call: Callable[_P, Awaitable[_R]], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        wait = FIRST_WAIT
        while True:
            try:
                answer = await call(*args, **kwargs)
            except StoreLost:
                raise
            except StoreUnavailable as problem:
                if self.trouble is None:
                    _logger.error("the store cannot be used, waiting for it: %s", problem)
                self.trouble = str(problem)
                try:
                    async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):
                        await self._stopped.wait()
                except TimeoutError:
                    wait = min(wait * 2, LONGEST_WAIT)
                else:
                    raise
            else:
                if self.trouble is not None:
                    _logger.warning("the store can be used again")
                    self.trouble = None
                return answer
