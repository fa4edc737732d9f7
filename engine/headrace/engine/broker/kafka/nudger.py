"""Nudging from processes that are neither engine nor worker: a command line, the API, a schedule."""

from __future__ import annotations

from headrace.engine.broker.kafka import topics, wire
from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.publisher import JSON, Publisher
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.messages import Nudge


class Nudger:
    """Tells the owner of a part to look at its inbox now, in place of within a second. Best effort: nobody waits for it.

    Keep one for as long as the process lives; a command closes it after its last nudge.
    """

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self._status = settings.prefix + topics.STATUS
        self._key = name.encode()
        self._publisher = Publisher(Connection(settings, f"headrace-{name}"))

    async def start(self) -> None:
        """Raises BrokerUnavailable."""
        await self._publisher.start()

    async def stop(self, grace: float = 1.0) -> None:
        """Waits for acknowledgements, at most `grace` seconds."""
        await self._publisher.stop(grace)

    @property
    def connected(self) -> bool:
        """Whether there is a connection that works; one that is lost is made again."""
        return self._publisher.connected

    def nudge(self, part: int) -> None:
        """One that still waits says as much as two: a process that goes on without Kafka keeps no more."""
        self._publisher.send(
            self._status,
            part,
            wire.enveloped(Nudge(part)),
            lambda why: None,
            key=self._key,
            headers=JSON,
            latest=True,
        )
