"""A run's changes as they are committed: from the engine in this process, or from history when another one owns it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from headrace.engine.core.decision import Decision
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Cache, Commit, Word
from headrace.engine.ports.store import Created, RunRow, Store
from headrace.engine.shell import history
from headrace.engine.shell.views import Change, Changes

EVERY = 0.1
"""Seconds between looks at another process's history."""

CHECK_EVERY = 2.0
"""Seconds between looks at history while live events come: one may have been lost on its way to the cache."""

UNWATCHED = 256
"""Runs that have ended before anybody watched them, and whose story is still kept."""

OWNER_EVERY = 10
"""So many looks, and then one whether there still is another process."""


class NobodyDecides(Exception):
    """The run has not ended and no engine lives that would go on with it."""


class _Watch:
    """What one follower has yet to see."""

    __slots__ = ("_decisions", "_fault", "_waiter")

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._decisions = list(decisions)
        self._fault: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, decision: Decision) -> None:
        self._decisions.append(decision)
        self._wake()

    def broke(self, fault: BaseException) -> None:
        self._fault = fault
        self._wake()

    @property
    def behind(self) -> bool:
        """Whether there is something to see."""
        return bool(self._decisions)

    async def next(self) -> list[Decision]:
        """All there is, at least one. Raises the engine's fault."""
        if not self._decisions and self._fault is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._decisions and self._fault is not None:
            raise self._fault
        taken, self._decisions = self._decisions, []
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Kept:
    """What was decided about a run that is about to be watched. `state`: its own before that, or a little later."""

    __slots__ = ("decisions", "state")

    def __init__(self) -> None:
        self.state = RunState.QUEUED
        self.decisions: list[Decision] = []


class Watches:
    """Hands each commit to those who watch its run. What is decided about a run that this process has just started, or
    given a command, is kept until it is watched, so that a watcher misses nothing however fast the engine is."""

    def __init__(self) -> None:
        self._watched: dict[int, list[_Watch]] = {}
        self._kept: dict[int, _Kept] = {}
        self._over: deque[int] = deque()  # of those kept, the runs that have ended
        self._ends: dict[int, list[asyncio.Future[RunState]]] = {}
        self._starting = 0
        self.aside: dict[int, Exception] = {}
        """Runs that the engine decides no more about, and why."""

    def set_aside(self, run: int, fault: Exception) -> None:
        """The engine decides no more about this run; whoever follows it, now or later, gets the fault."""
        self.aside[run] = fault
        for watch in self._watched.get(run, ()):
            watch.broke(fault)
        for end in self._ends.get(run, ()):
            if not end.done():
                end.set_exception(fault)

    def heard(self, run: int, decision: Decision) -> None:
        """The engine's listener."""
        for watch in self._watched.get(run, ()):
            watch.put(decision)
        kept = self._kept.get(run)
        if kept is None and self._starting and run not in self._watched:
            kept = self._kept[run] = _Kept()
        if kept is not None:
            kept.decisions.append(decision)
        change = decision.run
        if change is not None and change.state.final:
            self._ended(run, change.state)

    def _ended(self, run: int, state: RunState) -> None:
        for end in self._ends.pop(run, ()):
            if not end.done():
                end.set_result(state)
        if run in self._kept:
            self._over.append(run)
            if len(self._over) > UNWATCHED:
                self._kept.pop(self._over.popleft(), None)

    def broke(self, engine: asyncio.Task[None]) -> None:
        """The engine ended before the runs did; whoever follows gets its fault."""
        fault = None if engine.cancelled() else engine.exception()
        for watches in self._watched.values():
            for watch in watches:
                watch.broke(fault or RuntimeError("the engine has stopped"))
        for ends in self._ends.values():
            for end in ends:
                if not end.done():
                    end.set_exception(fault or RuntimeError("the engine has stopped"))

    async def starting(self, create: Awaitable[Created]) -> Created:
        """Await the creation of a run, keeping what is decided about it from its first moment on."""
        self._starting += 1
        try:
            created = await create
            if not created.existed:
                self._kept.setdefault(created.no, _Kept())
            return created
        finally:
            self._starting -= 1

    async def keep(self, run: int, latest: Callable[[], Awaitable[RunState]]) -> None:
        """A command is about to be given: whoever watches the run after that sees what came of it. `latest` reads the run's
        state."""
        if run not in self._watched and run not in self._kept:
            kept = self._kept[run] = _Kept()
            kept.state = await latest()

    async def end(self, run: int, latest: Callable[[], Awaitable[RunState]]) -> RunState:
        """The run's final state, once it has one; `latest` reads what it is. Raises the engine's fault when it breaks before."""
        kept = self._kept.pop(run, None)
        if kept is not None:
            moves = [decision.run.state for decision in kept.decisions if decision.run is not None]
            if (state := [kept.state, *moves][-1]).final:
                return state
        if run in self.aside:
            raise self.aside[run]
        end: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(run, []).append(end)
        try:
            if kept is None and (state := await latest()).final:
                return state
            return await end
        finally:
            ends = self._ends.get(run)
            if ends is not None:
                ends.remove(end)
                if not ends:
                    del self._ends[run]

    async def follow(
        self, plan: Plan, run: int, latest: Callable[[], Awaitable[RunState]]
    ) -> AsyncIterator[Change]:
        """Until the run is final; `latest` reads its state. Raises the engine's fault when it breaks before."""
        kept = self._kept.pop(run, None)
        watch = _Watch(() if kept is None else kept.decisions)
        if run in self.aside:
            watch.broke(self.aside[run])
        self._watched.setdefault(run, []).append(watch)
        # Read only now that nothing can be missed. What was kept, be it nothing yet, has its own beginning.
        changes = Changes(plan, await latest() if kept is None else kept.state)
        try:
            while watch.behind or not changes.final:
                for decision in await watch.next():
                    for change in changes.decided(decision):
                        yield change
        finally:
            self._watched[run].remove(watch)
            if not self._watched[run]:
                del self._watched[run]


class _Nothing:
    """History without its payloads."""

    def output(self, digest: bytes) -> bytes | None:
        return None

    def artifact(self, digest: str) -> Artifact | None:
        return None


async def follow_history(store: Store, plan: Plan, row: RunRow, part: int | None) -> AsyncIterator[Change]:
    """What happened since `row` was read, until the run is final, by looking at what its owner commits. Raises NobodyDecides once `part` has had no owner for
    two looks in a row: one may follow upon another. `part` None: wait for owners that come and go."""
    changes, seq = Changes(plan, RunState(row.state)), row.seq
    looks = orphaned = 0
    while True:
        if part is not None and looks % OWNER_EVERY == 0:
            orphaned = 0 if await store.has_owner(part) else orphaned + 1
        looks += 1
        seq, found = await _recorded(store, row.no, seq, changes)
        for change in found:
            yield change
        if changes.final:
            return
        if orphaned > 1:
            raise NobodyDecides(
                f"No engine lives here, so run {row.id} stands still. headrace run --resume goes on with it."
            )
        await asyncio.sleep(EVERY)


async def follow_words(store: Store, cache: Cache, plan: Plan, row: RunRow) -> AsyncIterator[Change]:
    """What happened since `row` was read, until the run is final, by what the cache is told of its commits. History fills every gap, and is all there is while
    the cache is degraded: each change comes once, in order, whatever becomes of the cache."""
    async with cache.follow(row.id) as feed:
        changes = Changes(plan, RunState(row.state))
        seq, found = await _recorded(store, row.no, row.seq, changes)  # up to now: the feed has begun
        for change in found:
            yield change
        while not changes.final:
            word = await feed.next(CHECK_EVERY if feed.live else EVERY)
            commits = _next_commits(word, seq)
            if commits is None:
                seq, found = await _recorded(store, row.no, seq, changes)
                for change in found:
                    yield change
                continue
            for commit in commits:
                seq = commit.seq
                for change in changes.heard(commit.moves):
                    yield change


def _next_commits(word: Word | None, seq: int) -> list[Commit] | None:
    """Of a word, what comes after the history row `seq`. None: the word does not say all of it."""
    if word is None:
        return None
    if word.status.seq <= seq:
        return []
    new = [commit for commit in word.commits or () if commit.seq > seq]
    return new if [commit.seq for commit in new] == list(range(seq + 1, word.status.seq + 1)) else None


async def _recorded(store: Store, run: int, seq: int, changes: Changes) -> tuple[int, list[Change]]:
    """What history says after the row `seq`, and how far it goes now."""
    found: list[Change] = []
    for entry in await store.history(run, after=seq):
        seq = entry.seq
        found += changes.recorded(history.decode(entry.body, _Nothing()))
    return seq, found
