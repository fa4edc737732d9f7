"""Publishing without waiting: every record is kept until the broker has it, and sent again by a new producer when not.

Records of one partition, a lane, go out in the order in which they were given. An idempotent producer keeps that order
and adds no duplicates as long as it lives; after an error in its sequence, or ten seconds without an acknowledgement,
it is left, and a new one sends everything unacknowledged again, lane by lane from the oldest. What the broker will never
take, because it is too large or not allowed, is given back to whoever sent it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from headrace.engine.broker.kafka.connection import Connection, Producer
from headrace.engine.ports.broker import BrokerUnavailable

ACKNOWLEDGED_WITHIN = 10.0
"""Seconds after which what was sent is sent again by a new producer."""

UNKNOWN_FOR = 10.0
"""Seconds after which a topic that a reachable cluster does not know counts as missing."""

BARRED_FOR = 5.0
"""Seconds for which a topic is not tried again after the broker said that it is not allowed."""

ALONE_SECONDS = 0.1
"""Between two looks at whether a record on its own way was left with its producer."""

FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_NOT_ALLOWED = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes]]

JSON: Headers = (("content-type", b"application/json"),)
"""The headers of every message."""


class Record:
    """One record on its way. `weight` counts into `Publisher.unacknowledged`; `settled` is called once, with None when
    the broker has it, or with why it never will."""

    __slots__ = ("alone", "headers", "key", "sent_at", "settled", "value", "weight")

    def __init__(
        self,
        value: bytes,
        key: bytes | None,
        headers: Headers,
        weight: int,
        settled: Callable[[str | None], None],
    ) -> None:
        self.value = value
        self.key = key
        self.headers = headers
        self.weight = weight
        self.settled = settled
        self.sent_at = 0.0
        self.alone = False  # handed over in a batch of its own


class _Lane:
    """One partition: what waits for a producer, what a producer has, and the task that hands over."""

    __slots__ = ("alone", "barred", "barred_until", "latest", "partition", "pump", "sent", "topic", "waiting")

    def __init__(self, topic: str, partition: int, latest: bool) -> None:
        self.topic = topic
        self.partition = partition
        self.latest = latest  # only the newest record is of use
        self.alone = False  # each record in a batch of its own, to find the one that is too large
        self.barred = ""
        self.barred_until = 0.0
        self.waiting: deque[Record] = deque()
        self.sent: deque[Record] = deque()
        self.pump: asyncio.Task[None] | None = None


class Publisher:
    """Sends records to explicit partitions. All methods are called on one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._producer: Producer | None = None
        self._there = asyncio.Event()  # a producer that works
        self._calm = asyncio.Event()  # nothing unsettled
        self._calm.set()
        self._open = 0
        self._renewal: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self.unacknowledged = 0
        self.renewals = 0

    async def start(self) -> None:
        """Raises BrokerUnavailable."""
        producer = self._connection.producer()
        try:
            async with asyncio.timeout(3 * ACKNOWLEDGED_WITHIN):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await producer.abandon()
            raise await self._connection.explain(error) from error
        except BaseException:  # a command that waits no longer
            await producer.abandon()
            raise
        self._producer = producer
        self._there.set()
        self._watch = asyncio.create_task(self._watch_acknowledgements(), name="kafka-acknowledgements")

    @property
    def connected(self) -> bool:
        """Whether there is a producer that works."""
        return self._there.is_set()

    async def stop(self, grace: float) -> None:
        """Wait at most `grace` seconds for acknowledgements, then leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.flush()
        self._closed = True
        tasks = [lane.pump for lane in self._lanes.values()] + [self._watch, self._renewal]
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        if self._producer is not None:
            await self._producer.abandon()
            self._producer = None
        for lane in self._lanes.values():
            for record in (*lane.sent, *lane.waiting):
                self._settle(record, "the connection was closed before it was acknowledged")
            lane.sent.clear()
            lane.waiting.clear()

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        settled: Callable[[str | None], None],
        *,
        key: bytes | None = None,
        headers: Headers = (),
        weight: int = 0,
        latest: bool = False,
    ) -> None:
        """Publish behind everything given before for this partition.

        `latest`: a record of this partition that still waits when this one comes is of no use any more.
        Raises BrokerUnavailable after `stop`.
        """
        if self._closed:
            raise BrokerUnavailable("The connection to Kafka is closed.")
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition, latest)
        self._open += 1
        self._calm.clear()
        self.unacknowledged += weight
        lane.waiting.append(Record(value, key, headers, weight, settled))
        if latest:
            self._keep_latest(lane)
        if lane.pump is None:
            lane.pump = asyncio.create_task(self._pump(lane))

    def unsettled(self, topic: str, partition: int) -> int:
        """How many records of this partition the broker does not have yet."""
        lane = self._lanes.get((topic, partition))
        return 0 if lane is None else len(lane.waiting) + len(lane.sent)

    async def flush(self) -> None:
        """Wait until everything is settled."""
        await self._calm.wait()

    # handing over ----------------------------------------------------------------------------------------------------
    async def _pump(self, lane: _Lane) -> None:
        """Hand what waits to the producer, in order."""
        try:
            while lane.waiting:
                await self._there.wait()
                producer = self._producer
                assert producer is not None
                if lane.barred_until > monotonic():
                    self._refuse_waiting(lane, lane.barred)
                    continue
                if not producer.knows(lane.topic):
                    await self._look_for(lane)
                    continue
                record = lane.waiting[0]
                try:
                    acknowledged = await self._hand_over(producer, lane, record)
                except _TOO_LARGE as error:
                    self._settle_waiting(lane, record, f"it is too large: {_said(error)}")
                    continue
                except _NOT_ALLOWED as error:
                    self._bar(lane, f"the broker does not allow it: {_said(error)}")
                    continue
                except UnknownTopicOrPartitionError:
                    await self._look_for(lane)
                    continue
                except Exception as error:  # whatever else the client raises: another one may do better
                    if producer is self._producer:
                        self._renew(error)
                    await asyncio.sleep(FIRST_WAIT)
                    continue
                if producer is not self._producer or not lane.waiting or lane.waiting[0] is not record:
                    continue  # left meanwhile: it goes again
                lane.waiting.popleft()
                record.sent_at, record.alone = monotonic(), lane.alone
                lane.sent.append(record)
                acknowledged.add_done_callback(partial(self._acknowledged, producer, lane, record))
                while lane.alone and not acknowledged.done() and producer is self._producer:
                    # One that was left may never say what became of this; then the record waits again already.
                    await asyncio.wait([acknowledged], timeout=ALONE_SECONDS)
            lane.alone = False
        finally:
            lane.pump = None

    async def _hand_over(self, producer: Producer, lane: _Lane, record: Record) -> asyncio.Future[Any]:
        try:
            acknowledged: asyncio.Future[Any] = await producer.send(
                lane.topic,
                record.value,
                key=record.key,
                partition=lane.partition,
                headers=list(record.headers),
            )
        except AssertionError:  # how aiokafka says that the topic has no such partition
            raise UnknownTopicOrPartitionError from None
        return acknowledged

    def _acknowledged(
        self, producer: Producer, lane: _Lane, record: Record, future: asyncio.Future[Any]
    ) -> None:
        error = None if future.cancelled() else future.exception()
        if producer is not self._producer:
            return  # a new producer sends it again
        if error is None and not future.cancelled():
            if lane.sent and lane.sent[0] is record:
                lane.sent.popleft()
            else:
                lane.sent.remove(record)
            self._settle(record, None)
        elif isinstance(error, _TOO_LARGE):
            if record.alone:
                lane.sent.remove(record)
                self._settle(record, f"it is too large: {_said(error)}")
            lane.alone = True
            self._renew(error)  # the sequence of this partition has a hole now
        elif isinstance(error, _NOT_ALLOWED):
            lane.sent.remove(record)
            self._settle(record, f"the broker does not allow it: {_said(error)}")
            self._bar(lane, f"the broker does not allow it: {_said(error)}")
            self._renew(error)
        elif not isinstance(error, ProducerClosed):
            self._renew(error)

    async def _look_for(self, lane: _Lane) -> None:
        """Wait for a topic or partition that the producer does not know. Others go on meanwhile."""
        since = monotonic()
        while True:
            await self._there.wait()
            producer = self._producer
            assert producer is not None
            try:
                async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                    partitions = await producer.partitions_of(lane.topic)
            except (KafkaError, OSError, TimeoutError):
                since = monotonic()  # the cluster is not there: that says nothing about the topic
            else:
                if lane.partition in partitions:
                    return
                if monotonic() - since > UNKNOWN_FOR:
                    what = (
                        f"partition {lane.partition} of topic {lane.topic}"
                        if partitions
                        else f"topic {lane.topic}"
                    )
                    self._bar(lane, f"there is no {what}")
                    return
            await asyncio.sleep(0.5)

    # renewing --------------------------------------------------------------------------------------------------------
    def _renew(self, error: BaseException | None) -> None:
        if self._renewal is None and not self._closed:
            log.warning("Kafka: a new producer sends again what is not acknowledged (%s).", _said(error))
            self._there.clear()
            self._renewal = asyncio.create_task(self._renewed(), name="kafka-producer")

    async def _renewed(self) -> None:
        try:
            old, self._producer = self._producer, None
            for lane in self._lanes.values():
                lane.waiting.extendleft(reversed(lane.sent))
                lane.sent.clear()
                if lane.latest:
                    self._keep_latest(lane)
            if old is not None:
                await old.abandon()
            wait = FIRST_WAIT
            while True:
                producer = self._connection.producer()
                try:
                    async with asyncio.timeout(3 * ACKNOWLEDGED_WITHIN):
                        await producer.start()
                    break
                except Exception as error:
                    log.debug("Kafka: no new producer yet (%s).", _said(error))
                    await producer.abandon()
                except BaseException:
                    await producer.abandon()
                    raise
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            self.renewals += 1
            self._producer = producer
            self._there.set()
            for lane in self._lanes.values():
                if lane.waiting and lane.pump is None:
                    lane.pump = asyncio.create_task(self._pump(lane))
        finally:
            self._renewal = None

    async def _watch_acknowledgements(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            late = monotonic() - ACKNOWLEDGED_WITHIN
            if any(lane.sent and lane.sent[0].sent_at < late for lane in self._lanes.values()):
                self._renew(TimeoutError(f"no acknowledgement within {ACKNOWLEDGED_WITHIN:g} s"))

    # settling --------------------------------------------------------------------------------------------------------
    def _settle(self, record: Record, why: str | None) -> None:
        self._open -= 1
        self.unacknowledged -= record.weight
        if not self._open:
            self._calm.set()
        record.settled(why)

    def _settle_waiting(self, lane: _Lane, record: Record, why: str) -> None:
        if lane.waiting and lane.waiting[0] is record:
            lane.waiting.popleft()
            self._settle(record, why)

    def _bar(self, lane: _Lane, why: str) -> None:
        lane.barred, lane.barred_until = why, monotonic() + BARRED_FOR
        self._refuse_waiting(lane, why)

    def _refuse_waiting(self, lane: _Lane, why: str) -> None:
        while lane.waiting:
            self._settle(lane.waiting.popleft(), why)

    def _keep_latest(self, lane: _Lane) -> None:
        while len(lane.waiting) > 1:
            self._settle(lane.waiting.popleft(), None)


def _said(error: BaseException | None) -> str:
    return str(error) or type(error).__name__
