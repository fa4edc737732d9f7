"""What happens to one run, for all who follow it in this process. No Litestar here.

Everything rests on the rows of its history: a frame's id names the row and the place in it, so a client goes on exactly where
it stopped, at any process, whatever became of the cache. Words of the cache save the reading, and are used only where they
hold the next rows entirely and say nothing that only the row knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from headrace.api.live import words
from headrace.api.live.frames import PING, Place, frame, hello, rest
from headrace.api.live.scribe import FAILING, PAGE, Marks, Names, Scribe, Stand, stand_of
from headrace.api.live.tape import ROOM, Block, Reader, Tape
from headrace.engine.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from headrace.engine.ports.cache import Cache, Word
    from headrace.engine.ports.store import RunRow, Store
    from headrace.engine.shell.plans import Plans
    from headrace.runners.redaction import Redactor

SHORT = 500
"""A history of so many rows is read onto the tape from its beginning: those who come together share the reading."""
SOONEST, LATEST = 0.1, 1.0
"""Seconds between looks at the store while nobody tells what is committed; rarer while nothing happens."""
CHECK_EVERY = 2.0
"""The same while somebody tells: a word may be lost on its way."""
AGAIN_AFTER = 1.0
"""Seconds until the next look at a store that could not be used."""
PING_EVERY = 15.0
LONGEST = 3600.0
"""Seconds that a stream lasts; the client comes back with its id, and is asked again who it is."""
READ_BACK = 2_000
"""Rows that a client may fall behind what happens and still have them read for it; behind that they are left out, and it is told."""

_logger = logging.getLogger(__name__)


class RunTale:
    """Args:
    row: the run, read just now.
    redactor: takes secrets out of what tasks have said.
    room: bytes of the tape.
    read_back: see READ_BACK.
    """

    def __init__(
        self,
        store: Store,
        plans: Plans,
        cache: Cache,
        row: RunRow,
        redactor: Redactor,
        *,
        room: int = ROOM,
        read_back: int = READ_BACK,
    ) -> None:
        whole = row.seq <= SHORT
        self.tape: Tape[Block] = Tape(0 if whole else row.seq, room)
        self.fault: Exception | None = None
        self._store, self._cache = store, cache
        self._no, self._id = row.no, row.id
        self._names = Names(store, plans, row)
        self._redactor = redactor
        self._read_back = read_back
        self._marks = Marks(store, row.no)
        stand, generation = (Stand(), 1) if whole else (stand_of(row), row.generation)
        self._scribe = Scribe(row.id, self._names, redactor, stand, generation)

    @property
    def stand(self) -> Stand:
        """How the run stands at the end of the tape."""
        return self._scribe.stand

    # -- following ---------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Until cancelled, or broken: `fault` says by what."""
        try:
            async with self._cache.follow(self._id) as feed:
                pause = SOONEST
                look = True
                while True:
                    if look:
                        pause = SOONEST if await self._look() else min(pause * 1.5, LATEST)
                    word = await feed.next(CHECK_EVERY if feed.live else pause)
                    look = word is None or not self._heard(word)
        except Exception as fault:
            _logger.exception("run %s cannot be followed", self._id)
            self.fault = fault
            self.tape.wake()

    async def _look(self) -> bool:
        """Read on. Whether there was anything."""
        moved = False
        while True:
            try:
                rows = await self._store.history(self._no, self.tape.end, PAGE)
                for row in rows:
                    if row.seq != self.tape.end + 1:  # weeks of history that were dropped
                        self.tape.skip(row.seq - 1)
                    self.tape.add(await self._scribe.row(row))
                    moved = True
            except StoreUnavailable as problem:
                _logger.info("run %s is followed again when the store is back: %s", self._id, problem)
                await asyncio.sleep(AGAIN_AFTER)
                continue
            if len(rows) < PAGE:
                return moved

    def _heard(self, word: Word) -> bool:
        """Whether the word was all that is to be known."""
        status, end = word.status, self.tape.end
        if status.seq <= end:
            return True
        new = [commit for commit in word.commits or () if commit.seq > end]
        if [commit.seq for commit in new] != list(range(end + 1, status.seq + 1)):
            return False
        stand = self.stand
        if (status.generation, status.state, status.paused) != (
            self._scribe.generation,
            stand.state.word,
            stand.paused,
        ):
            return False
        if any(move.task is None or move.after in FAILING for commit in new for move in commit.moves):
            return False
        for commit in new:
            self.tape.add(self._scribe.heard(commit))
        return True

    # -- telling -----------------------------------------------------------------------------------------------------

    async def told(self, reader: Reader, place: Place, now: int, full: bool) -> AsyncGenerator[bytes, None]:
        """One client's stream from `place` on, until the run has ended and all of it was told.

        Args:
            reader: is woken, and told when to end.
            place: of which the client's last id speaks.
            now: how far the run's history went when the client came.
            full: whether it may see what tasks have said.
        """
        until = asyncio.get_running_loop().time() + LONGEST
        tape = self.tape
        done, skip = place.seq, place.moves
        live = False  # it has had all that was there when it came
        yield hello()
        if done > now:
            yield _gap(str(done), str(now), "ahead")
            done, skip = now, 0
        unwatch = tape.watch(reader.wake)
        try:
            while not reader.over and asyncio.get_running_loop().time() < until:
                if self.fault is not None:
                    yield broken(self.fault)
                    return
                blocks = tape.since(done) if done <= tape.end else []
                if blocks is None:
                    if live and tape.end - done > self._read_back:
                        yield _gap(str(done), str(tape.end), "slow")
                        done, skip = tape.end, 0
                        continue
                    async for block in self._back(done):
                        if block is None or block.no != done + 1:
                            end = tape.begin if block is None else block.no - 1
                            yield _gap(str(done), str(end), "expired")
                            done, skip = end, 0
                        if block is None:
                            break
                        done = block.no
                        if data := rest(block.full if full else block.plain, skip):
                            yield data
                        skip = 0
                        if reader.over:
                            return
                    continue
                live = live or done >= now
                if blocks:
                    data = b"".join([block.full if full else block.plain for block in blocks])
                    done = blocks[-1].no
                    data, skip = rest(data, skip), 0
                    if data:
                        yield data
                    continue
                if self.stand.final and done == tape.end >= now:
                    stand = self.stand
                    yield frame(
                        "end", words.encode(words.End(self._id, stand.word, stand.reason)), f"{done}.end"
                    )
                    return
                if not await reader.pause(PING_EVERY):
                    yield PING
        except StoreUnavailable as problem:
            _logger.info("a stream of run %s ends early: %s", self._id, problem)
        finally:
            unwatch()

    async def _back(self, done: int) -> AsyncGenerator[Block | None, None]:
        """The next rows, from the store. None: there are none."""
        rows = await self._store.history(self._no, done, PAGE)
        if not rows:
            yield None
            return
        stand = await self._marks.at(rows[0].seq - 1)
        scribe = Scribe(self._id, self._names, self._redactor, stand)
        for row in rows:
            yield await scribe.row(row)


def _gap(begin: str | None, end: str | None, why: str) -> bytes:
    return frame("gap", words.encode(words.Gap(begin, end, why)), end)


def broken(fault: Exception) -> bytes:
    """The last frame of a stream that cannot go on."""
    detail = "What happened cannot be read; the server's log says why."
    return frame("broken", words.encode(words.Broken(type(fault).__name__, detail)))
