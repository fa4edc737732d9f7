"""The worker's one timer: every limit in time, the leases, and the beats that are due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from headrace.runners.heart import EVERY, Heart
from headrace.runners.reporting import Reporter
from headrace.runners.sentry import Sentry

_logger = logging.getLogger(__name__)


class Patrol:
    """Goes round when something is due, on the worker's loop.

    Args:
        sentry: knows the limits of an attempt.
        reporter: holds the attempts, and renews their leases.
        heart: knows when a beat is due.
        spawn: has a coroutine run beside.
        monotonic: seconds that only go on.
    """

    def __init__(
        self,
        sentry: Sentry,
        reporter: Reporter,
        heart: Heart,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._sentry, self._reporter, self._heart = sentry, reporter, heart
        self._spawn, self._monotonic = spawn, monotonic
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None  # uvloop gives a plain one for a moment that is past
        self._due = 0.0

    def begin(self) -> None:
        """Go round from now on, on the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._go_round()

    def end(self) -> None:
        """Never again."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def within(self, seconds: float) -> None:
        """Go round in so long at the latest."""
        if self._loop is None:
            return
        at = self._loop.time() + seconds
        if self._timer is None or self._due > at:
            if self._timer is not None:
                self._timer.cancel()
            self._due = at
            self._timer = self._loop.call_at(at, self._go_round)

    def _go_round(self) -> None:
        """Do what is due; be back when the next thing is."""
        self._timer = None
        now = self._monotonic()
        due = min(now + EVERY, self._reporter.renew_leases(now))
        for attempt in list(self._reporter.held.values()):
            if not attempt.reported:
                try:
                    due = min(due, self._sentry.look_at(attempt, now))
                except Exception:  # a fault of ours about one: the others have limits too
                    _logger.exception("Attempt %s could not be looked after.", attempt.key)
        if self._heart.wants(now):
            self._spawn(self._heart.beat())
        self._reporter.outbox.flush()
        self.within(max(due - self._monotonic(), 0.001))
