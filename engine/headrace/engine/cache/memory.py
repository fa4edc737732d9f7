"""The cache in this process: the same promises as Redis, for those who share the event loop."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import msgspec

from headrace.engine.cache.buckets import Buckets
from headrace.engine.cache.feeds import Channels, Inlet
from headrace.engine.ports.cache import FILLED_SECONDS, LASTS_SECONDS, Degraded, Feed, Status, Word

MOST = 10_000
"""Statuses kept; the oldest go first."""


class MemoryCache:
    """`clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Status]] = OrderedDict()  # until when, and what
        self._runs, self._projects = Channels(), Channels()
        self._buckets = Buckets(clock)

    @property
    def degraded(self) -> Degraded | None:
        return None

    async def close(self) -> None:
        self._kept.clear()

    async def probe(self) -> Degraded | None:
        return None

    async def tell(self, words: Sequence[Word]) -> frozenset[str] | None:
        followed = set()
        for word in words:
            status = word.status
            kept = self._status(status.run)
            if kept is not None and (kept.epoch, kept.seq) >= (status.epoch, status.seq):
                continue
            self._keep(status, LASTS_SECONDS)
            for feed in self._runs.feeds(status.run):
                feed.put(word)
                followed.add(status.run)
            for feed in self._projects.feeds(status.project):
                feed.put(msgspec.structs.replace(word, commits=None))
        return frozenset(followed)

    async def forget(self, runs: Collection[str]) -> bool:
        for run in runs:
            self._kept.pop(run, None)
            for feed in self._runs.feeds(run):
                feed.look()
        return True

    async def fill(self, status: Status) -> None:
        if self._status(status.run) is None:
            self._keep(msgspec.structs.replace(status, epoch=0), FILLED_SECONDS)

    async def status(self, run: str) -> Status | None:
        return self._status(run)

    @asynccontextmanager
    async def follow(self, run: str) -> AsyncIterator[Feed]:
        async with _followed(self._runs, run) as feed:
            yield feed

    @asynccontextmanager
    async def follow_project(self, project: str) -> AsyncIterator[Feed]:
        async with _followed(self._projects, project) as feed:
            yield feed

    async def take(self, name: str, rate: float, burst: float, cost: float = 1.0) -> float:
        return self._buckets.take(name, rate, burst, cost)

    def _status(self, run: str) -> Status | None:
        until, status = self._kept.get(run, (0.0, None))
        return status if self._clock() < until else None

    def _keep(self, status: Status, seconds: float) -> None:
        self._kept[status.run] = (self._clock() + seconds, status)
        self._kept.move_to_end(status.run)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


@asynccontextmanager
async def _followed(channels: Channels, name: str) -> AsyncIterator[Feed]:
    feed = Inlet(live=True)
    channels.add(name, feed)
    try:
        yield feed
    finally:
        channels.remove(name, feed)
