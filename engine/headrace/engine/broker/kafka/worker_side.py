"""A worker's end of Kafka: reads its inbox of every queue it serves, reports to the runs' parts, and beats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from uuid import uuid4
from zlib import crc32

from aiokafka import ConsumerRecord, TopicPartition

from headrace.engine.broker.bell import Bell
from headrace.engine.broker.kafka import topics, wire
from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.engine_side import BUFFERED_BYTES, STOP_SECONDS
from headrace.engine.broker.kafka.publisher import JSON, Publisher
from headrace.engine.broker.kafka.reader import Jump, Reader
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import BrokerUnavailable, NameLost, Told
from headrace.engine.ports.messages import Beat, ErrorInfo, Hello, Report, Reports, ToEngine

log = logging.getLogger(__name__)


class KafkaWorkerSide:
    """`WorkerSide` over Kafka. It makes the topics of its queues where they are missing."""

    def __init__(self, settings: KafkaSettings, worker_id: str, queues: Sequence[str]) -> None:
        if not queues:
            raise ValueError("A worker listens on at least one queue.")
        self._settings = settings
        self._worker_id = worker_id
        self._key = worker_id.encode()
        self._queues = {topics.task_topic(settings, queue): queue for queue in queues}
        self._status = settings.prefix + topics.STATUS
        self._workers = settings.prefix + topics.WORKERS
        self._connection = Connection(settings, f"headrace-worker-{worker_id}")
        self._reader = Reader(self._connection, self._deliver, self._jumped)
        self._publisher = Publisher(self._connection)
        self._bell = Bell()
        self._woken = False
        self._told: list[Told] = []
        self._buffered = 0
        self._inbox = -1
        self._start = uuid4().hex  # tells our own Hello
        self._greeted: set[TopicPartition] = set()  # inboxes from which our own Hello was read
        self._lost = False

    @property
    def inbox(self) -> int:
        return self._inbox

    async def start(self) -> None:
        counts = await topics.ensure_queues(self._settings, self._queues.values())
        await topics.require(self._settings, (topics.STATUS, topics.WORKERS))
        self._inbox = crc32(self._key) % next(iter(counts.values()))
        inboxes = [TopicPartition(topic, self._inbox) for topic in self._queues]
        try:
            await self._publisher.start()
            await self._reader.start()
            bounds = await self._reader.bounds(inboxes)
        except BaseException:
            await self.stop()
            raise
        self._reader.seek({partition: bounds[partition].end for partition in inboxes})
        hello = wire.enveloped(Hello(self._worker_id, self._start))
        for partition in inboxes:
            self._publisher.send(
                partition.topic, partition.partition, hello, _unregarded, key=self._key, headers=JSON
            )

    async def stop(self) -> None:
        await self._reader.stop()
        await self._publisher.stop(STOP_SECONDS)
        self.wake()

    async def receive(self, timeout: float | None) -> list[Told]:
        self._bell.clear()
        if not self._told and not self._woken and timeout != 0:
            await self._bell.wait(timeout)
        self._woken = False
        if self._lost:
            raise NameLost(
                f"Another process has started as worker {self._worker_id}; this one takes nothing more under that name."
            )
        told, self._told = self._told, []
        if self._buffered:
            self._buffered = 0
            self._reader.more()
        return told

    def wake(self) -> None:
        self._woken = True
        self._bell.ring()

    def hand_over(self, take: Callable[[Sequence[Told]], None]) -> bool:
        """Never: messages come in bulk."""
        return False

    def report_at_once(self, part: int, message: ToEngine) -> bool:
        """Never: the broker acknowledges first."""
        return False

    async def report(self, part: int, message: ToEngine) -> None:
        """Raises BrokerUnavailable when it was refused: not allowed, or the part has no partition."""
        await asyncio.gather(
            *(self._publish(self._status, part, body) for body in _reports(message)),
        )

    async def beat(self, beat: Beat) -> None:
        await self._publish(self._workers, 0, wire.enveloped(beat), latest=True)

    async def _publish(self, topic: str, partition: int, body: bytes, latest: bool = False) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(why: str | None) -> None:
            if done.done():
                return
            if why is None:
                done.set_result(None)
            else:
                done.set_exception(BrokerUnavailable(f"Kafka did not take a message for {topic}: {why}."))

        self._publisher.send(topic, partition, body, settled, key=self._key, headers=JSON, latest=latest)
        await done

    def _deliver(self, partition: TopicPartition, records: list[ConsumerRecord]) -> bool:
        queue = self._queues[partition.topic]
        for record in records:
            if record.key is not None and record.key != self._key:
                continue  # the inbox is shared, and the key says whose it is
            body = record.value or b""
            self._buffered += len(body)
            decoded = wire.decode_to_worker(body)
            for fault in decoded.faults:
                # The engine asks after an attempt that nobody answers for, so it is not lost.
                log.error("%s, offset %d cannot be read: %s", partition.topic, record.offset, fault.reason)
            message = decoded.message
            if isinstance(message, Hello):
                self._greet(partition, message)
            elif message is not None:
                self._told.append(Told(queue, message))
        if self._told:
            self._bell.ring()
        return self._buffered < BUFFERED_BYTES

    def _greet(self, partition: TopicPartition, hello: Hello) -> None:
        """The order in the log decides whose the name is: the last one's."""
        if hello.to != self._worker_id:
            return
        if hello.incarnation == self._start:
            self._greeted.add(partition)
        elif partition in self._greeted and not self._lost:
            self._lost = True
            self.wake()

    def _jumped(self, jump: Jump) -> None:
        """What was cut off was for this worker perhaps; the engine asks after what nobody answers for."""
        log.warning(
            "%s, partition %d: offset %d is outside of the log, going on at %d.",
            jump.partition.topic,
            jump.partition.partition,
            jump.wanted,
            jump.found,
        )


def _unregarded(why: str | None) -> None:
    """A Hello that is not taken leaves the name to whoever has it."""


def _reports(message: ToEngine) -> list[bytes]:
    """The envelopes of a message; a report that no broker takes says so instead of what it would have said."""
    bodies = []
    for piece, body in wire.encode_to_engine(message):
        if len(body) > wire.RECORD_BYTES and isinstance(piece, Reports):
            small = Reports(
                piece.worker, piece.incarnation, [_too_large(each, len(body)) for each in piece.items]
            )
            bodies += [body for _, body in wire.encode_to_engine(small)]
        else:
            bodies.append(body)
    return bodies


def _too_large(report: Report, size: int) -> Report:
    error = ErrorInfo(
        "ReportTooLarge",
        f"What the task returned or raised takes {size} bytes in a message; {wire.RECORD_BYTES} are possible. "
        "Return less, or write it to an artifact.",
        reason="invalid_output",
        retryable=False,
    )
    return Report(
        report.run,
        report.generation,
        report.task,
        report.map,
        report.attempt,
        report.epoch,
        report.n,
        "failed",
        report.started_at,
        report.finished_at,
        error=error,
    )
