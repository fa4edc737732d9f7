"""The cache: answers status look-ups faster, fans live events out and counts rate limits. Nothing correct rests on it.

What it holds may be missing at any moment, and is at most `LASTS_SECONDS` old; who must know reads the store. Each method
answers within a fraction of a second whatever the server does, and none raises because of it: a cache that cannot be
used misses, tells nobody, counts within its process, and says so in `degraded`. One contract suite
(tests/contracts/test_cache.py) runs on the in-process adapter and on Redis.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

LASTS_SECONDS = 10.0
"""How long a status that an engine told is kept: the most that it can be out of date, whoever died before telling more."""
FILLED_SECONDS = 1.0
"""How long a status that was read from the store is kept."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands after one commit. (`epoch`, `seq`) orders what is told of one run: the owner's epoch of its part, the
    number of its last history row. Times are seconds since the epoch, UTC."""

    run: str  # its id
    no: int
    project: str
    workflow: str
    version: int
    state: str
    reason: str | None
    paused: bool
    generation: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    tasks: dict[str, int]  # how many task runs are in each state that occurs
    epoch: int
    seq: int


class Move(NamedTuple):
    """A move of the run (`task` None) or of one task run, named as written: `price[7]`. `at`: seconds since the epoch."""

    at: float
    task: str | None
    before: str
    after: str
    reason: str | None
    attempt: int


class Commit(NamedTuple):
    """What one row of a run's history says."""

    seq: int
    moves: list[Move]


class Word(msgspec.Struct, frozen=True):
    """What is told of a run. `commits`: the rows of history since the word before; None where they are to be read from the
    store, because nobody was known to listen or they were too many."""

    status: Status
    commits: list[Commit] | None = None


class Degraded(NamedTuple):
    """The server cannot be used: why, and since when (seconds since the epoch)."""

    why: str
    since: float


class CacheMisconfigured(Exception):
    """What the cache was told to connect to is no address: what is wrong and what to do."""


class Feed(Protocol):
    """Words as they are told."""

    @property
    def live(self) -> bool:
        """Whether words come at all now. While they do not, look at the store."""

    async def next(self, timeout: float) -> Word | None:
        """The next word. None: none came for `timeout` seconds, or some may have been missed; look at the store."""


class Cache(Protocol):
    @property
    def degraded(self) -> Degraded | None:
        """Why it is of no use at the moment, or None. It finds out by itself when that is over."""

    async def close(self) -> None: ...

    async def probe(self) -> Degraded | None:
        """Try the server, and answer with `degraded`."""

    # status ----------------------------------------------------------------------------------------------------
    async def tell(self, words: Sequence[Word]) -> frozenset[str] | None:
        """Keep what is newer than what is kept, and tell those who follow these runs and their projects. Answers with the runs
        that somebody follows; None: it is not known what became of the words."""

    async def forget(self, runs: Collection[str]) -> bool:
        """Keep nothing of these runs, and have those who follow them look at the store. Whether that was done."""

    async def fill(self, status: Status) -> None:
        """Keep a status that was read from the store, where nothing is kept."""

    async def status(self, run: str) -> Status | None:
        """By the run's id. None: not kept, or degraded."""

    # live events -----------------------------------------------------------------------------------------------
    def follow(self, run: str) -> AbstractAsyncContextManager[Feed]:
        """Words of one run. What is committed once this is entered with a live feed is told, or `next` says to look."""

    def follow_project(self, project: str) -> AbstractAsyncContextManager[Feed]:
        """Words of all runs of a project, without their commits."""

    # rate limits -----------------------------------------------------------------------------------------------
    async def take(self, name: str, rate: float, burst: float, cost: float = 1.0) -> float:
        """Take `cost` tokens from the bucket `name`, which gains `rate` a second up to `burst`. 0.0: taken; else nothing was
        taken, and so many seconds pass until it could be. While degraded each process has buckets of its own. Raises
        ValueError for a cost that no full bucket holds."""
