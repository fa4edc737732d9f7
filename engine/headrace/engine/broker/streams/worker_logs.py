"""job-logs, a worker's side: what tasks write, sent in chunks by a thread of its own.

Tasks never wait long for it and memory is bounded: when Kafka takes less than they write, the oldest lines are dropped,
and a line in their place says how many. aiokafka directly: a worker imports no FastStream.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from threading import Condition, Thread
from typing import NamedTuple

from headrace.engine.broker.kafka.connection import BATCH_BYTES, Connection, Producer
from headrace.engine.broker.kafka.publisher import JSON, Publisher
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import LOGS, require
from headrace.engine.broker.kafka.wire import RECORD_BYTES
from headrace.engine.broker.streams.messages import encode_lines
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.messages import Log

HELD = 16 * 1024 * 1024
"""Characters that wait for Kafka; beyond, the oldest are dropped."""

SENT = 4 * 1024 * 1024
"""Characters that Kafka has been given and not acknowledged; the others can still be dropped."""

CHUNK, CHUNK_LINES = 64 * 1024, 2_000
"""Characters and lines of one message: however they are escaped, a message stays below what Kafka takes."""

LINGER = 0.2
"""Seconds for which lines are gathered."""

LONGEST_WAIT = 2.0
"""Seconds that a task waits for room, once while Kafka does not take what was sent."""

FIRST_TRY, LAST_TRY = 0.5, 10.0
COMPLAIN_EVERY = 60.0
LINE = 100
"""What a line costs beside its characters."""

_logger = logging.getLogger(__name__)


class _Name(NamedTuple):
    """Whose lines: one attempt's."""

    run_id: str
    task_id: str
    map: int
    generation: int
    attempt: int

    @property
    def key(self) -> bytes:
        return "/".join(map(str, self)).encode("utf-8", "replace")


class KafkaLogs:
    """Implements ports.artifacts.LogWriter over job-logs. Close it when done.

    Args:
        settings: where Kafka is.
        name: the worker's.
        held: characters that may wait for Kafka.
    """

    def __init__(self, settings: KafkaSettings, name: str, *, held: int = HELD) -> None:
        self._settings = settings
        self._connection = _Compressed(settings, f"headrace-logs-{name}")
        self._topic = settings.prefix + LOGS
        self._most = held
        self._changed = Condition()
        self._waiting: deque[Log] = deque()
        self._held = 0
        self._dropped: dict[_Name, int] = {}
        self._stuck = False  # a task has waited in vain since Kafka last took something
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event | None = None
        self._closing = False
        self._grace = 0.0
        # of the thread's loop alone
        self._sent = 0
        self._seq = 0
        self._complained_at = 0.0

    # any thread ------------------------------------------------------------------------------------------------------
    def write(self, lines: Sequence[Log]) -> None:
        """Take lines of attempts. Waits for room at most 2 s, and never on an event loop."""
        if not lines:
            return
        size = sum([len(line.text) + LINE for line in lines])
        with self._changed:
            if self._held + size > self._most and not self._stuck and not _on_a_loop():
                room = self._changed.wait_for(
                    lambda: not self._held or self._held + size <= self._most, LONGEST_WAIT
                )
                self._stuck = not room
            if self._closing:
                return
            self._waiting.extend(lines)
            self._held += size
            while self._held > self._most and len(self._waiting) > 1:
                self._drop(self._waiting.popleft())
            if self._thread is None:
                self._thread = Thread(target=self._main, name="headrace-logs", daemon=True)
                self._thread.start()
            self._ring()

    def close(self, grace: float = 5.0) -> None:
        """Send what waits, for at most `grace` seconds. What is written later is dropped."""
        with self._changed:
            self._closing, self._grace = True, grace
            self._ring()
            thread = self._thread
        if thread is not None:
            thread.join(grace + 5.0)

    def _drop(self, line: Log) -> None:
        self._held -= len(line.text) + LINE
        name = _name(line)
        self._dropped[name] = self._dropped.get(name, 0) + 1

    def _ring(self) -> None:
        if self._loop is not None and self._bell is not None:
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._bell.set)

    # the thread ------------------------------------------------------------------------------------------------------
    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        with self._changed:
            self._loop, self._bell = asyncio.get_running_loop(), asyncio.Event()
        bell = self._bell
        assert bell is not None
        reached = await self._reach(bell)
        if reached is None:
            return
        publisher, partitions = reached
        until = None
        while True:
            bell.clear()
            for name, lines, size in self._take():
                self._seq = max(self._seq + 1, int(time.time() * 1_000_000))
                self._sent += size
                publisher.send(
                    self._topic,
                    zlib.crc32(name.key) % partitions,
                    encode_lines(lines, self._seq),
                    partial(self._settle, size, len(lines)),
                    key=name.key,
                    headers=JSON,
                )
            if self._closing:
                until = until or time.monotonic() + self._grace
                if not (self._waiting or self._dropped) or time.monotonic() > until:
                    break
            if not self._waiting or self._sent >= SENT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._grace if self._closing else None):
                        await bell.wait()
            if not self._closing and self._held < SENT:
                await asyncio.sleep(LINGER)
        await publisher.stop(max(0.1, until - time.monotonic()))

    async def _reach(self, bell: asyncio.Event) -> tuple[Publisher, int] | None:
        """A publisher and the topic's partitions; None: closed before Kafka could be reached."""
        wait = FIRST_TRY
        while True:
            publisher = Publisher(self._connection)
            try:
                partitions = (await require(self._settings, [LOGS]))[LOGS]
                await publisher.start()
                return publisher, partitions
            except BrokerUnavailable as problem:
                self._complain(f"they cannot be sent: {problem}")
            if self._closing:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._closed(bell)
            wait = min(wait * 2, LAST_TRY)

    async def _closed(self, bell: asyncio.Event) -> None:
        while not self._closing:
            bell.clear()
            await bell.wait()

    def _take(self) -> Iterator[tuple[_Name, list[Log], int]]:
        """What may be sent now, in chunks of one attempt each."""
        taken: dict[_Name, list[Log]] = {}
        with self._changed:
            room = SENT - self._sent
            while self._waiting and room > 0:
                line = self._waiting.popleft()
                self._held -= len(line.text) + LINE
                room -= len(line.text) + LINE
                taken.setdefault(_name(line), []).append(line)
            for name in [*self._dropped] if not self._waiting else taken.keys() & self._dropped.keys():
                lines = taken.setdefault(name, [])
                lines.insert(0, _missing(name, self._dropped.pop(name), lines))
            self._changed.notify_all()
        for name, lines in taken.items():
            chunk: list[Log] = []
            size = 0
            for line in lines:
                if chunk and (size + len(line.text) > CHUNK or len(chunk) == CHUNK_LINES):
                    yield name, chunk, size
                    chunk, size = [], 0
                chunk.append(line)
                size += len(line.text) + LINE
            yield name, chunk, size

    def _settle(self, size: int, lines: int, why: str | None) -> None:
        self._sent -= size
        if why is None:
            self._stuck = False
        else:
            self._complain(f"{lines} were not taken: {why}")
        if self._bell is not None:
            self._bell.set()

    def _complain(self, what: str) -> None:
        if not self._complained_at or time.monotonic() - self._complained_at > COMPLAIN_EVERY:
            self._complained_at = time.monotonic()
            _logger.warning("log lines of tasks: %s", what)


class _Compressed(Connection):
    """Log lines are sent compressed."""

    def producer(self) -> Producer:
        return Producer(
            **self._arguments(),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_batch_size=BATCH_BYTES,
            max_request_size=RECORD_BYTES,
            linger_ms=20,
        )


def _name(line: Log) -> _Name:
    return _Name(line.run_id, line.task_id, line.map, line.generation, line.attempt)


def _missing(name: _Name, count: int, before: Sequence[Log]) -> Log:
    what = "1 line is" if count == 1 else f"{count} lines are"
    at = before[0].at if before else time.time()
    return Log(*name, at, "log", f"{what} missing here: more was written than Kafka took.")


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
