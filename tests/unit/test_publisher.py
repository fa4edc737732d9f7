"""What waits for a broker that is not there."""

from __future__ import annotations

import asyncio

import pytest

from headrace.engine.broker.kafka.connection import Connection, Producer
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.nudger import Nudger
from headrace.engine.broker.kafka.publisher import Publisher
from headrace.engine.broker.kafka.settings import KafkaSettings

NOBODY = KafkaSettings(("127.0.0.1:1",))


@pytest.mark.parametrize("who", ["a command", "an engine"])
async def test_nudges_do_not_heap_up(who: str) -> None:
    nudger: Nudger | KafkaEngineSide
    nudger = Nudger(NOBODY, "cli") if who == "a command" else KafkaEngineSide(NOBODY, "e")
    if isinstance(nudger, KafkaEngineSide):
        nudger.parts = 2
    for _ in range(1_000):
        nudger.nudge(0)
        nudger.nudge(1)
    assert nudger._publisher._open == 2
    await nudger._publisher.stop(0.0)
    assert nudger._publisher._open == 0


async def test_a_producer_that_cannot_be_left_is_replaced_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise nothing would be sent any more, and nobody would say so."""
    there = asyncio.Event()

    async def broken(producer: Producer) -> None:
        producer._closed = True
        raise RuntimeError("its connection was gone")

    async def started(producer: Producer) -> None:
        there.set()

    publisher = Publisher(Connection(NOBODY, "test"))
    publisher._producer = publisher._connection.producer()
    monkeypatch.setattr(Producer, "_left", broken)
    monkeypatch.setattr(Producer, "start", started)
    publisher._renew(TimeoutError("no acknowledgement"))
    async with asyncio.timeout(5):
        await there.wait()
    await publisher.stop(0.0)
