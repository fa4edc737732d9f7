"""Brokers to test: each adapter as a house in which engines and workers are started, and ended with the test."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from zlib import crc32

from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.worker_side import KafkaWorkerSide
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.ports.broker import Arrived, EngineSide, Told, WorkerSide
from headrace.engine.ports.messages import Ask, Beat, Reports

PARTS, INBOXES = 3, 2
QUEUES = ("default", "gpu")
PATIENCE = 20
"""Seconds in which anything that must happen has happened, on a busy machine too."""


class House:
    """One broker of its own for a test."""

    kind: str

    def __init__(self) -> None:
        self._sides: list[EngineSide | WorkerSide] = []

    async def engine(self, *parts: int, name: str = "engine") -> EngineSide:
        """Started, reading these parts from their beginning."""
        side = self._engine(name)
        await side.start()
        self._sides.append(side)
        for part in parts:
            side.seek(part, 0)
        return side

    async def worker(self, name: str = "w", queues: Sequence[str] = QUEUES) -> WorkerSide:
        """Started. Its inbox is counted from its name."""
        side = self._worker(name, queues)
        await side.start()
        self._sides.append(side)
        return side

    async def close(self) -> None:
        for side in reversed(self._sides):
            await side.stop()

    def _engine(self, name: str) -> EngineSide:
        raise NotImplementedError

    def _worker(self, name: str, queues: Sequence[str]) -> WorkerSide:
        raise NotImplementedError


class MemoryHouse(House):
    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.broker = MemoryBroker(parts=PARTS, inboxes=INBOXES)

    def _engine(self, name: str) -> EngineSide:
        return self.broker.engine_side()

    def _worker(self, name: str, queues: Sequence[str]) -> WorkerSide:
        return self.broker.worker_side(name, crc32(name.encode()) % INBOXES, queues)


class KafkaHouse(House):
    kind = "kafka"

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__()
        self.settings = dataclasses.replace(settings, inboxes=INBOXES)

    async def prepare(self) -> KafkaHouse:
        await topics.ensure(self.settings, PARTS, QUEUES)
        return self

    def _engine(self, name: str) -> KafkaEngineSide:
        return KafkaEngineSide(self.settings, name)

    def _worker(self, name: str, queues: Sequence[str]) -> KafkaWorkerSide:
        return KafkaWorkerSide(self.settings, name, queues)


def named(inbox: int, stem: str = "worker") -> str:
    """A worker's name that leads to this inbox."""
    return next(name for i in range(100) if crc32((name := f"{stem}{i}").encode()) % INBOXES == inbox)


def reports(number: int) -> Reports:
    return Reports(f"w{number}", "i", [])


def number_of(message: object) -> int:
    assert isinstance(message, Reports)
    return int(message.worker[1:])


def ask(number: int, to: str = "w") -> Ask:
    return Ask(to, 0, number, None)


def beat(worker: str, ahead: int = 0) -> Beat:
    return Beat(worker, "i", 0, ["default"], {}, 1, ahead, 0)


async def gather(side: EngineSide, count: int) -> list[Arrived]:
    """Read until `count` different numbered reports have come."""
    arrived: list[Arrived] = []
    async with asyncio.timeout(PATIENCE):
        while len({number_of(each.message) for each in arrived}) < count:
            arrived += await side.receive(1.0)
    return arrived


async def told(side: WorkerSide, count: int) -> list[Told]:
    """Read until `count` messages have come."""
    heard: list[Told] = []
    async with asyncio.timeout(PATIENCE):
        while len(heard) < count:
            heard += await side.receive(1.0)
    return heard


async def until(side: EngineSide, true: object) -> None:
    """Wait until `true()` is, receiving and dropping meanwhile."""
    assert callable(true)
    async with asyncio.timeout(PATIENCE):
        while not true():
            await side.receive(0.05)
