"""A bell: wakes the one coroutine that waits for messages."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import get_ident


class Bell:
    """Wakes one waiting coroutine; `ring` is safe from any thread. A ring before the wait is not lost."""

    __slots__ = ("_loop", "_rung", "_thread", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

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
        timer = None if timeout is None else loop.call_later(timeout, self._release)
        try:
            # another thread sets the flag before it looks for a waiter: one of the two sees the other
            if not self._rung:
                await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _release(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
