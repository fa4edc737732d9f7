"""What an engine asks of a worker beside work: to stop attempts, and to say what it knows of them (W7, W8)."""

from __future__ import annotations

from typing import cast

from headrace.engine.ports.messages import Abort, Ask
from headrace.runners.attempt import RUNNING, AttemptKey
from headrace.runners.line import Line
from headrace.runners.reporting import Reporter
from headrace.runners.sentry import Sentry


class Answers:
    """Used on the worker's loop; every answer is a report or an Alive, later."""

    def __init__(self, line: Line, reporter: Reporter, sentry: Sentry) -> None:
        self._line = line
        self._reporter = reporter
        self._sentry = sentry

    def abort(self, message: Abort) -> bool:
        """Stop what is held, remember what is not known. Returns whether something runs that has to be watched."""
        running = False
        for each in message.keys:
            key = cast(AttemptKey, tuple(each))
            attempt = self._reporter.held.get(key)
            if attempt is None:
                finished = self._reporter.finished.reports.get(key)
                if finished is None:
                    self._reporter.cancel_unseen(message.part, key, message.epoch)
                else:
                    self._reporter.repeat(message.part, key, finished.epoch, finished.n)
            elif self._line.withdraw(attempt):
                self._reporter.cancel(attempt)
            elif attempt.state == RUNNING:
                self._sentry.stop(attempt, "cancelled", message.grace)
                running = True
        return running

    def ask(self, message: Ask) -> None:
        """Of keys: an Alive that names the held ones, the report of a finished one again, or that it is unknown. Of
        everything: an Alive, which stands behind the reports of all it does not name."""
        whole = message.keys is None
        for each in message.keys or ():
            key = cast(AttemptKey, tuple(each))
            finished = self._reporter.finished.reports.get(key)
            if key in self._reporter.held:
                whole = True
            elif finished is not None:
                self._reporter.repeat(message.part, key, finished.epoch, finished.n)
            else:
                self._reporter.unknown(message.part, key, message.epoch)
        if whole:
            self._reporter.alive(message.part)
