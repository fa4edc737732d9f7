"""A bell: wakes the one coroutine that waits for messages."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from threading import get_ident


class Bell:
    """Wakes one waiting coroutine; `ring` is safe from any thread. A ring before the wait is not lost."""

    __slots__ = ("_deadline", "_loop", "_rung", "_thread", "_timer", "_timer_due", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._deadline = math.inf
        self._timer: asyncio.Handle | None = None  # a plain one from uvloop when the moment is past already
        self._timer_due = math.inf

    def ring(self) -> None:
        self._rung = True
        if self._waiter is None:
            return
        if get_ident() == self._thread:
            self._release()
        elif self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                self._loop.call_soon_threadsafe(self._release)

    def clear(self) -> None:
        self._rung = False

    async def wait(self, timeout: float | None) -> None:
        """Return when the bell rings, or after `timeout` seconds."""
        if self._rung:
            return
        loop = asyncio.get_running_loop()
        self._loop, self._thread = loop, get_ident()
        self._waiter = waiter = loop.create_future()
        if timeout is not None:
            self._until(loop, loop.time() + timeout)
        try:
            # another thread sets the flag before it looks for a waiter: one of the two sees the other
            if not self._rung:
                await waiter
        finally:
            self._waiter = None
            self._deadline = math.inf

    def _until(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Ring at the deadline. A timer that is due earlier stays, and looks again then: most waits end long before, and a
        timer made and cancelled for each costs more than the wait."""
        self._deadline = deadline
        timer = self._timer
        if timer is None or self._timer_due > deadline:
            if timer is not None:
                timer.cancel()
            self._timer_due = deadline
            self._timer = loop.call_at(deadline, self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._deadline <= loop.time():
            self._release()
        elif self._waiter is not None and self._deadline < math.inf:
            self._until(loop, self._deadline)

    def _release(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
