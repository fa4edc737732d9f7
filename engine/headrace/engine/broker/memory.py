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
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import Any

from headrace.engine.ports.broker import Arrived
from headrace.engine.ports.messages import Beat, ToEngine, ToWorker

RETAINED = 64
"""Envelopes of a part kept after every engine side has read them, so that a side may seek back a little."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the broker does wrong, drawn from `seed`; shares are in 0..1. Order per partition always holds.

    `duplicate`: a message arrives twice, side by side. `lose_ack`: its acknowledgement is lost, so it is sent again
    later, behind others. `delay`: it and all behind it in its partition wait for up to `max_delay` seconds, which also
    reorders partitions against each other. `shuffle`: a receive takes only some of what is there, parts in any order.
    """

    seed: int = 0
    duplicate: float = 0.0
    lose_ack: float = 0.0
    delay: float = 0.0
    max_delay: float = 0.01
    shuffle: bool = False


class Bell:
    """Wakes one waiting coroutine; `ring` is safe from any thread. A ring before the wait is not lost."""

    __slots__ = ("_loop", "_rung", "_thread", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def ring(self) -> None:
        self._rung = True
        if self._waiter is None:
            return
        if get_ident() == self._thread:
            self._release()
        elif self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                self._loop.call_soon_threadsafe(self._release)

    def clear(self) -> None:
        self._rung = False

    async def wait(self, timeout: float | None) -> None:
        """Return when the bell rings, or after `timeout` seconds."""
        if self._rung:
            return
        loop = asyncio.get_running_loop()
        self._loop, self._thread = loop, get_ident()
        self._waiter = waiter = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, self._release)
        try:
            # another thread sets the flag before it looks for a waiter: one of the two sees the other
            if not self._rung:
                await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _release(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _Log:
    """One partition: messages from offset `base` on."""

    __slots__ = ("base", "items")

    def __init__(self) -> None:
        self.base = 0
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
    """

    def __init__(self, parts: int = 1, inboxes: int = 8, faults: Faults | None = None) -> None:
        self.parts = parts
        self.inboxes = inboxes
        self._logs = [_Log() for _ in range(parts)]
        self._lock = Lock()
        self._engines: list[MemoryEngineSide] = []
        self._workers: list[MemoryWorkerSide] = []
        self._last_beats: dict[str, Beat] = {}
        self._links = _FaultyLinks(faults) if faults is not None else None
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
                side._arrived.append(message)
                side._bell.ring()

    def _publish_beat(self, beat: Beat) -> None:
        self._last_beats[beat.worker] = beat
        for side in self._engines:
            side._beats.append(beat)
            side._woken = True
            side._bell.ring()

    # reading -----------------------------------------------------------------------------------------------------
    def _place(self, part: int, offset: int) -> int:
        """The position that seeking to `offset` gives.

        The log begins anew with each process while offsets are stored: a log nobody has read goes on from the stored
        offset. Otherwise an offset outside the log becomes its nearest end, as a Kafka consumer would be told to do.
        """
        with self._lock:
            log = self._logs[part]
            if offset > log.end and not any(part in side._positions for side in self._engines):
                log.base = offset
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
        self._beats: deque[Beat] = deque()
        self._bell = Bell()
        self._woken = False

    async def start(self) -> None:
        if self not in self._broker._engines:
            # the last beat of each worker, as from a compacted topic: a new engine need not wait for the next
            self._beats.extend(self._broker._last_beats.values())
            self._broker._engines.append(self)

    async def stop(self) -> None:
        self._positions.clear()
        with suppress(ValueError):
            self._broker._engines.remove(self)
        self.wake()

    def seek(self, part: int, offset: int) -> None:
        self._positions.pop(part, None)
        self._positions[part] = self._broker._place(part, offset)
        self._bell.ring()

    def leave(self, part: int) -> None:
        """Read nothing more of this part."""
        self._positions.pop(part, None)

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

    def beats(self) -> Sequence[Beat]:
        taken = []
        while self._beats:
            taken.append(self._beats.popleft())
        return taken

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
        self._arrived: deque[ToWorker] = deque()
        self._bell = Bell()
        self._woken = False

    async def start(self) -> None:
        if self not in self._broker._workers:
            self._broker._workers.append(self)

    async def stop(self) -> None:
        with suppress(ValueError):
            self._broker._workers.remove(self)
        self._broker._last_beats.pop(self.worker_id, None)
        self.wake()

    async def receive(self, timeout: float | None) -> list[ToWorker]:
        self._bell.clear()
        if not self._arrived and not self._woken and timeout != 0:
            await self._bell.wait(timeout)
        self._woken = False
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

    async def beat(self, beat: Beat) -> None:
        self._broker._publish_beat(beat)


class _FaultyLinks:
    """Carries messages with drawn faults, keeping the order of each partition. Used on one event loop."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)
        self._held: dict[Any, deque[tuple[Callable[[], None], asyncio.Future[None]]]] = {}
        self._open: set[asyncio.Future[None]] = set()

    def send(self, partition: Any, append: Callable[[], None]) -> asyncio.Future[None]:
        acknowledged = asyncio.get_running_loop().create_future()
        self._open.add(acknowledged)
        acknowledged.add_done_callback(self._open.discard)
        waiting = self._held.get(partition)
        if waiting is not None:
            waiting.append((append, acknowledged))
        elif self._random.random() < self._faults.delay:
            self._held[partition] = deque([(append, acknowledged)])
            self._later(lambda: self._let_go(partition))
        else:
            self._deliver(append, acknowledged)
        return acknowledged

    async def drained(self) -> None:
        while self._open:
            await asyncio.wait(set(self._open))

    def _later(self, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._random.random() * self._faults.max_delay, what)

    def _let_go(self, partition: Any) -> None:
        for append, acknowledged in self._held.pop(partition):
            self._deliver(append, acknowledged)

    def _deliver(self, append: Callable[[], None], acknowledged: asyncio.Future[None]) -> None:
        append()
        if self._random.random() < self._faults.duplicate:
            append()
        if self._random.random() < self._faults.lose_ack:

            def again() -> None:
                append()
                self._acknowledge(acknowledged)

            self._later(again)
        else:
            self._acknowledge(acknowledged)

    @staticmethod
    def _acknowledge(acknowledged: asyncio.Future[None]) -> None:
        if not acknowledged.done():
            acknowledged.set_result(None)
