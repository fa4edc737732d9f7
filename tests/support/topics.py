"""Topics of a cluster as a stranger sees them, who writes to them and reads them with any client of Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from tests.support.deployment import Deployment
from tests.support.waiting import PATIENCE


def ask(deployment: Deployment, *requests: dict[str, Any], headers: Sequence[tuple[str, bytes]] = ()) -> None:
    """Messages on job-requests."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=list(deployment.kafka.bootstrap))
        await producer.start()
        try:
            topic = deployment.kafka.prefix + "job-requests"
            bodies = [json.dumps(each).encode() for each in requests]
            await asyncio.gather(
                *(producer.send_and_wait(topic, body, headers=list(headers)) for body in bodies)
            )
        finally:
            await producer.stop()

    deployment.go(send())


def heard(deployment: Deployment, topic: str, number: int) -> Sequence[dict[str, Any]]:
    """The first messages of a topic."""

    async def read() -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE), _reader(deployment, topic) as consumer:
            return [json.loads((await consumer.getone()).value) for _ in range(number)]

    return deployment.go(read())


def found(deployment: Deployment, topic: str, wanted: Callable[[ConsumerRecord], bool]) -> ConsumerRecord:
    """The first record of a topic that is wanted."""

    async def read() -> ConsumerRecord:
        async with asyncio.timeout(PATIENCE), _reader(deployment, topic) as consumer:
            while not wanted(record := await consumer.getone()):
                pass
            return record

    return deployment.go(read())


@asynccontextmanager
async def _reader(deployment: Deployment, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        deployment.kafka.prefix + topic,
        bootstrap_servers=list(deployment.kafka.bootstrap),
        auto_offset_reset="earliest",
        group_id=None,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
