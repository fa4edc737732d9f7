"""How the runs of a project stand, for all who follow it in this process. No Litestar here.

What is told is the newest that is known of a run, not every step: a status may stand for several commits. A client that
comes, or comes back, lists the runs once it has been told `ready`; nothing that is committed after that is left out for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from headrace.api.live import words
from headrace.api.live.frames import PING, frame, hello
from headrace.api.live.runs import AGAIN_AFTER, CHECK_EVERY, LATEST, LONGEST, PING_EVERY, broken
from headrace.api.live.scribe import stand_of
from headrace.api.live.tape import ROOM, Block, Reader, Tape
from headrace.api.showing.documents import standing_word
from headrace.api.showing.times import instant
from headrace.engine.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from headrace.engine.ports.cache import Cache, Status
    from headrace.engine.ports.store import RunRow, Store

NEWEST = 200
"""Runs that are looked at in the store; older ones are known by what is told of them alone."""
KNOWN = 20_000

_logger = logging.getLogger(__name__)


class ProjectTale:
    """Frames of one project; their numbers mean nothing outside of this process."""

    def __init__(self, store: Store, cache: Cache, project: str, *, room: int = ROOM) -> None:
        self.tape: Tape[Block] = Tape(0, room)
        self.fault: Exception | None = None
        self._ready = False
        self._store, self._cache, self._project = store, cache, project
        self._told: OrderedDict[str, int] = OrderedDict()  # the run's row of history that was told last

    async def follow(self) -> None:
        """Until cancelled, or broken."""
        try:
            async with self._cache.follow_project(self._project) as feed:
                while True:
                    await self._look()
                    loop = asyncio.get_running_loop()
                    due = loop.time() + (CHECK_EVERY if feed.live else LATEST)
                    while (left := due - loop.time()) > 0:
                        word = await feed.next(left)
                        if word is None:
                            break
                        if self._new(word.status.run, word.status.seq):
                            self._say(_of_status(word.status))
        except Exception as fault:
            _logger.exception("project %s cannot be followed", self._project)
            self.fault = fault
            self.tape.wake()

    async def _look(self) -> None:
        try:
            rows = await self._store.list_runs(self._project, limit=NEWEST)
        except StoreUnavailable as problem:
            _logger.info("project %s is followed again when the store is back: %s", self._project, problem)
            await asyncio.sleep(AGAIN_AFTER)
            return
        for row in reversed(rows):
            if self._new(row.id, row.seq) and self._ready:
                self._say(_of_row(row))
        if not self._ready:
            self._ready = True
            self.tape.wake()

    def _new(self, run: str, seq: int) -> bool:
        known = self._told.get(run)
        if known is not None and known >= seq:
            return False
        self._told[run] = seq
        self._told.move_to_end(run)
        if len(self._told) > KNOWN:
            self._told.popitem(last=False)
        return True

    def _say(self, standing: words.Standing) -> None:
        said = frame("status", words.encode(standing))
        self.tape.add(Block(self.tape.end + 1, said, said))

    async def told(self, reader: Reader) -> AsyncGenerator[bytes, None]:
        """One client's stream, from now on."""
        until = asyncio.get_running_loop().time() + LONGEST
        tape = self.tape
        done: int | None = None
        yield hello()
        unwatch = tape.watch(reader.wake)
        try:
            while not reader.over and asyncio.get_running_loop().time() < until:
                if self.fault is not None:
                    yield broken(self.fault)
                    return
                if done is None and self._ready:
                    done = tape.end
                    yield frame("ready", b"{}")
                    continue
                blocks = [] if done is None else tape.since(done)
                if blocks is None:
                    done = tape.end
                    yield frame("gap", words.encode(words.Gap(None, None, "slow")))
                    continue
                if blocks:
                    done = blocks[-1].no
                    yield b"".join([block.full for block in blocks])
                    continue
                if not await reader.pause(PING_EVERY):
                    yield PING
        finally:
            unwatch()


def _of_status(status: Status) -> words.Standing:
    return words.Standing(
        status.run,
        status.workflow,
        status.version,
        standing_word(status),
        status.reason,
        status.generation,
        instant(status.created_at),
        instant(status.started_at),
        instant(status.finished_at),
        status.tasks,
    )


def _of_row(row: RunRow) -> words.Standing:
    return words.Standing(
        row.id,
        row.workflow,
        row.version,
        stand_of(row).word,
        row.reason,
        row.generation,
        instant(row.created_at),
        instant(row.started_at),
        instant(row.finished_at),
        None,
    )
