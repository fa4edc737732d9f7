"""Reports on their way: gathered per part, sent as one envelope, sent again until they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from headrace.engine.ports.broker import WorkerSide
from headrace.engine.ports.messages import Report, Reports
from headrace.runners.attempt import AttemptKey
from headrace.runners.spill import Spill

LARGEST_ENVELOPE = 800
"""Reports in one message."""

ENVELOPE_BYTES = 192 * 1024
"""Of one message, by estimate; envelopes stay below 256 KiB."""

ITEM_BYTES = 220
"""What a report without output takes in an envelope."""

MOST_WAITING, MOST_WAITING_BYTES = 4000, 16 * 1024 * 1024
"""Reports, and bytes of their outputs, that wait in memory; more waits on disk."""

FIRST_WAIT, LONGEST_WAIT = 0.05, 5.0

DISK_AGAIN = 5.0
"""Seconds after which a disk that could not be written is tried again."""

FINAL = frozenset(("succeeded", "failed", "skipped", "cancelled"))
_logger = logging.getLogger(__name__)

Sent = tuple[AttemptKey, Report]


class Outbox:
    """Holds what is not acknowledged: under way, then on disk, then in memory, in the order of their making per part.

    Args:
        side: where envelopes go.
        worker_id, incarnation: who reports.
        acknowledged: called with the key and report of each, once its envelope is.
        spilled: called with what went to disk and is no longer needed in memory.
        restored: called with a report that comes back from disk; returns what to send in its place.
        spill: where on disk; None: memory has to do.
        now: seconds that only go on.
    """

    def __init__(
        self,
        side: WorkerSide,
        worker_id: str,
        incarnation: str,
        acknowledged: Callable[[list[Sent]], None],
        *,
        spilled: Callable[[list[Sent]], None],
        restored: Callable[[Report], Sent],
        spill: Spill | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._side = side
        self._worker = worker_id
        self._incarnation = incarnation
        self._acknowledged = acknowledged
        self._spilled = spilled
        self._restored = restored
        self._spill = spill
        self._now = now
        self._waiting: dict[int, list[Sent]] = {}
        self._under_way: dict[int, list[Sent]] = {}
        self._senders: dict[int, asyncio.Task[None]] = {}
        self._count = self._bytes = 0  # in memory
        self._writing: dict[int, list[Sent]] = {}  # on their way to disk, behind what is there
        self._writer: asyncio.Task[None] | None = None
        self._written = asyncio.Event()
        self._no_disk_until = 0.0  # monotonic

    def put(self, part: int, key: AttemptKey, report: Report) -> None:
        """To be sent with the next `flush`."""
        waiting = self._waiting.get(part)
        if waiting is None:
            self._waiting[part] = [(key, report)]
        else:
            waiting.append((key, report))
        self._count += 1
        if report.output is not None:
            self._bytes += len(report.output)

    def put_all(self, part: int, made: list[Sent]) -> None:
        """The same for many of one part."""
        if made:
            waiting = self._waiting.setdefault(part, made)
            if waiting is not made:
                waiting += made
            self._count += len(made)
            self._bytes += _output_bytes(made)

    def flush(self) -> None:
        """Send what has been put; each part's envelopes go one after the other."""
        for part in list(self._waiting):
            if part not in self._senders and not self._sent_at_once(part):
                self._start(part)
        full = self._count > MOST_WAITING or self._bytes > MOST_WAITING_BYTES
        if full and self._spill is not None and self._writer is None and self._now() >= self._no_disk_until:
            self._writing, self._waiting = self._waiting, {}
            self._writer = asyncio.get_running_loop().create_task(self._to_disk(self._spill))

    def resume(self) -> int:
        """Send what an earlier incarnation left on disk; returns how many reports."""
        left = 0 if self._spill is None else self._spill.load()
        if self._spill is not None:
            for part in self._spill.parts():
                self._start(part)
        return left

    async def drained(self) -> None:
        """Wait until everything is acknowledged."""
        self.flush()
        while self._senders:
            await asyncio.wait(list(self._senders.values()))
            self.flush()  # what could not be written to disk

    async def close(self) -> int:
        """Give up sending. Results that are not acknowledged are left on disk for the next incarnation; returns how
        many reports could not be sent."""
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        if self._writer is not None:  # a thread writes: what it has begun it ends
            await self._writer
        left = self._count
        if self._spill is not None:
            left += sum([self._spill.waiting(part) for part in self._spill.parts()])
            for waiting in (self._under_way, self._waiting):
                for part, items in waiting.items():
                    with suppress(OSError):  # the leases of these attempts will end
                        self._spill.put(part, [report for _, report in items if report.kind in FINAL])
            self._spill.close()
        return left

    def _start(self, part: int) -> None:
        self._senders[part] = asyncio.get_running_loop().create_task(self._send(part))

    def _sent_at_once(self, part: int) -> bool:
        """Where the broker lies in this process: without a task of its own for it."""
        items = self._waiting[part]
        if part in self._writing or (self._spill is not None and self._spill.waiting(part)):
            return False
        if len(items) > LARGEST_ENVELOPE or self._bytes > ENVELOPE_BYTES:
            return False
        if not self._side.report_at_once(part, self._envelope(items)):
            return False
        del self._waiting[part]
        self._acknowledged(items)
        self._forget(items)
        return True

    async def _send(self, part: int) -> None:
        try:
            while items := await self._next(part):
                for cut in _envelopes(items):
                    self._under_way[part] = cut
                    await self._until_acknowledged(part, cut)
                    del self._under_way[part]
                    self._acknowledged(cut)
                    self._forget(cut)
                if self._spill is not None and part not in self._writing:
                    self._spill.drop(part)
        finally:
            del self._senders[part]

    async def _next(self, part: int) -> list[Sent] | None:
        while part in self._writing:
            self._written.clear()
            await self._written.wait()
        spill = self._spill
        while spill is not None and spill.waiting(part):
            items = [self._restored(report) for report in spill.take(part, LARGEST_ENVELOPE, ENVELOPE_BYTES)]
            self._count += len(items)
            self._bytes += _output_bytes(items)
            if items:
                return items
            spill.drop(part)
        return self._waiting.pop(part, None)

    async def _until_acknowledged(self, part: int, items: list[Sent]) -> None:
        envelope = self._envelope(items)
        wait = FIRST_WAIT
        while True:
            try:
                await self._side.report(part, envelope)
                return
            except Exception:  # whatever the broker's client raises: the report must arrive
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)

    def _envelope(self, items: list[Sent]) -> Reports:
        return Reports(self._worker, self._incarnation, [report for _, report in items])

    async def _to_disk(self, spill: Spill) -> None:
        """Part by part, in a thread: a slow disk holds back neither beats nor leases. The part's sender waits meanwhile."""
        try:
            for part, items in list(self._writing.items()):
                try:
                    await asyncio.to_thread(spill.put, part, [report for _, report in items])
                except OSError as error:
                    _logger.error("Reports wait in memory, since they cannot be written to disk: %s", error)
                    self._no_disk_until = self._now() + DISK_AGAIN
                    break
                del self._writing[part]
                self._written.set()
                self._forget(items)
                self._spilled(items)
        finally:
            for part, items in self._writing.items():
                self._waiting[part] = items + self._waiting.get(part, [])
            self._writing = {}
            self._written.set()
            self._writer = None

    def _forget(self, items: list[Sent]) -> None:
        self._count -= len(items)
        if self._bytes:
            self._bytes -= _output_bytes(items)


def _output_bytes(items: Iterable[Sent]) -> int:
    return sum([len(report.output) for _, report in items if report.output is not None])


def _envelopes(items: list[Sent]) -> list[list[Sent]]:
    if len(items) <= LARGEST_ENVELOPE and sum([_size(report) for _, report in items]) <= ENVELOPE_BYTES:
        return [items]
    cuts: list[list[Sent]] = [[]]
    size = 0
    for item in items:
        added = _size(item[1])
        if cuts[-1] and (len(cuts[-1]) >= LARGEST_ENVELOPE or size + added > ENVELOPE_BYTES):
            cuts.append([])
            size = 0
        cuts[-1].append(item)
        size += added
    return cuts


def _size(report: Report) -> int:
    if report.output is None and report.error is None:
        return ITEM_BYTES
    size = ITEM_BYTES
    if report.output is not None:
        size += len(report.output) * 4 // 3  # as base64
    if report.error is not None:
        size += 2 * len(report.error.message) + sum(map(len, report.error.kinds))
    return size
