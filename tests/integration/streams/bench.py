"""Engines' streams on real servers, and clients that write and read topics as strangers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.streams.serving import EngineStreams
from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.letters import PoisonLetter
from headrace.engine.ports.store import Batch, RunRow, RunUpdate, VersionRow
from headrace.engine.ports.team import TeamStore
from headrace.engine.shell.clock import SystemClock
from headrace.engine.shell.intake import Intake
from headrace.engine.shell.plans import Plans
from headrace.engine.store import open_store
from headrace.runners import authored

T = TypeVar("T")

WITHIN = 30.0


class Bench:
    """One database, topics of its own, and streams that are started and stopped by name."""

    def __init__(self, settings: KafkaSettings, store: TeamStore, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.store = store
        self.nudged: list[int] = []
        self.clock = SystemClock()
        self._producer = producer
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._consumers: list[AIOKafkaConsumer] = []

    @classmethod
    async def open(cls, settings: KafkaSettings, url: str) -> Bench:
        store = await open_store(url)
        assert isinstance(store, TeamStore)
        producer = AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap), linger_ms=0)
        await producer.start()
        return cls(settings, store, producer)

    async def close(self) -> None:
        for name in list(self._serving):
            await self.stop(name)
        for consumer in self._consumers:
            await consumer.stop()
        await self._producer.stop()
        await self.store.close()

    # engines ---------------------------------------------------------------------------------------------------------
    def intake(self, store: TeamStore | None = None) -> Intake:
        store = store or self.store
        check = authored.checker(CelEvaluator())
        return Intake(store, Plans(store), check, self.nudged.append, self.clock, project="default")

    def start(self, name: str = "one", store: TeamStore | None = None) -> None:
        """The streams of an engine."""
        store = store or self.store
        streams = EngineStreams(self.settings, name, self.intake(store).take, store, self.clock.now)
        self._serving[name] = asyncio.create_task(streams.run())

    async def stop(self, name: str = "one") -> None:
        task = self._serving.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def register(self, plan: Plan, project: str = "default") -> VersionRow:
        document = canonical_json(to_document(plan.workflow))
        name = plan.workflow.name
        return await self.store.register(VersionRow(project, name, 0, plan.hash, document, None, (), 0.0))

    # strangers -------------------------------------------------------------------------------------------------------
    async def send(
        self,
        topic: str,
        body: object,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Any:
        """Bytes as they are, anything else as JSON. Returns where it lies."""
        value = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await self._producer.send_and_wait(
            self.settings.prefix + topic,
            value,
            b"k" if value is None else None,
            partition,
            headers=list(headers),
        )

    async def listen(self, topic: str) -> Callable[[], Awaitable[ConsumerRecord]]:
        """Reads a topic from its beginning, one message a call."""
        consumer = AIOKafkaConsumer(
            self.settings.prefix + topic,
            bootstrap_servers=list(self.settings.bootstrap),
            auto_offset_reset="earliest",
            group_id=None,
        )
        await consumer.start()
        self._consumers.append(consumer)
        return lambda: asyncio.wait_for(consumer.getone(), WITHIN)

    # what became of it -----------------------------------------------------------------------------------------------
    async def runs(self) -> list[RunRow]:
        return await self.store.list_runs("default", limit=500)

    async def poison(self) -> list[PoisonLetter]:
        return await self.store.poison(500)

    async def until(self, look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
        """What `look` sees when `holds` says so."""
        seen: Any = None
        try:
            async with asyncio.timeout(WITHIN):
                while not holds(seen := await look()):  # noqa: ASYNC110 (others write there)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {WITHIN:.0f} s: {seen}") from None
        found: T = seen
        return found

    async def end(self, run: RunRow) -> None:
        """What the owner of its part does when the run is cancelled."""
        owned = await self.store.claim(run.part, "owner")
        update = RunUpdate(run.no, int(RunState.CANCELLED), None, 1, 1.0, 2.0, None, None, False, None)
        batch = Batch(run.part, owned.epoch, owned.seq + 1, 2.0, runs=[update])
        assert await self.store.commit([batch]) == []
