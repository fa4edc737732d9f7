"""What a worker remembers of attempts it has answered for, so that the same attempt sent again is answered, not repeated."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from headrace.engine.ports.messages import Report
from headrace.runners.attempt import AttemptKey

MOST = 10_000
MOST_BYTES = 32 * 1024 * 1024
OLDEST = 600.0
"""Seconds."""

DECLINED = frozenset(("handed_back", "unknown"))
"""Kinds of answers to which the engine may send the attempt again, here or elsewhere: then the delivery is higher."""


class Finished:
    """The last reports, oldest first: at most 10,000, 32 MiB of outputs, 10 minutes.

    Those of finished attempts, whatever delivery comes; and those of attempts that were declined, against copies of the
    delivery that was declined. Ten minutes of `monotonic` seconds: a clock that is put right, by an hour say, must not make a
    worker forget what it has done a moment ago.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # ordered, for a plain dict passes over every place that was emptied at its front to find its first
        self.reports: OrderedDict[AttemptKey, Report] = OrderedDict()
        self._since: dict[AttemptKey, float] = {}
        self._bytes = 0

    def keep(self, key: AttemptKey, report: Report) -> None:
        self.keep_all(((key, report),))

    def keep_all(self, items: Iterable[tuple[AttemptKey, Report]]) -> None:
        reports, since, now = self.reports, self._since, self._monotonic()
        for key, report in items:
            if key in reports:
                self._drop(key)
            reports[key] = report
            since[key] = now
            if report.output is not None:
                self._bytes += len(report.output)
        while len(reports) > MOST or self._bytes > MOST_BYTES:
            self._drop(next(iter(reports)))

    def recall(self, key: AttemptKey, report: Report) -> None:
        """Keep a report that was sent without being held, unless one is kept that knows more or is newer."""
        known = self.reports.get(key)
        if known is None or known.kind in DECLINED:
            self.keep(key, report)

    def admits(self, key: AttemptKey, epoch: int, n: int) -> bool:
        """Whether a delivery of a remembered attempt is to be executed: it was declined and has been sent here once more.
        Then it is remembered no longer."""
        report = self.reports[key]
        if report.kind not in DECLINED or (epoch, n) <= (report.epoch, report.n):
            return False
        self._drop(key)
        return True

    def again(self, key: AttemptKey, epoch: int, n: int) -> Report:
        """The report for a newer delivery of the attempt; remembered as such."""
        report = self.reports[key]
        if (epoch, n) > (report.epoch, report.n):
            report = self.reports[key] = msgspec.structs.replace(report, epoch=epoch, n=n)
        return report

    def forget(self) -> None:
        """Drop what has been kept for more than 10 minutes."""
        since, before = self._since, self._monotonic() - OLDEST
        while self.reports:
            key = next(iter(self.reports))
            if since[key] > before:
                break
            self._drop(key)

    def _drop(self, key: AttemptKey) -> None:
        del self._since[key]
        output = self.reports.pop(key).output
        if output is not None:
            self._bytes -= len(output)
