"""Kafka killed, stopped and paused in the middle of everything: nothing is lost, and order stays (faults 17, 18, 25)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from headrace.engine.broker.kafka import publisher, reader, topics
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import BrokerUnavailable, EngineSide, Gap, WorkerSide
from tests.contracts.brokers import PARTS, KafkaHouse, ask, beat, number_of, reports, until
from tests.support.servers import BreakableServers

COUNT = 600
LONG = 60
"""Seconds that a restart of the broker may take, with everything that must be made up for."""


@pytest.fixture
async def house(breakable_lab: BreakableServers) -> AsyncIterator[KafkaHouse]:
    settings = KafkaSettings((breakable_lab.kafka,), prefix=breakable_lab.kafka_prefix())
    made = await KafkaHouse(settings).prepare()
    yield made
    await made.close()


async def all_reports(engine: EngineSide, count: int) -> list[tuple[int, int]]:
    """(offset, number) of everything that comes, until all numbers have."""
    seen: list[tuple[int, int]] = []
    async with asyncio.timeout(LONG):
        while len({number for _, number in seen}) < count:
            seen += [(each.offset, number_of(each.message)) for each in await engine.receive(1.0)]
    return seen


async def all_told(worker: WorkerSide, count: int) -> list[int]:
    heard: list[int] = []
    async with asyncio.timeout(LONG):
        while len(set(heard)) < count:
            heard += [each.message.epoch for each in await worker.receive(1.0)]
    return heard


def in_order_of_first_arrival(numbers: list[int]) -> bool:
    first = list(dict.fromkeys(numbers))
    return first == sorted(first)


async def exchange(
    engine: EngineSide, worker: WorkerSide, count: int
) -> tuple[list[tuple[int, int]], list[int]]:
    """`count` messages each way, a few milliseconds apart."""

    async def down() -> None:
        for number in range(count):
            engine.send("default", worker.inbox, ask(number))
            await asyncio.sleep(0.005)

    async def up() -> None:
        waiting = []
        for number in range(count):
            waiting.append(asyncio.ensure_future(worker.report(0, reports(number))))
            await asyncio.sleep(0.005)
        await asyncio.gather(*waiting)

    sending = asyncio.gather(down(), up())
    seen, heard = await asyncio.gather(all_reports(engine, count), all_told(worker, count))
    await asyncio.wait_for(sending, LONG)
    await asyncio.wait_for(engine.flush(), LONG)
    return seen, heard


async def test_a_broker_killed_in_mid_produce_costs_nothing(
    house: KafkaHouse, breakable_lab: BreakableServers
) -> None:
    """faults 17"""
    engine, worker = await house.engine(0), await house.worker("w")
    exchanging = asyncio.ensure_future(exchange(engine, worker, COUNT))
    await asyncio.sleep(1.0)
    assert not exchanging.done()
    breakable_lab.kill("kafka")
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    seen, heard = await exchanging
    assert in_order_of_first_arrival([number for _, number in seen])
    assert [offset for offset, _ in seen] == list(range(len(seen)))
    assert in_order_of_first_arrival(heard)
    assert engine.unacknowledged == 0
    assert list(engine.refused()) == []
    assert list(engine.gaps()) == []
    await worker.beat(beat("w"))
    await until(engine, lambda: beat("w") in engine.heard())
    await until(engine, lambda: engine.caught_up(0))


async def test_a_broker_that_says_nothing_for_long_gets_everything_again_from_a_new_producer(
    house: KafkaHouse, breakable_lab: BreakableServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ACKNOWLEDGED_WITHIN", 1.0)
    engine, worker = await house.engine(0), await house.worker("w")
    assert isinstance(engine, KafkaEngineSide)
    await exchange(engine, worker, 1)
    await until(engine, lambda: engine.caught_up(0))
    with breakable_lab.paused("kafka"):
        for number in range(1, 50):
            engine.send("default", worker.inbox, ask(number))
        reporting = [asyncio.ensure_future(worker.report(0, reports(number))) for number in range(1, 50)]
        await until(engine, lambda: not engine.caught_up(0) and not engine.workers_caught_up())
        async with asyncio.timeout(LONG):
            while engine._publisher._renewal is None:
                await engine.receive(0.1)
        assert not any(each.done() for each in reporting)
    seen, heard = await asyncio.gather(all_reports(engine, 49), all_told(worker, 49))
    await asyncio.wait_for(asyncio.gather(*reporting), LONG)
    await asyncio.wait_for(engine.flush(), LONG)
    assert engine._publisher.renewals >= 1
    assert in_order_of_first_arrival([number for _, number in seen])
    assert in_order_of_first_arrival(heard)
    await until(engine, lambda: engine.caught_up(0) and engine.workers_caught_up())


async def test_a_topic_that_is_deleted_and_made_anew_is_told_of_and_read_again(
    house: KafkaHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """faults 27"""
    monkeypatch.setattr(reader, "WORRY_SECONDS", 1.0)
    engine, worker = await house.engine(0), await house.worker("w")
    await exchange(engine, worker, 3)
    topic = house.settings.prefix + topics.STATUS
    admin = AIOKafkaAdminClient(bootstrap_servers=list(house.settings.bootstrap))
    await admin.start()
    await admin.delete_topics([topic])
    await until(engine, lambda: any("has not answered" in record.message for record in caplog.records))
    assert topic in caplog.text
    await until(engine, lambda: not engine.caught_up(0))
    assert any("job-status" in problem for problem in await topics.check(house.settings, PARTS))
    await house.prepare()
    await admin.close()
    gaps: list[Gap] = []

    def met() -> bool:
        gaps.extend(engine.gaps())
        return bool(gaps)

    await until(engine, met)
    assert gaps == [Gap(0, 3, 0)]
    await asyncio.wait_for(worker.report(0, reports(7)), LONG)
    assert await all_reports(engine, 1) == [(0, 7)]
    await until(engine, lambda: engine.caught_up(0))


async def test_a_new_consumer_is_taken_when_the_old_one_hears_nothing(
    house: KafkaHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SILENT_SECONDS", 1.0)
    engine, worker = await house.engine(0), await house.worker("w")
    assert isinstance(engine, KafkaEngineSide)
    await exchange(engine, worker, 3)
    deaf = engine._reader._consumer
    assert deaf is not None
    deaf._fetcher._fetch_task.cancel()
    for number in (3, 4):
        await asyncio.wait_for(worker.report(0, reports(number)), LONG)
    # The answer that was on its way may still bring some: it is the next one that only a new consumer can hear.
    assert [offset for offset, _ in await all_reports(engine, 2)] == [3, 4]
    await until(engine, lambda: engine._reader._consumer is not deaf)
    await asyncio.wait_for(worker.report(0, reports(5)), LONG)
    assert [offset for offset, _ in await all_reports(engine, 1)] == [5]
    await until(engine, lambda: engine.caught_up(0))


async def test_a_broker_that_is_away_at_the_start_is_said_and_tried_again_is_there(
    house: KafkaHouse, breakable_lab: BreakableServers
) -> None:
    breakable_lab.stop("kafka")
    with pytest.raises(BrokerUnavailable, match=r"cannot be reached"):
        await house.engine(0)
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    engine, worker = await house.engine(0), await house.worker("w")
    await exchange(engine, worker, 2)
