"""What waits for a broker that is not there."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiokafka import TopicPartition

from headrace.engine.broker.kafka.connection import Connection, Producer
from headrace.engine.broker.kafka.engine_side import CROWDED, KafkaEngineSide
from headrace.engine.broker.kafka.nudger import Nudger
from headrace.engine.broker.kafka.publisher import Publisher, Record
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.messages import Abort, Ask

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


async def test_questions_and_stops_do_not_heap_up_and_barriers_are_kept() -> None:
    """The sweeper says them again; attempts are counted, and a barrier is said only once."""
    engine = KafkaEngineSide(NOBODY, "e")
    key = [(1, 1, 0, 0, 1)]
    for _ in range(2_000):
        engine.send("default", 0, Ask("w", 0, 1, key, [(1, 1)]))
        engine.send("default", 0, Abort("w", 0, 1, key, 1.0, [(1, 1)]))
    assert engine._publisher._open == CROWDED
    engine.send("default", 0, Ask("w", 0, 1, None))
    engine.send("default", 1, Ask("v", 0, 1, key, [(1, 1)]))
    assert engine._publisher._open == CROWDED + 2
    await engine._publisher.stop(0.0)


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


async def test_a_producer_that_is_left_says_nothing_of_its_own() -> None:
    """What it had is sent by the next one: asyncio must not tell of futures that nobody waits for."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    producer = Connection(NOBODY, "test").producer()
    for partition in range(3):
        record = await producer._message_accumulator.add_message(
            TopicPartition("t", partition), None, b"x", timeout=1.0
        )
        record.add_done_callback(lambda done: done.exception())
    await producer.abandon()
    del producer, record
    gc.collect()
    assert told == []


async def test_a_record_on_its_own_way_is_not_waited_for_when_its_producer_was_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While one that is too large is looked for, somebody else has the producer replaced."""
    given: list[Producer] = []
    settled: list[str | None] = []
    first = asyncio.Event()

    async def hand_over(producer: Producer, lane: object, record: Record) -> asyncio.Future[None]:
        given.append(producer)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(given) > 1:
            answer.set_result(None)
        first.set()
        return answer

    async def left(producer: Producer) -> None:
        producer._closed = True

    async def started(producer: Producer) -> None: ...

    publisher = Publisher(Connection(NOBODY, "test"))
    monkeypatch.setattr(publisher, "_hand_over", hand_over)
    monkeypatch.setattr(Producer, "abandon", left)
    monkeypatch.setattr(Producer, "start", started)
    monkeypatch.setattr(Producer, "knows", lambda producer, topic: True)
    publisher._producer = publisher._connection.producer()
    publisher._there.set()
    publisher.send("t", 0, b"x", settled.append)
    publisher._lanes["t", 0].alone = True
    await first.wait()
    publisher._renew(TimeoutError("no acknowledgement"))
    async with asyncio.timeout(5):
        await publisher.flush()
    assert settled == [None]
    assert len(set(given)) == 2
    await publisher.stop(0.0)


async def test_a_start_that_is_given_up_leaves_no_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command waits two seconds for its nudge. aiokafka tells on the terminal of a producer that nobody closed."""
    begun = asyncio.Event()
    left: list[Producer] = []

    async def never(producer: Producer) -> None:
        producer._closed = False
        begun.set()
        await asyncio.Event().wait()

    async def leaving(producer: Producer) -> None:
        producer._closed = True
        left.append(producer)

    monkeypatch.setattr(Producer, "start", never)
    monkeypatch.setattr(Producer, "_left", leaving)
    starting = asyncio.create_task(Publisher(Connection(NOBODY, "test")).start())
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert len(left) == 1
