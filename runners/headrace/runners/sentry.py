"""Watches each attempt in time: hands back what gets no slot, says what has started, stops what takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.runners.attempt import BUFFERED, RUNNING, Attempt
from headrace.runners.execution import Executing
from headrace.runners.heart import Heart
from headrace.runners.line import Line
from headrace.runners.reporting import Reporter

ANNOUNCE_AFTER = 0.1
"""Seconds a task runs before `started` is reported (W5)."""

HAND_BACK_AFTER = 1.0
"""Seconds an attempt may wait for a slot (W4)."""

KILL_MARGIN = 2.0
"""Seconds beyond the grace until a stopped attempt is reported without its end."""

LATER = 2.0
"""Seconds until an attempt without anything due is looked at again."""


class Sentry:
    """Used on the worker's loop. Times are monotonic seconds."""

    def __init__(
        self,
        line: Line,
        execution: Executing,
        reporter: Reporter,
        heart: Heart,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = line
        self._execution = execution
        self._reporter = reporter
        self._heart = heart
        self._monotonic = monotonic

    def look_at(self, attempt: Attempt, now: float) -> float:
        """Do what is due for one attempt that is not reported yet; returns when something will be."""
        if attempt.filling:
            return now + LATER
        if attempt.state == BUFFERED:
            due = attempt.arrived + HAND_BACK_AFTER
            if now < due:
                return due
            if self._line.withdraw(attempt):
                self._reporter.hand_back(attempt)
                self._heart.held_up(HAND_BACK_AFTER)
            return now + ANNOUNCE_AFTER
        if attempt.state != RUNNING:
            return now + ANNOUNCE_AFTER  # it ended and waits to be collected
        if attempt.stopping is not None:
            if now >= attempt.give_up_at:
                self.give_up(attempt)
            return attempt.give_up_at
        return self._look_at_running(attempt, now)

    def _look_at_running(self, attempt: Attempt, now: float) -> float:
        began = attempt.began or now
        if not attempt.announced:
            if now < began + ANNOUNCE_AFTER:
                return began + ANNOUNCE_AFTER
            if attempt.started_at is None:
                return now + ANNOUNCE_AFTER  # its thread is about to note it
            self._reporter.started(attempt)
        limits = attempt.dispatch.job.limits
        if limits.attempt is None:
            return now + LATER
        if now >= began + limits.attempt:
            self.stop(attempt, "timed_out", limits.grace)
            return attempt.give_up_at
        return began + limits.attempt

    def stop(self, attempt: Attempt, why: str, grace: float) -> None:
        """Ask a running attempt to end. Only the first reason counts; asked again it gets less time, never more."""
        give_up_at = self._monotonic() + grace + KILL_MARGIN
        if attempt.stopping is None:
            attempt.stopping = why
        elif give_up_at >= attempt.give_up_at:
            return
        attempt.grace = grace
        attempt.give_up_at = give_up_at
        self._execution.interrupt(attempt)

    def give_up(self, attempt: Attempt) -> None:
        """It does not end: report it as stopped and do without what it occupies."""
        self._execution.abandon(attempt)
        self._reporter.finish(attempt)
