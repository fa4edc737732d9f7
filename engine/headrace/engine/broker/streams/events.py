"""job-events over Kafka: what the shell's Announcer tells goes to the partition of the run's part. aiokafka directly, for the order
of a partition is kept over errors by `Publisher` alone."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.publisher import Headers, Publisher
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import EVENTS
from headrace.engine.ports.broker import BrokerUnavailable

READ_WITHIN = 10.0
"""Seconds that reading a partition's last event may take."""
GRACE = 5.0
"""Seconds at the end in which what was sent must be acknowledged; what is not is told again by the next owner."""
WEIGHT = 200
"""What an event costs beside its bytes."""

CLOUD_EVENT: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)

_logger = logging.getLogger(__name__)


class KafkaOutlet:
    """Implements ports.announcing.Outlet. `name`: the engine's."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self._connection = Connection(settings, f"headrace-events-{name}")
        self._topic = settings.prefix + EVENTS
        self._publisher = Publisher(self._connection)
        self.held = 0
        self._less = asyncio.Event()

    async def start(self) -> None:
        """Raises BrokerUnavailable."""
        await self._publisher.start()

    async def stop(self) -> None:
        await self._publisher.stop(GRACE)

    def send(self, part: int, run: str, event: bytes) -> None:
        """Never blocks; after `stop` it is left to history."""
        size = len(event) + WEIGHT
        try:
            self._publisher.send(
                self._topic,
                part,
                event,
                partial(self._settled, size),
                key=run.encode(),
                headers=CLOUD_EVENT,
            )
        except BrokerUnavailable:
            return
        self.held += size

    def _settled(self, size: int, why: str | None) -> None:
        self.held -= size
        self._less.set()
        if why is not None:
            _logger.warning("an event was not taken: %s", why)

    async def room(self, most: int) -> None:
        """Returns when no more than that is held."""
        while self.held > most:
            self._less.clear()
            await self._less.wait()

    async def last(self, part: int) -> bytes | None:
        """The last event of the partition; None while it holds none. Raises BrokerUnavailable."""
        consumer = self._connection.consumer()
        try:
            async with asyncio.timeout(READ_WITHIN):
                await consumer.start()
                partition = TopicPartition(self._topic, part)
                consumer.assign([partition])
                begin = (await consumer.beginning_offsets([partition]))[partition]
                end = (await consumer.end_offsets([partition]))[partition]
                if end <= begin:
                    return None
                consumer.seek(partition, end - 1)
                record = await consumer.getone(partition)
                return record.value or b""
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._connection.explain(error) from error
        finally:
            await consumer.stop()
