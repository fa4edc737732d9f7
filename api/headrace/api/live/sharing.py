"""Who follows what in this process: one reading of each run and project, and how many may listen. No Litestar here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from headrace.api.live.logs import LogTale
from headrace.api.live.projects import ProjectTale
from headrace.api.live.runs import READ_BACK, RunTale
from headrace.api.live.tape import ROOM
from headrace.api.problems import Problem
from headrace.runners.redaction import Redactor

if TYPE_CHECKING:
    from headrace.engine.ports.artifacts import LogReader
    from headrace.engine.ports.cache import Cache
    from headrace.engine.ports.store import RunRow, Store
    from headrace.engine.shell.plans import Plans


@dataclass(frozen=True, slots=True)
class Bounds:
    """Streams of all clients together, and of one asker; seconds in which a client must take what is sent to it; bytes that a tape
    keeps, and rows that a slow client may lag behind it."""

    all: int = 4_000
    each: int = 200
    patience: float = 30.0
    room: int = ROOM
    read_back: int = READ_BACK


class _Tale(Protocol):
    async def follow(self) -> None: ...


T = TypeVar("T", bound=_Tale)


class _Shared:
    __slots__ = ("listeners", "tale", "task")

    def __init__(self, tale: _Tale, task: asyncio.Task[None]) -> None:
        self.tale, self.task = tale, task
        self.listeners = 0


class Live:
    """Of one office."""

    def __init__(
        self,
        store: Store,
        plans: Plans,
        cache: Cache,
        logs: LogReader,
        secrets: tuple[str, ...] = (),
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self._store, self._plans, self._cache, self._logs = store, plans, cache, logs
        self._redactor = Redactor(secrets)
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._seats: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """Clients that listen now."""
        return self._seats.total()

    @property
    def followed(self) -> int:
        """What is followed for them."""
        return len(self._shared)

    @contextmanager
    def seat(self, asker: str) -> Iterator[None]:
        """One stream's place for as long as it lasts. Raises Problem (429, 503)."""
        if self._seats[asker] >= self.bounds.each:
            raise Problem(
                429,
                "too_many_streams",
                f"You have {self.bounds.each} open streams; close one before you open another.",
                headers={"Retry-After": "10"},
            )
        if self.streams >= self.bounds.all:
            raise Problem(
                503,
                "too_many_streams",
                "This server has as many open streams as it can take; another may have room.",
                headers={"Retry-After": "10"},
            )
        self._seats[asker] += 1
        try:
            yield
        finally:
            self._seats[asker] -= 1
            if not self._seats[asker]:
                del self._seats[asker]

    @asynccontextmanager
    async def run(self, row: RunRow) -> AsyncIterator[RunTale]:
        """The tale of a run that was read just now."""

        made = partial(
            RunTale,
            self._store,
            self._plans,
            self._cache,
            row,
            self._redactor,
            room=self.bounds.room,
            read_back=self.bounds.read_back,
        )
        async with self._of(("run", row.id), made) as tale:
            yield tale

    @asynccontextmanager
    async def lines(self, row: RunRow) -> AsyncIterator[LogTale]:
        """What the tasks of a run write."""
        made = partial(LogTale, self._logs, row.id, self._redactor, room=self.bounds.room)
        async with self._of(("lines", row.id), made) as tale:
            yield tale

    @asynccontextmanager
    async def project(self, project: str) -> AsyncIterator[ProjectTale]:
        """How the runs of a project stand."""
        made = partial(ProjectTale, self._store, self._cache, project, room=self.bounds.room)
        async with self._of(("project", project), made) as tale:
            yield tale

    @asynccontextmanager
    async def _of(self, name: tuple[str, str], make: Callable[[], T]) -> AsyncIterator[T]:
        shared = self._shared.get(name)
        if shared is None or shared.task.done():
            tale = make()
            task = asyncio.create_task(tale.follow(), name=f"headrace-live-{name[0]}")
            shared = self._shared[name] = _Shared(tale, task)
        shared.listeners += 1
        told: T = shared.tale  # type: ignore[assignment]
        try:
            yield told
        finally:
            shared.listeners -= 1
            if not shared.listeners:
                if self._shared.get(name) is shared:
                    del self._shared[name]
                shared.task.cancel()
                await asyncio.gather(shared.task, return_exceptions=True)
