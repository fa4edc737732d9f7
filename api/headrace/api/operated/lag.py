"""How late the event loop of a process is: the first sign of a process that has too much to do, or of a call that blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.engine.shell.figures import Histogram

EVERY = 0.5
"""Seconds between two looks."""


class Lag:
    """Measured for as long as `measured` is open."""

    def __init__(self) -> None:
        self.late = Histogram()

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[Lag]:
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look(due: float) -> None:
            nonlocal timer
            now = loop.time()
            self.late.observe(max(0.0, now - due))
            timer = loop.call_at(now + EVERY, look, now + EVERY)

        timer = loop.call_later(EVERY, look, loop.time() + EVERY)
        try:
            yield self
        finally:
            timer.cancel()
