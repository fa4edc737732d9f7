"""An engine's end of Kafka: reads its parts of job-status and all of job-workers, writes to the queues' topics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from aiokafka import ConsumerRecord, TopicPartition

from headrace.engine.broker.bell import Bell
from headrace.engine.broker.kafka import topics, wire
from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.publisher import JSON, Publisher
from headrace.engine.broker.kafka.reader import Jump, Reader
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import Arrived, Gap, Refused, Undecodable
from headrace.engine.ports.messages import Abort, Ask, Beat, Dispatches, Drain, Lines, Nudge, ToWorker

BUFFERED_BYTES = 4 * 1024 * 1024
"""What is read ahead of `receive`; the rest stays with the broker. A second's work: for so long beats may go unheard."""

POISON_BYTES = 64 * 1024
"""How much is kept of a message that cannot be read."""

BEATS_SECONDS = 6.0
"""An engine that starts reads job-workers as far back: older beats say nothing any more."""

CROWDED = 500
"""Records of one inbox that wait for the broker; more questions and stops are not added to them. Attempts are counted by
`unacknowledged`, these are not."""

STOP_SECONDS = 5.0
"""How long `stop` waits for acknowledgements."""

log = logging.getLogger(__name__)


class KafkaEngineSide:
    """`EngineSide` over Kafka. `engine_id` tells its own lines from those of others."""

    def __init__(self, settings: KafkaSettings, engine_id: str) -> None:
        self._settings = settings
        self._engine_id = engine_id
        self._key = engine_id.encode()
        self._status = settings.prefix + topics.STATUS
        self._workers = TopicPartition(settings.prefix + topics.WORKERS, 0)
        self._connection = Connection(settings, f"headrace-engine-{engine_id}")
        self._reader = Reader(self._connection, self._deliver, self._jumped)
        self._publisher = Publisher(self._connection)
        self._bell = Bell()
        self._woken = False
        self._arrived: list[Arrived] = []
        self._buffered = 0
        self._heard: list[Beat | Lines] = []
        self._gaps: list[Gap] = []
        self._refused: list[Refused] = []
        self._topics: dict[str, str] = {}
        self.parts = 0
        """Partitions of job-status; known after `start`."""

    async def start(self) -> None:
        found = await topics.require(self._settings, (topics.STATUS, topics.WORKERS))
        self.parts = found[topics.STATUS]
        try:
            await self._publisher.start()
            await self._reader.start()
            since = await self._reader.appended_within(self._workers, BEATS_SECONDS)
        except BaseException:
            await self.stop()
            raise
        self._reader.seek({self._workers: since})

    async def stop(self) -> None:
        await self._reader.stop()
        await self._publisher.stop(STOP_SECONDS)
        self.wake()

    # reading ---------------------------------------------------------------------------------------------------------
    def seek(self, part: int, offset: int) -> None:
        self._drop(part)
        self._reader.seek({TopicPartition(self._status, part): offset})

    def leave(self, part: int) -> None:
        self._drop(part)
        self._reader.leave(TopicPartition(self._status, part))

    async def receive(self, timeout: float | None) -> list[Arrived]:
        self._bell.clear()
        if not self._arrived and not self._woken:
            if timeout == 0:
                await asyncio.sleep(0)  # the reader needs its turn, however busy the engine is
            else:
                await self._bell.wait(timeout)
        self._woken = False
        arrived, self._arrived = self._arrived, []
        if self._buffered:
            self._buffered = 0
            self._reader.more()
        return arrived

    def wake(self) -> None:
        self._woken = True
        self._bell.ring()

    def caught_up(self, part: int) -> bool:
        return not self._arrived and self._reader.caught_up(TopicPartition(self._status, part))

    def workers_caught_up(self) -> bool:
        return not self._heard and self._reader.caught_up(self._workers)

    def gaps(self) -> Sequence[Gap]:
        met, self._gaps = self._gaps, []
        return met

    def heard(self) -> Sequence[Beat | Lines]:
        heard, self._heard = self._heard, []
        return heard

    def _deliver(self, partition: TopicPartition, records: list[ConsumerRecord]) -> bool:
        if partition == self._workers:
            self._hear(records)
            return True
        part = partition.partition
        for record in records:
            body = record.value or b""
            self._buffered += len(body)
            decoded = wire.decode_to_engine(body)
            for fault in decoded.faults:
                poison = Undecodable(
                    self._status, part, record.offset, fault.reason, fault.body[:POISON_BYTES], fault.item
                )
                self._arrived.append(Arrived(part, record.offset, poison))
            if decoded.message is not None:
                self._arrived.append(Arrived(part, record.offset, decoded.message))
        self._bell.ring()
        return self._buffered < BUFFERED_BYTES

    def _hear(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            decoded = wire.decode_workers(record.value or b"")
            message = decoded.message
            if message is None:
                log.warning(
                    "job-workers, offset %d cannot be read: %s", record.offset, decoded.faults[0].reason
                )
            elif not (isinstance(message, Lines) and message.engine == self._engine_id):
                self._heard.append(message)
        if self._heard:
            self.wake()

    def _jumped(self, jump: Jump) -> None:
        if jump.partition.topic == self._status:
            self._gaps.append(Gap(jump.partition.partition, jump.wanted, jump.found))
            self.wake()

    def _drop(self, part: int) -> None:
        self._arrived = [each for each in self._arrived if each.part != part]

    # writing ---------------------------------------------------------------------------------------------------------
    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        topic = self._topics.get(queue)
        if topic is None:
            topic = self._topics[queue] = f"{self._settings.prefix}{topics.TASKS}{queue}"
        if self._said_again(message) and self._publisher.unsettled(topic, inbox) >= CROWDED:
            return
        key = message.to.encode()
        for piece, body in wire.encode_to_worker(message):
            headers, weight = JSON, 0
            if isinstance(piece, Dispatches):
                weight = len(piece.items)
                trace = next((item.trace for item in piece.items if item.trace is not None), None)
                if trace is not None:
                    headers = (*JSON, ("traceparent", trace.encode()))
            self._publisher.send(
                topic,
                inbox,
                body,
                partial(self._settled, queue, inbox, piece),
                key=key,
                headers=headers,
                weight=weight,
            )

    @staticmethod
    def _said_again(message: ToWorker) -> bool:
        """What the sweeper says again every few seconds, until it is answered. A barrier is said once."""
        return isinstance(message, Abort | Drain) or (isinstance(message, Ask) and message.keys is not None)

    async def flush(self) -> None:
        await self._publisher.flush()

    def refused(self) -> Sequence[Refused]:
        refused, self._refused = self._refused, []
        return refused

    @property
    def unacknowledged(self) -> int:
        return self._publisher.unacknowledged

    def nudge(self, part: int) -> None:
        if 0 <= part < self.parts:
            self._publisher.send(
                self._status,
                part,
                wire.enveloped(Nudge(part)),
                _unregarded,
                key=self._key,
                headers=JSON,
                latest=True,
            )

    def announce(self, lines: Lines) -> None:
        self._publisher.send(
            self._workers.topic,
            0,
            wire.enveloped(lines),
            _unregarded,
            key=self._key,
            headers=JSON,
            latest=True,
        )

    def _settled(self, queue: str, inbox: int, message: ToWorker, why: str | None) -> None:
        if why is not None:
            self._refused.append(Refused(queue, inbox, message, why))
            self.wake()


def _unregarded(why: str | None) -> None:
    """Lines are said anew all the time, and inboxes are looked at without a nudge too."""
