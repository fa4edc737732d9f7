"""What an engine asks of a worker beside work: to stop attempts, and to say what it knows of them (W7, W8)."""

from __future__ import annotations

from typing import cast

from headrace.engine.ports.messages import Abort, Ask
from headrace.runners.attempt import RUNNING, AttemptKey
from headrace.runners.finished import DECLINED
from headrace.runners.line import Line
from headrace.runners.reporting import Reporter
from headrace.runners.sentry import Sentry


class Answers:
    """Used on the worker's loop; every answer is a report or an Alive, later.

    Both questions name the delivery that counts beside each attempt. Every answer bears it, for the engine passes over
    any other: who holds the attempt takes the delivery over if it is higher than its own.
    """

    def __init__(self, line: Line, reporter: Reporter, sentry: Sentry) -> None:
        self._line = line
        self._reporter = reporter
        self._sentry = sentry

    def abort(self, message: Abort) -> bool:
        """Stop what is held; of what is not, remember that it never starts. Returns whether something runs that has to be watched."""
        running = False
        reporter, part = self._reporter, message.part
        for each, (epoch, n) in zip(message.keys, message.deliveries, strict=True):
            key = cast(AttemptKey, tuple(each))
            attempt = reporter.held.get(key)
            if attempt is None:
                known = reporter.finished.reports.get(key)
                if known is None or known.kind in DECLINED:
                    reporter.cancel_unseen(part, key, epoch, n)
                else:
                    reporter.repeat(part, key, epoch, n)
                continue
            reporter.adopt(attempt, epoch, n)
            if self._line.withdraw(attempt):
                reporter.cancel(attempt)
            elif attempt.state == RUNNING:
                self._sentry.stop(attempt, "cancelled", message.grace)
                running = True
        return running

    def ask(self, message: Ask) -> None:
        """Of keys: an Alive that names the held ones, the report of a finished one again, or that it is unknown. Of
        everything: an Alive, which stands behind the reports of all it does not name."""
        reporter, part = self._reporter, message.part
        whole = message.keys is None
        for each, (epoch, n) in zip(message.keys or (), message.deliveries, strict=True):
            key = cast(AttemptKey, tuple(each))
            attempt = reporter.held.get(key)
            if attempt is not None:
                reporter.adopt(attempt, epoch, n)
                whole = True
            elif key in reporter.finished.reports:
                reporter.repeat(part, key, epoch, n)
            else:
                reporter.deny(part, key, epoch, n)
        if whole:
            reporter.alive(part)
