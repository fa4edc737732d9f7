"""The in-process broker: Kafka's promises (order per partition, at least once, offsets) without Kafka.

Job-status is one append-only log per part with offsets, kept until every engine side has read past it. What goes to
workers is fanned out to the sides that listen on that inbox: a worker reads its inbox from the end on, so nothing has
to be kept for one that is not there. Messages travel as objects, unencoded: whoever receives one must not change it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, get_ident

from headrace.engine.broker.bell import Bell
from headrace.engine.broker.faults import Faults, FaultyLinks, Links
from headrace.engine.ports.broker import Arrived, Gap, Refused, Told
from headrace.engine.ports.messages import Beat, Lines, Nudge, ToEngine, ToWorker

__all__ = ["RETAINED", "Faults", "MemoryBroker", "MemoryEngineSide", "MemoryWorkerSide"]

RETAINED = 64
"""Envelopes of a part kept after every engine side has read them, so that a side may seek back a little."""


class _Log:
    """One partition: messages from offset `base` on."""

    __slots__ = ("base", "items", "sought")

    def __init__(self) -> None:
        self.base = 0
        self.sought = False
        self.items: list[ToEngine] = []

    @property
    def end(self) -> int:
        return self.base + len(self.items)

    def trim(self, below: int) -> None:
        if below > self.base:
            del self.items[: below - self.base]
            self.base = below


class MemoryBroker:
    """Connects engine sides and worker sides of one process.

    Args:
        parts: partitions of job-status.
        inboxes: inbox partitions per queue.
        faults: what goes wrong, for tests; None: nothing, and a hop costs one wake-up of the receiving coroutine.
        links: what carries messages in place of that.
    """

    def __init__(
        self, parts: int = 1, inboxes: int = 8, faults: Faults | None = None, *, links: Links | None = None
    ) -> None:
        self.parts = parts
        self.inboxes = inboxes
        self._logs = [_Log() for _ in range(parts)]
        self._lock = Lock()
        self._engines: list[MemoryEngineSide] = []
        self._workers: list[MemoryWorkerSide] = []
        self._last_beats: dict[str, Beat] = {}
        self._links = links or (FaultyLinks(faults) if faults is not None else None)
        self._random = random.Random(faults.seed) if faults is not None and faults.shuffle else None

    def engine_side(self) -> MemoryEngineSide:
        return MemoryEngineSide(self)

    def worker_side(
        self, worker_id: str, inbox: int, queues: Sequence[str] | None = None
    ) -> MemoryWorkerSide:
        """`queues` None: every queue's inbox of that number."""
        if not 0 <= inbox < self.inboxes:
            raise ValueError(f"inbox {inbox} is outside 0..{self.inboxes - 1}.")
        return MemoryWorkerSide(self, worker_id, inbox, None if queues is None else frozenset(queues))

    def sever(self, side: MemoryEngineSide | MemoryWorkerSide) -> None:
        """The process of that side has died without a word: nothing is kept for it any longer."""
        with suppress(ValueError):
            if isinstance(side, MemoryEngineSide):
                self._engines.remove(side)
            else:
                self._workers.remove(side)

    def end(self, part: int) -> int:
        """The offset that the next message of the part will get."""
        return self._logs[part].end

    def held(self) -> int:
        """How many messages of job-status are in memory, all parts together."""
        return sum(len(log.items) for log in self._logs)

    # publishing --------------------------------------------------------------------------------------------------
    def _publish_status(self, part: int, message: ToEngine) -> asyncio.Future[None] | None:
        """None: acknowledged already."""
        if self._links is None:
            self._append_status(part, message)
            return None
        return self._links.send(("status", part), lambda: self._append_status(part, message))

    def _append_status(self, part: int, message: ToEngine) -> None:
        with self._lock:
            self._logs[part].items.append(message)
        for side in self._engines:
            if part in side._positions:
                side._bell.ring()

    def _publish_tasks(self, queue: str, inbox: int, message: ToWorker) -> None:
        if self._links is None:
            self._fan_out(queue, inbox, message)
        else:
            self._links.send(("tasks", queue, inbox), lambda: self._fan_out(queue, inbox, message))

    def _fan_out(self, queue: str, inbox: int, message: ToWorker) -> None:
        for side in self._workers:
            if side._inbox == inbox and (side._queues is None or queue in side._queues):
                side._tell(Told(queue, message))

    def _publish_beat(self, beat: Beat) -> asyncio.Future[None] | None:
        """None: acknowledged already."""
        if self._links is None:
            self._spread_beat(beat)
            return None
        return self._links.send(("workers",), lambda: self._spread_beat(beat))

    def _spread_beat(self, beat: Beat) -> None:
        self._last_beats[beat.worker] = beat
        for side in self._engines:
            side._hear(beat)

    def _publish_lines(self, teller: MemoryEngineSide, lines: Lines) -> None:
        for side in self._engines:
            if side is not teller:
                side._hear(lines)

    # reading -----------------------------------------------------------------------------------------------------
    def _place(self, part: int, offset: int) -> int:
        """The position that seeking to `offset` gives.

        The log begins anew with each process while offsets are stored: a log nobody has read goes on from the stored
        offset. Otherwise an offset outside the log becomes its nearest end, and the difference is a gap.
        """
        with self._lock:
            log = self._logs[part]
            if offset > log.end and not log.sought:
                log.base = offset
            log.sought = True
            return min(max(offset, log.base), log.end)

    def _read(self, part: int, position: int, limit: int | None) -> list[ToEngine]:
        with self._lock:
            log = self._logs[part]
            start = position - log.base
            return log.items[start:] if limit is None else log.items[start : start + limit]

    def _trim(self, part: int) -> None:
        read = min((side._positions[part] for side in self._engines if part in side._positions), default=0)
        with self._lock:
            self._logs[part].trim(read - RETAINED)


class MemoryEngineSide:
    """An engine's end of a MemoryBroker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions: dict[int, int] = {}
        self._heard: deque[Beat | Lines] = deque()
        self._gaps: list[Gap] = []
        self._bell = Bell()
        self._woken = False

    async def start(self) -> None:
        if self not in self._broker._engines:
            # the last beat of each worker: a new engine need not wait for the next
            self._heard.extend(self._broker._last_beats.values())
            self._broker._engines.append(self)

    async def stop(self) -> None:
        self._positions.clear()
        with suppress(ValueError):
            self._broker._engines.remove(self)
        self.wake()

    def seek(self, part: int, offset: int) -> None:
        self._positions.pop(part, None)
        self._positions[part] = found = self._broker._place(part, offset)
        if found != offset:
            self._gaps.append(Gap(part, offset, found))
        self._bell.ring()

    def leave(self, part: int) -> None:
        self._positions.pop(part, None)

    def caught_up(self, part: int) -> bool:
        position = self._positions.get(part)
        return position is not None and position >= self._broker.end(part)

    def workers_caught_up(self) -> bool:
        return not self._heard

    def gaps(self) -> Sequence[Gap]:
        met, self._gaps = self._gaps, []
        return met

    async def receive(self, timeout: float | None) -> list[Arrived]:
        self._bell.clear()
        arrived = self._take()
        if not arrived and not self._woken and timeout != 0:
            await self._bell.wait(timeout)
            arrived = self._take()
        self._woken = False
        return arrived

    def wake(self) -> None:
        self._woken = True
        self._bell.ring()

    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        self._broker._publish_tasks(queue, inbox, message)

    async def flush(self) -> None:
        links = self._broker._links
        if links is not None:
            await links.drained()

    def refused(self) -> Sequence[Refused]:
        """Nothing ever: a message in this process is never too large."""
        return ()

    @property
    def unacknowledged(self) -> int:
        return 0

    def heard(self) -> Sequence[Beat | Lines]:
        taken = []
        while self._heard:
            taken.append(self._heard.popleft())
        return taken

    def nudge(self, part: int) -> None:
        self._broker._publish_status(part, Nudge(part))

    def announce(self, lines: Lines) -> None:
        self._broker._publish_lines(self, lines)

    def _hear(self, message: Beat | Lines) -> None:
        self._heard.append(message)
        self._woken = True
        self._bell.ring()

    def _take(self) -> list[Arrived]:
        broker, positions = self._broker, self._positions
        parts, dice = list(positions), broker._random
        if dice is not None:
            dice.shuffle(parts)
        arrived: list[Arrived] = []
        for part in parts:
            position = positions[part]
            messages = broker._read(part, position, None if dice is None else dice.randint(1, 4))
            if messages:
                arrived.extend(Arrived(part, position + i, message) for i, message in enumerate(messages))
                positions[part] = position + len(messages)
                broker._trim(part)
        return arrived


class MemoryWorkerSide:
    """A worker's end of a MemoryBroker. It hears what is sent after `start`."""

    def __init__(
        self, broker: MemoryBroker, worker_id: str, inbox: int, queues: frozenset[str] | None
    ) -> None:
        self.worker_id = worker_id
        self._broker = broker
        self._inbox = inbox
        self._queues = queues
        self._arrived: deque[Told] = deque()
        self._bell = Bell()
        self._woken = False
        self._take: Callable[[Sequence[Told]], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    @property
    def inbox(self) -> int:
        return self._inbox

    async def start(self) -> None:
        if self not in self._broker._workers:
            self._broker._workers.append(self)

    async def stop(self) -> None:
        with suppress(ValueError):
            self._broker._workers.remove(self)
        self._broker._last_beats.pop(self.worker_id, None)
        self.wake()

    def hand_over(self, take: Callable[[Sequence[Told]], None]) -> bool:
        if self._broker._links is not None:  # what is to be late, lost or doubled comes by itself
            return False
        self._take, self._loop, self._thread = take, asyncio.get_running_loop(), get_ident()
        self._hand_over()
        return True

    def _tell(self, told: Told) -> None:
        """From whichever thread sends."""
        if self._take is not None and self._thread == get_ident() and not self._arrived:
            self._take((told,))
            return
        self._arrived.append(told)
        if self._take is None:
            self._bell.ring()
        elif self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody is left to tell
                self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        if self._take is not None and self._arrived:
            self._take(self._taken())

    async def receive(self, timeout: float | None) -> list[Told]:
        self._bell.clear()
        if not self._arrived and not self._woken and timeout != 0:
            await self._bell.wait(timeout)
        self._woken = False
        return self._taken()

    def _taken(self) -> list[Told]:
        taken = []
        while self._arrived:
            taken.append(self._arrived.popleft())
        return taken

    def wake(self) -> None:
        self._woken = True
        self._bell.ring()

    async def report(self, part: int, message: ToEngine) -> None:
        acknowledged = self._broker._publish_status(part, message)
        if acknowledged is not None:
            await acknowledged

    def report_at_once(self, part: int, message: ToEngine) -> bool:
        if self._broker._links is not None:  # what is to be late, lost or doubled is waited for
            return False
        self._broker._append_status(part, message)
        return True

    async def beat(self, beat: Beat) -> None:
        acknowledged = self._broker._publish_beat(beat)
        if acknowledged is not None:
            await acknowledged
