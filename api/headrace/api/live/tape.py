"""What was told of late, once for all who follow it. No Litestar here.

A reader is a number: how far it has got. It takes what lies behind that; when the tape no longer has all of it, the reader
looks elsewhere. So a slow client costs no memory but what its connection holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar

ROOM = 1024 * 1024
"""Bytes of blocks that a tape keeps; always the newest block, however large."""
BLOCKS = 10_000
SENDING = 100e-6
"""What sending to one client takes of the loop, in seconds, about."""
SHARE = 4
"""The clients of one tape may take one of so many seconds."""
AT_ONCE = 64 * 1024
"""Bytes that a reader takes at once, or one block."""


class Sized(Protocol):
    @property
    def no(self) -> int: ...

    @property
    def size(self) -> int: ...


class Block(NamedTuple):
    """Frames that belong together. `plain`: for those who may not see what tasks have said; mostly the same bytes."""

    no: int
    plain: bytes
    full: bytes

    @property
    def size(self) -> int:
        return len(self.full) + (0 if self.plain is self.full else len(self.plain))


B = TypeVar("B", bound=Sized)


class Tape(Generic[B]):
    """Blocks without a gap in their numbers. `end`: the number of the last one, or of what came before the first."""

    def __init__(self, end: int = 0, room: int = ROOM) -> None:
        self.end = end
        self._room = room
        self._blocks: deque[B] = deque()
        self._size = 0
        self._waking: dict[object, Callable[[], None]] = {}
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def begin(self) -> int:
        """Readers who have got so far, or farther, find all that they have yet to see."""
        return self.end - len(self._blocks)

    def add(self, block: B) -> None:
        """The next block. Everybody who waits is woken."""
        assert block.no == self.end + 1
        self.end = block.no
        self._blocks.append(block)
        self._size += block.size
        while len(self._blocks) > 1 and (self._size > self._room or len(self._blocks) > BLOCKS):
            self._size -= self._blocks.popleft().size
        self.wake()

    def skip(self, end: int) -> None:
        """The blocks up to that number will never be here. Nothing of before can be read from the tape any longer."""
        self._blocks.clear()
        self._size = 0
        self.end = end

    def since(self, no: int) -> list[B] | None:
        """Some of the blocks behind that number, in order; none when there is nothing new. None: they are not all here."""
        skip = no - self.begin
        if skip < 0:
            return None
        taken: list[B] = []
        size = 0
        for block in islice(self._blocks, skip, None):
            size += block.size
            if taken and size > AT_ONCE:
                break
            taken.append(block)
        return taken

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Have `told` called when there is something new. What this gives ends the watching."""
        place = object()
        self._waking[place] = told
        return lambda: self._waking.pop(place, None) and None

    def wake(self) -> None:
        """Something is new, be it no block. Where very many wait they are told of several things at once, so that telling them
        leaves the process time for others."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._due:
            self._ring()
        elif self._timer is None:
            self._timer = loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._due = asyncio.get_running_loop().time() + len(self._waking) * SENDING * SHARE
        for told in list(self._waking.values()):
            told()


class Reader:
    """One client's wait. `over`: it is to end, because the client has gone or the server goes."""

    __slots__ = ("_waiter", "_woken", "over")

    def __init__(self) -> None:
        self.over = False
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        self.over = True
        self.wake()

    async def pause(self, seconds: float) -> bool:
        """Until something was new since the last pause, or the time is up. Whether something was."""
        if not self._woken:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, _time_up, self._waiter)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        woken, self._woken = self._woken, False
        return woken


def _time_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
