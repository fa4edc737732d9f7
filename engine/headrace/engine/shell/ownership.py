"""Which parts an engine owns: it is one of the live engines, takes its share of the parts, and gives up what is above it.

A task beside the turns looks at the store four times a second. It claims what is free, one part at a time; what the engine
must do about it (load a claimed part, forget a lost one) waits in `changes` until the engine stands between two batches.
docs/design/protocol.md, E1.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from headrace.engine.ports.ownership import Ownership, PartSeen, Survey
from headrace.engine.ports.store import Store, StoreLost, StoreUnavailable

_logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""So long a part that is given up waits for the acknowledgement of what was sent. What is still under way then is as safe as
after a crash: the epoch shuts it out."""


class Moves(NamedTuple):
    """What a look at the others asks for."""

    claim: list[PartSeen]
    excess: int  # how many parts to give up
    lost: list[int]  # parts that have another owner, or another epoch, by now
    stray: list[
        int
    ]  # parts that are its own, above its share, and that it knows nothing of: the answer to a claim was lost


def share_out(survey: Survey, engine: str, held: Mapping[int, int], leaving: frozenset[int]) -> Moves:
    """What `engine` should do: its share is ceil(parts / live engines).

    `held`: the parts it owns, with their epochs; `leaving`: those that it is giving up. Engines begin to look for free
    parts at different places, so that they seldom want the same one.
    """
    parts, live = survey.parts, survey.engines
    share = -(-len(parts) // len(live))
    lost = [seen.part for seen in parts if held.get(seen.part, seen.epoch) != seen.epoch]
    kept = len(held) - len(lost)
    first = live.index(engine) * share
    free = [
        seen
        for seen in (*parts[first:], *parts[:first])
        if (seen.owner not in live or seen.owner == engine)
        and seen.part not in held
        and seen.part not in leaving
    ]
    claim = free[: max(0, share - kept)]
    claimed = {seen.part for seen in claim}
    stray = [seen.part for seen in free if seen.owner == engine and seen.part not in claimed]
    return Moves(claim, max(0, kept - share), lost, stray)


class Taken(NamedTuple):
    """A part that was claimed, and its live runs as read thereafter."""

    owned: Ownership
    live: list[int]


class Changes(NamedTuple):
    """What the engine has to do between two batches. `lost` comes before `taken`: a part may be in both."""

    lost: list[int]
    unwanted: list[int]
    taken: list[Taken]


class Membership:
    """One engine's place among the live ones.

    Args:
        store: where the parts are.
        engine: the id, unique among the live engines.
        wake: called when `changes` has something.
        flush: waits until everything sent is acknowledged.
        every: seconds between two looks.
    """

    def __init__(
        self,
        store: Store,
        engine: str,
        wake: Callable[[], None],
        flush: Callable[[], Awaitable[None]],
        *,
        every: float = 0.25,
    ) -> None:
        self._store = store
        self._engine = engine
        self._wake = wake
        self._flush = flush
        self._every = every
        self._held: dict[int, int] = {}  # part → epoch, from the claim on until the engine has let go
        self._leaving: set[int] = set()  # let go by the engine, still to be released
        self._taken: list[Taken] = []
        self._lost: set[int] = set()
        self._unwanted: set[int] = set()
        self._look = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._looked = False
        self._settled = asyncio.Event()  # what the first look found is in the engine's hands
        self._blind = False  # the store could not be looked at, and that was said
        self._dead = False  # the others take it for dead, and that was said
        self.live: tuple[str, ...] = ()
        """The live engines, as of the last look."""

    async def join(self) -> None:
        """Become one of the live engines and begin to look. Raises StoreUnavailable."""
        await self._store.join(self._engine)
        self._looking = asyncio.create_task(self._keep_looking(), name="headrace-ownership")

    async def leave(self, grace: float) -> None:
        """Be an engine no longer. Everything is released, after what was sent is acknowledged or `grace` seconds."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        await self._flushed(grace)
        with suppress(StoreUnavailable):  # then the lease ends by itself
            for part in [*self._held, *self._leaving]:
                await self._store.release(part, self._engine)
            await self._store.resign(self._engine)
        self._held.clear()
        self._leaving.clear()

    async def settled(self) -> None:
        """Return when the first look is over, and the engine has what was free then and due to it."""
        await self._settled.wait()

    def broken(self) -> BaseException | None:
        """What ended the looking, if anything did."""
        looking = self._looking
        return looking.exception() if looking is not None and looking.done() else None

    # -- between two batches -------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """What has come up since the last call. The engine drops the parts that are lost, lets go of those that are unwanted
        (`let_go`) and loads those that were taken."""
        if self._looked:
            self._settled.set()
        if not (self._lost or self._unwanted or self._taken):
            return None
        unwanted = sorted(self._unwanted - self._lost)
        taken = [taken for taken in self._taken if taken.owned.part not in self._unwanted]
        found = Changes(sorted(self._lost), unwanted, taken)
        self._taken = []
        self._lost.clear()
        self._unwanted.clear()
        return found

    def let_go(self, part: int) -> None:
        """The engine holds nothing of the part any more: the next one may have it."""
        if self._held.pop(part, None) is not None:
            self._leaving.add(part)
            self._look.set()

    def lost(self, part: int, epoch: int) -> None:
        """The fence has shown that this epoch of the part is over. It may be ours again by now, with a higher one."""
        if self._held.get(part) == epoch:
            del self._held[part]

    # -- beside them ---------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._release()
                survey = await self._store.survey()
                self.live = survey.engines
                self._blind = False
                if self._engine in survey.engines:
                    self._dead = False
                    before = frozenset(self._held)
                    await self._follow(survey)
                    if before != self._held.keys():
                        self._say(survey)
                    if not self._looked:
                        self._looked = True
                        self._wake()
                else:
                    await self._rejoin()
            except StoreLost:
                self._wake()
                raise
            except StoreUnavailable as problem:
                if not self._blind:
                    _logger.warning("engine %s cannot see the other engines: %s", self._engine, problem)
                self._blind = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._look.wait()
            self._look.clear()

    async def _follow(self, survey: Survey) -> None:
        moves = share_out(survey, self._engine, self._held, frozenset(self._leaving))
        if moves.lost:
            self._gone(moves.lost)
        wanted = [part for part in self._held if part not in self._unwanted]
        above = moves.excess - len(self._unwanted)
        if above > 0:
            self._unwanted.update(wanted[-above:])  # those that came last
            self._wake()
        for seen in moves.claim:
            await self._claim(seen)
        for part in moves.stray:  # as long as it has a live owner nobody else takes it
            await self._store.release(part, self._engine)

    def _say(self, survey: Survey) -> None:
        others = ", ".join(name for name in survey.engines if name != self._engine)
        _logger.info(
            "engine %s owns %d of %d parts, beside %s",
            self._engine,
            len(self._held),
            len(survey.parts),
            others or "nobody",
        )

    async def _claim(self, seen: PartSeen) -> None:
        try:
            owned = await self._store.claim(seen.part, self._engine, seen.epoch)
        except StoreLost:
            raise
        except StoreUnavailable as problem:  # mostly: another engine was quicker
            _logger.info("part %d was not claimed: %s", seen.part, problem)
            return
        self._held[owned.part] = owned.epoch
        live = await self._live_runs(owned.part)
        self._taken.append(Taken(owned, live))
        self._wake()

    async def _live_runs(self, part: int) -> list[int]:
        """Of a part that is ours: it must be loaded whole, so this is repeated until it is answered."""
        while True:
            try:
                return await self._store.live_runs(part)
            except StoreLost:
                raise
            except StoreUnavailable as problem:
                _logger.warning("the runs of part %d cannot be read: %s", part, problem)
                await asyncio.sleep(self._every)

    async def _rejoin(self) -> None:
        """The session lock or the lease was lost, so everything else may be. The next look, a moment later, shows whether it is
        one of the live engines again."""
        if not self._dead:
            _logger.error("engine %s was taken for dead; it begins anew", self._engine)
        self._dead = True
        self._gone(list(self._held))
        await self._store.join(self._engine)

    def _gone(self, parts: list[int]) -> None:
        for part in parts:
            self._held.pop(part, None)
        self._taken = [taken for taken in self._taken if taken.owned.part not in parts]
        self._unwanted.difference_update(parts)
        self._lost.update(parts)
        self._wake()

    async def _release(self) -> None:
        leaving = list(self._leaving)
        if leaving:
            await self._flushed(FLUSH_SECONDS)
            for part in leaving:
                await self._store.release(part, self._engine)
                self._leaving.discard(part)

    async def _flushed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._flush()
        except TimeoutError:
            _logger.warning(
                "what was sent is not acknowledged after %.0f s; the part goes to the next engine", seconds
            )
