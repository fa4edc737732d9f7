"""What only Kafka does to us: poison, gaps, refusals, missing topics, topics that do not fit (faults 21, 22, 26, 27, 30)."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from headrace.engine.broker.kafka import engine_side, publisher, topics
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.nudger import Nudger
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.worker_side import KafkaWorkerSide
from headrace.engine.ports.broker import (
    Arrived,
    BrokerUnavailable,
    EngineSide,
    NameLost,
    Refused,
    Undecodable,
)
from headrace.engine.ports.messages import Dispatch, Dispatches, Job, Limits, Nudge, Report, Reports
from tests.contracts.brokers import (
    INBOXES,
    PARTS,
    PATIENCE,
    KafkaHouse,
    ask,
    gather,
    number_of,
    reports,
    told,
    until,
)
from tests.support.waiting import eventually

JOB = Job("sales", "price", "python", {"function": "shop:price"}, Limits())
GOOD = b'{"v":1,"type":"Reports","worker":"w%d","incarnation":"i","items":[]}'


@pytest.fixture
async def house(kafka_settings: KafkaSettings) -> AsyncIterator[KafkaHouse]:
    made = await KafkaHouse(kafka_settings).prepare()
    yield made
    await made.close()


@pytest.fixture
async def admin(kafka_settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=list(kafka_settings.bootstrap))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def stranger(kafka_settings: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """Someone who writes what he likes."""
    producer = AIOKafkaProducer(
        bootstrap_servers=list(kafka_settings.bootstrap), max_request_size=20_000_000, acks="all"
    )
    await producer.start()
    yield producer
    await producer.stop()


def dispatch(number: int, size: int = 0) -> Dispatch:
    return Dispatch(1, "0190", 1, number, 0, 1, 1, number, JOB, {"with": {"text": "x" * size}})


async def take(side: EngineSide, count: int) -> list[Arrived]:
    arrived: list[Arrived] = []
    async with asyncio.timeout(PATIENCE):
        while len(arrived) < count:
            arrived += await side.receive(1.0)
    return arrived


# names -------------------------------------------------------------------------------------------------------------
async def test_whoever_starts_under_a_name_has_it_and_the_one_before_is_told(house: KafkaHouse) -> None:
    first, other = await house.worker("w"), await house.worker("v")
    engine = await house.engine()
    engine.send("default", first.inbox, ask(1))
    await told(first, 1)
    second = await house.worker("w")
    with pytest.raises(NameLost, match="Another process has started as worker w"):
        await told(first, 1)
    with pytest.raises(NameLost):
        await first.receive(0)
    engine.send("default", second.inbox, ask(2))
    assert [each.message for each in await told(second, 1)] == [ask(2)]
    engine.send("default", other.inbox, ask(3, "v"))
    assert [each.message for each in await told(other, 1)] == [ask(3, "v")]


# poison ------------------------------------------------------------------------------------------------------------
POISON: dict[str, tuple[dict[str, Any], str]] = {
    "no JSON": ({"value": b"hello"}, "malformed"),
    "half of an envelope": ({"value": GOOD[:40]}, "truncated"),
    "another shape": (
        {"value": b'{"v":1,"type":"Reports","worker":3,"incarnation":"i","items":[]}'},
        "worker",
    ),
    "another type": ({"value": b'{"v":1,"type":"Reprots"}'}, "Reprots"),
    "a list": ({"value": b"[1,2]"}, "array"),
    "a later version": ({"value": b'{"v":2,"type":"Reports","items":[]}'}, "version 2"),
    "no version": ({"value": b'{"type":"Nudge","part":0}'}, "no version"),
    "no value": ({"value": None, "key": b"k"}, "truncated"),
    "no text": ({"value": b'{"v":1,"type":"Alive","worker":"\xff\xfe"}'}, ""),
    "nested deeply": ({"value": b'{"v":1,"x":' + b"[" * 100_000}, ""),
    "ten megabytes": ({"value": b"[" + b"1," * 5_000_000 + b"1]"}, "array"),
    "numbers without end": (
        {"value": GOOD[:-2] + b'{"run":1' + b"0" * 30 + b',"kind":"started"}]}'},
        "",
    ),
}


async def test_what_nobody_can_read_is_told_and_its_neighbours_live(
    house: KafkaHouse, stranger: AIOKafkaProducer, admin: AIOKafkaAdminClient
) -> None:
    """faults 22"""
    topic = house.settings.prefix + topics.STATUS
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "20000000"})]
    )
    engine = await house.engine(0)
    for number, (record, _) in enumerate(POISON.values()):
        await stranger.send_and_wait(topic, GOOD % number, partition=0)
        await stranger.send_and_wait(topic, partition=0, **record)
    headers = [("traceparent", b"\xff\xfe"), ("x", b"")]
    await stranger.send_and_wait(topic, GOOD % len(POISON), partition=0, headers=headers)
    arrived = await take(engine, 2 * len(POISON) + 1)
    assert [each.offset for each in arrived] == list(range(2 * len(POISON) + 1))
    assert [number_of(each.message) for each in arrived[::2]] == list(range(len(POISON) + 1))
    for each, (name, (_, reason)) in zip(arrived[1::2], POISON.items(), strict=True):
        assert isinstance(each.message, Undecodable), name
        assert (each.message.topic, each.message.partition, each.message.offset) == (topic, 0, each.offset)
        assert reason in each.message.reason, name
        assert len(each.message.body) <= 64 * 1024
    await until(engine, lambda: engine.caught_up(0))


async def test_a_bad_item_is_told_by_its_place_before_the_rest_of_its_envelope(
    house: KafkaHouse, stranger: AIOKafkaProducer
) -> None:
    good = b'{"run":7,"generation":1,"task":%d,"map":0,"attempt":1,"epoch":1,"n":1,"kind":"succeeded"%s}'
    items = [
        good % (0, b""),
        b'{"run":7}',
        good % (1, b',"output":"\xff"'),
        good % (2, b',"output":{"a":null}'),
        good % (3, b',"kind":"exploded"'),
        good % (4, b',"started_at":1e300'),
    ]
    body = b'{"v": 1, "type": "Reports", "worker": "w", "incarnation": "i", "new": 1, "items": [%s]}'
    await stranger.send_and_wait(house.settings.prefix + topics.STATUS, body % b",".join(items), partition=1)
    engine = await house.engine(1)
    arrived = await take(engine, 5)
    assert {each.offset for each in arrived} == {0}
    bad = [each.message.item for each in arrived[:-1] if isinstance(each.message, Undecodable)]
    assert bad == [1, 2, 4, 5]
    assert isinstance(arrived[-1].message, Reports)
    assert [(each.task, each.output) for each in arrived[-1].message.items] == [(0, None), (2, b'{"a":null}')]


async def test_a_message_that_a_worker_cannot_read_costs_it_nothing_else(
    house: KafkaHouse, stranger: AIOKafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    engine, worker = await house.engine(), await house.worker("w")
    topic = topics.task_topic(house.settings, "gpu")
    for value in (
        b"?",
        b'{"v":1,"type":"Dispatches","to":"w","part":0,"epoch":1,"jobs":[],"items":[{"job":0}]}',
    ):
        await stranger.send_and_wait(topic, value, partition=worker.inbox)
    engine.send("gpu", worker.inbox, ask(1))
    assert [each.message for each in await told(worker, 1)] == [ask(1)]
    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 2


# the log is not what it was ------------------------------------------------------------------------------------------
async def test_a_log_that_was_cut_is_read_from_where_it_begins_now(
    house: KafkaHouse, admin: AIOKafkaAdminClient
) -> None:
    """faults 26"""
    worker = await house.worker()
    for number in range(10):
        await worker.report(0, reports(number))
    await admin.delete_records({TopicPartition(house.settings.prefix + topics.STATUS, 0): RecordsToDelete(6)})
    engine = await house.engine(0)
    assert [each.offset for each in await gather(engine, 4)] == [6, 7, 8, 9]
    assert [tuple(each) for each in engine.gaps()] == [(0, 0, 6)]
    engine.seek(0, 7)
    assert [each.offset for each in await gather(engine, 3)] == [7, 8, 9]
    assert list(engine.gaps()) == []


# refusals ------------------------------------------------------------------------------------------------------------
async def refusals(side: EngineSide, count: int) -> list[Refused]:
    found: list[Refused] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            await side.receive(0.1)
            found += side.refused()
    return found


async def test_a_dispatch_that_is_too_large_is_given_back_and_the_others_go(house: KafkaHouse) -> None:
    """faults 30"""
    engine, worker = await house.engine(), await house.worker("w")
    items = [dispatch(0), dispatch(1, 2_000_000), dispatch(2)]
    engine.send("default", worker.inbox, Dispatches("w", 0, 1, items))
    heard = await told(worker, 2)
    assert [each.message.items for each in heard if isinstance(each.message, Dispatches)] == [
        [items[0]],
        [items[2]],
    ]
    (refused,) = await refusals(engine, 1)
    assert (refused.queue, refused.inbox) == ("default", worker.inbox)
    assert refused.message == Dispatches("w", 0, 1, [items[1]])
    assert "too large" in refused.why
    assert engine.unacknowledged == 0


async def test_what_the_broker_itself_finds_too_large_is_found_out_among_its_neighbours(
    house: KafkaHouse, admin: AIOKafkaAdminClient
) -> None:
    """faults 30: the topic takes less than we thought; order is kept."""
    engine, worker = await house.engine(), await house.worker("w")
    topic = topics.task_topic(house.settings, "default")
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "20000"})]
    )
    messages = [Dispatches("w", 0, 1, [dispatch(n, 30_000 if n == 7 else 1_000)]) for n in range(30)]
    for message in messages:
        engine.send("default", worker.inbox, message)
    assert engine.unacknowledged == 30
    engine.send("gpu", worker.inbox, ask(1))
    assert [each.message for each in await refusals(engine, 1)] == [messages[7]]
    await asyncio.wait_for(engine.flush(), PATIENCE)
    heard = await told(worker, 30)
    seen = [each.message for each in heard if each.queue == "default"]
    first = [message for i, message in enumerate(seen) if message not in seen[:i]]
    assert first == messages[:7] + messages[8:]
    assert ask(1) in [each.message for each in heard]
    assert engine.unacknowledged == 0


async def test_envelopes_stay_below_their_limit(house: KafkaHouse) -> None:
    engine, worker = await house.engine(), await house.worker("w")
    items = [dispatch(n, 10_000) for n in range(100)]
    engine.send("default", worker.inbox, Dispatches("w", 0, 1, items))
    heard: list[Dispatch] = []
    messages = 0
    async with asyncio.timeout(PATIENCE):
        while len(heard) < len(items):
            for each in await worker.receive(1.0):
                assert isinstance(each.message, Dispatches)
                assert sum(len(item.inputs["with"]["text"]) for item in each.message.items) < 256 * 1024
                heard += each.message.items
                messages += 1
    assert heard == items
    assert messages in (4, 8)


async def test_a_result_that_is_too_large_becomes_a_failure(house: KafkaHouse) -> None:
    engine, worker = await house.engine(0), await house.worker()
    large = Report(7, 1, 2, 0, 1, 4, 9, "succeeded", 1e9, 1e9, output=b'"%s"' % (b"x" * 1_500_000))
    small = Report(7, 1, 3, 0, 1, 4, 9, "succeeded", 1e9, 1e9, output=b"1")
    await worker.report(0, Reports("w", "i", [large, small]))
    items: list[Report] = []
    async with asyncio.timeout(PATIENCE):
        while len(items) < 2:
            for each in await engine.receive(1.0):
                assert isinstance(each.message, Reports)
                items += each.message.items
    assert items[1] == small
    assert (items[0].task, items[0].n, items[0].kind) == (2, 9, "failed")
    assert items[0].error is not None
    assert not items[0].error.retryable
    assert "1500" in items[0].error.message


async def test_a_queue_without_a_topic_holds_nobody_back_and_is_refused(
    house: KafkaHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "UNKNOWN_FOR", 0.0)
    engine, worker = await house.engine(), await house.worker("w")
    engine.send("nowhere", 0, ask(1))
    engine.send("default", INBOXES + 5, ask(2))
    engine.send("default", worker.inbox, ask(3))
    assert [each.message for each in await told(worker, 1)] == [ask(3)]
    refused = sorted(await refusals(engine, 2), key=lambda each: each.inbox)
    assert [(each.queue, each.inbox, each.message) for each in refused] == [
        ("nowhere", 0, ask(1)),
        ("default", INBOXES + 5, ask(2)),
    ]
    assert "job-tasks.nowhere" in refused[0].why
    assert f"partition {INBOXES + 5}" in refused[1].why


async def test_what_waits_for_a_topic_is_sent_when_it_is_made(house: KafkaHouse) -> None:
    engine = await house.engine()
    engine.send("late", 0, ask(1))
    counts = await topics.ensure_queues(house.settings, ["late"])
    assert counts == {"late": INBOXES}
    await asyncio.wait_for(engine.flush(), PATIENCE)
    assert list(engine.refused()) == []


async def test_what_nobody_receives_stays_with_the_broker(
    house: KafkaHouse, stranger: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults 29: memory stays bounded however far behind an engine is."""
    monkeypatch.setattr(engine_side, "BUFFERED_BYTES", 1_000_000)
    engine = await house.engine(0, 1)
    assert isinstance(engine, KafkaEngineSide)
    topic = house.settings.prefix + topics.STATUS
    filler = b'{"v":1,"type":"Reports","worker":"w%d","incarnation":"i","more":"%s","items":[]}'
    for number in range(400):
        await stranger.send(topic, filler % (number, b"x" * 50_000), partition=0)
    await stranger.flush()
    await asyncio.to_thread(
        eventually, lambda: engine._buffered >= 1_000_000, "nothing is read ahead", PATIENCE
    )
    assert engine._buffered < 4_000_000, "one fetch more than allowed at most"
    assert not engine.caught_up(0)
    assert [number_of(each.message) for each in await gather(engine, 400)] == list(range(400))
    await until(engine, lambda: engine.caught_up(0))


# parts that come and go ----------------------------------------------------------------------------------------------
async def test_parts_that_come_together_are_one_assignment(house: KafkaHouse) -> None:
    """Each assignment has everything else fetched anew."""
    engine = await house.engine()
    assert isinstance(engine, KafkaEngineSide)
    worker = await house.worker()
    for part in range(PARTS):
        await worker.report(part, reports(part))
    consumer = engine._reader._consumer
    assert consumer is not None
    assigned: list[int] = []
    assign = consumer.assign

    def counted(partitions: list[TopicPartition]) -> None:
        assigned.append(len(partitions))
        assign(partitions)

    consumer.assign = counted
    for part in range(PARTS):
        engine.seek(part, 0)
    await gather(engine, PARTS)
    assert assigned == [PARTS + 1]  # job-workers too


async def test_a_part_that_is_left_and_taken_at_once_is_read_from_where_it_was_sought(
    house: KafkaHouse,
) -> None:
    """What was fetched for the assignment before is not taken for what comes next."""
    worker = await house.worker()
    for number in range(50):
        await worker.report(0, reports(number))
    engine = await house.engine(0)
    for _ in range(20):
        await engine.receive(0.05)
        engine.leave(0)
        engine.seek(0, 0)
    assert [number_of(each.message) for each in await gather(engine, 50)][:50] == list(range(50))


# starting ------------------------------------------------------------------------------------------------------------
async def test_missing_topics_are_named_with_the_command_that_makes_them(
    kafka_settings: KafkaSettings,
) -> None:
    for side in (KafkaEngineSide(kafka_settings, "e"), KafkaWorkerSide(kafka_settings, "w", ["default"])):
        with pytest.raises(BrokerUnavailable, match=r"job-status.*job-workers.*headrace topics ensure"):
            await side.start()
        await side.stop()


async def test_a_nudge_from_elsewhere_arrives(house: KafkaHouse) -> None:
    engine, nudger = await house.engine(2), Nudger(house.settings, "cli")
    await nudger.start()
    nudger.nudge(2)
    await nudger.stop()
    assert [each.message for each in await take(engine, 1)] == [Nudge(2)]


# topics --------------------------------------------------------------------------------------------------------------
async def test_topics_are_made_once_and_all_problems_told_at_once(
    kafka_settings: KafkaSettings, admin: AIOKafkaAdminClient
) -> None:
    settings = dataclasses.replace(kafka_settings, inboxes=4)
    first, second = await asyncio.gather(
        topics.ensure(settings, PARTS, ["a"]), topics.ensure(settings, PARTS, ["a"])
    )
    assert [each.problem for each in first + second] == [None] * 14
    assert {each.name.removeprefix(settings.prefix) for each in first} == {
        "job-requests",
        "job-tasks.a",
        "job-status",
        "job-workers",
        "job-logs",
        "job-dlq",
        "job-events",
    }
    assert not any(each.created for each in await topics.ensure(settings, PARTS, ["a"]))
    assert await topics.check(settings, PARTS, ["a"]) == []
    await admin.create_topics([NewTopic(settings.prefix + "job-tasks.odd", 7, 1)])
    await admin.create_topics([NewTopic(settings.prefix + "job-tasks.even", 4, 1)])
    await admin.alter_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, settings.prefix + name, {key: value})
            for name, key, value in (
                ("job-logs", "cleanup.policy", "compact"),
                ("job-tasks.even", "cleanup.policy", "compact,delete"),
            )
        ]
    )
    async with asyncio.timeout(PATIENCE):  # a broker shows changed settings when its controller has told it
        while len(problems := await topics.check(settings, PARTS + 1, ["a", "missing"])) < 5:
            pass
    for one, what in zip(
        problems,
        (
            "missing: .*job-tasks.missing",
            "job-logs.*compact",
            "job-status has 3.* 4 parts",
            "even.*compact",
            "odd has 7.* 4",
        ),
        strict=True,
    ):
        assert re.search(what, one), one
    made = {each.name: each for each in await topics.ensure(settings, PARTS, ["new"])}
    assert made[settings.prefix + "job-tasks.new"].partitions == 4, "as many as the others have"
    with pytest.raises(BrokerUnavailable, match="odd: 7"):
        await topics.ensure_queues(settings, ["a", "odd"])


async def test_a_queue_whose_name_cannot_be_a_topic_is_refused(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(BrokerUnavailable, match="letters, digits"):
        await topics.ensure_queues(kafka_settings, ["größer"])


async def test_nobody_there_is_said_in_one_sentence() -> None:
    settings = KafkaSettings(("127.0.0.1:1",))
    for start in (KafkaEngineSide(settings, "e").start, KafkaWorkerSide(settings, "w", ["q"]).start):
        with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 cannot be reached: Connection refused"):
            await start()
