"""What an engine does beside the hot path: answers requests, keeps logs, tells of what failed for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import ConsumerRecord

from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import DEAD, LOGS, REQUESTS
from headrace.engine.broker.streams.letters import DeadLetters
from headrace.engine.broker.streams.logs import LogKeeper
from headrace.engine.broker.streams.streams import Reading, Records, Streams
from headrace.engine.ports.requests import Asked
from headrace.engine.ports.team import TeamStore
from headrace.engine.ports.traces import HEADER, traceparent

TakeRequests = Callable[[Sequence[Asked]], Awaitable[None]]


class EngineStreams:
    """The topics beside the hot path for one engine; engines share each of them.

    Args:
        settings: where Kafka is, and the prefix of topics and groups.
        name: the engine's.
        requests: returns when each request has become a run or a dead letter.
        store: where logs and dead letters are.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        name: str,
        requests: TakeRequests,
        store: TeamStore,
        now: Callable[[], float],
    ) -> None:
        prefix = settings.prefix
        self._dead = prefix + DEAD
        self._requests = requests
        self._streams = Streams(
            settings,
            name,
            (
                Reading(prefix + REQUESTS, f"{prefix}headrace-requests", self._take_requests),
                Reading(
                    prefix + LOGS, f"{prefix}headrace-logs", LogKeeper(store, now).take, most=50, linger=0.3
                ),
            ),
        )
        self._letters = DeadLetters(store, self._publish, now)

    async def run(self) -> None:
        """Until cancelled. Raises what a part of it raised."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._streams.run())
            group.create_task(self._letters.run())

    async def _take_requests(self, records: Records) -> None:
        await self._requests([_asked(record) for record in records])
        self._letters.look()

    async def _publish(self, body: bytes, key: bytes) -> None:
        await self._streams.publish(self._dead, body, key)


def _asked(record: ConsumerRecord) -> Asked:
    trace = traceparent([value for name, value in record.headers if name == HEADER])
    return Asked(record.topic, record.partition, record.offset, record.timestamp, record.value or b"", trace)
