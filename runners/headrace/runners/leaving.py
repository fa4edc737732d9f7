"""How a worker leaves (W9): what has not started is handed back, what runs has a while to end, what is left is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from headrace.runners.attempt import RUNNING
from headrace.runners.line import Line
from headrace.runners.reporting import Reporter
from headrace.runners.sentry import KILL_MARGIN, Sentry


class Leaving:
    """Of one worker. `collect` takes what has ended; `collected` is set whenever something was."""

    def __init__(
        self,
        line: Line,
        reporter: Reporter,
        sentry: Sentry,
        collect: Callable[[], None],
        collected: asyncio.Event,
    ) -> None:
        self._line, self._reporter, self._sentry = line, reporter, sentry
        self._held = reporter.held
        self._collect, self._collected = collect, collected
        self._hurried = False

    async def go(self, grace: float | None) -> None:
        """Returns when nothing runs any more and all of it is reported, as far as the broker takes it. `grace`: seconds; None: however
        long what runs takes."""
        self._line.open = False
        for attempt in list(self._held.values()):
            if self._line.withdraw(attempt):
                self._reporter.hand_back(attempt)
        self._reporter.outbox.flush()
        await self._idle_within(grace, unless_hurried=True)
        for attempt in list(self._held.values()):
            if attempt.state == RUNNING:
                self._sentry.stop(attempt, "lost", min(attempt.dispatch.job.limits.grace, KILL_MARGIN))
        await self._idle_within(2 * KILL_MARGIN)
        for attempt in list(self._held.values()):
            if attempt.state == RUNNING:
                self._sentry.give_up(attempt)
        with suppress(TimeoutError):  # the broker is gone: what is left goes to disk, or the leases end
            async with asyncio.timeout(KILL_MARGIN):
                await self._settled()

    def hurry(self) -> None:
        """The grace is over."""
        self._hurried = True
        self._collected.set()

    async def _idle_within(self, seconds: float | None, unless_hurried: bool = False) -> None:
        """Until nothing runs, for at most that long; None: however long it takes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._line.running and not (self._hurried and unless_hurried):
                    self._collected.clear()
                    await self._collected.wait()
        self._collect()

    async def _settled(self) -> None:
        """Until every report is acknowledged."""
        self._reporter.outbox.flush()
        while self._held:
            self._reporter.acknowledged.clear()
            await self._reporter.acknowledged.wait()
