"""Reports on their way: gathered per part, sent as one envelope, sent again until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from headrace.engine.ports.broker import WorkerSide
from headrace.engine.ports.messages import Report, Reports
from headrace.runners.attempt import AttemptKey

LARGEST_ENVELOPE = 1000
"""Reports in one message."""

ENVELOPE_BYTES = 192 * 1024
"""Output bytes in one message, a little above when the last one is large; envelopes stay below 256 KiB."""

FIRST_WAIT, LONGEST_WAIT = 0.05, 5.0


class Outbox:
    """Holds what is not acknowledged. It is bounded by what the worker holds: without the broker nothing new arrives.

    `acknowledged` is called with the key and report of each, once its envelope is.
    """

    def __init__(
        self,
        side: WorkerSide,
        worker_id: str,
        incarnation: str,
        acknowledged: Callable[[list[tuple[AttemptKey, Report]]], None],
    ) -> None:
        self._side = side
        self._worker = worker_id
        self._incarnation = incarnation
        self._acknowledged = acknowledged
        self._waiting: dict[int, list[tuple[AttemptKey, Report]]] = {}
        self._senders: dict[int, asyncio.Task[None]] = {}

    def put(self, part: int, key: AttemptKey, report: Report) -> None:
        """To be sent with the next `flush`."""
        waiting = self._waiting.get(part)
        if waiting is None:
            self._waiting[part] = [(key, report)]
        else:
            waiting.append((key, report))

    def flush(self) -> None:
        """Send what has been put; each part's envelopes go one after the other."""
        for part in self._waiting:
            if part not in self._senders:
                self._senders[part] = asyncio.get_running_loop().create_task(self._send(part))

    async def drained(self) -> None:
        """Wait until everything is acknowledged."""
        self.flush()
        while self._senders:
            await asyncio.wait(list(self._senders.values()))

    async def close(self) -> None:
        """Give up what is not acknowledged."""
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    async def _send(self, part: int) -> None:
        try:
            while part in self._waiting:
                items = self._waiting.pop(part)
                for cut in _envelopes(items):
                    await self._until_acknowledged(part, cut)
                    self._acknowledged(cut)
        finally:
            del self._senders[part]

    async def _until_acknowledged(self, part: int, items: list[tuple[AttemptKey, Report]]) -> None:
        envelope = Reports(self._worker, self._incarnation, [report for _, report in items])
        wait = FIRST_WAIT
        while True:
            try:
                await self._side.report(part, envelope)
                return
            except Exception:  # whatever the broker's client raises: the report must arrive
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)


def _envelopes(items: list[tuple[AttemptKey, Report]]) -> list[list[tuple[AttemptKey, Report]]]:
    size = sum([len(report.output) for _, report in items if report.output is not None])
    if len(items) <= LARGEST_ENVELOPE and size <= ENVELOPE_BYTES:
        return [items]
    cuts: list[list[Any]] = [[]]
    size = 0
    for item in items:
        added = len(item[1].output or b"")
        if cuts[-1] and (len(cuts[-1]) >= LARGEST_ENVELOPE or size + added > ENVELOPE_BYTES):
            cuts.append([])
            size = 0
        cuts[-1].append(item)
        size += added
    return cuts
