"""Reads what a world has left behind, when all is over: straight from PostgreSQL, from Kafka, and from the journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.wire import decode_to_engine, decode_to_worker
from headrace.engine.core.plan import Plan
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.messages import Dispatches, Report, Reports
from headrace.engine.ports.store import Store
from headrace.engine.shell import history
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.replay import replay
from tests.chaos.evidence import Effect, Entry, Evidence, Letter, Sent, Told
from tests.support.waiting import PATIENCE

LEFT = ("inbox", "timers", "grants")
_RUN_KEY = 'run, generation, task, "map", attempt'


async def gather(
    store: Store,
    connection: Any,
    kafka: KafkaSettings,
    journal: Path,
    queues: tuple[str, ...],
    *,
    accepted: Mapping[str, int],
    commands: Mapping[str, int],
    only_engines: bool,
) -> Evidence:
    """`connection`: asyncpg's, to the same database as the store."""
    plans, evaluator = Plans(store), CelEvaluator()
    numbers = [row["no"] for row in await connection.fetch("SELECT no FROM runs ORDER BY no")]
    runs: dict[int, Told] = {}
    differences: list[str] = []
    for no in numbers:
        row = await store.run(no)
        assert row is not None
        plan: Plan = (await plans.get(row.plan)).plan
        entries = [
            Entry(past.seq, past.at, history.decode(past.body, history.NoContent()))
            for past in await store.history(no)
        ]
        runs[no] = Told(row, plan, await store.task_rows(no), entries)
        differences += [f"run {no}: {line}" for line in await replay(store, evaluator, no, plans=plans)]
    epochs = {row["part"]: row["epoch"] for row in await connection.fetch("SELECT part, epoch FROM parts")}
    dispatches, reports = [], []
    for queue in queues:
        async for record in _records(kafka, topics.task_topic(kafka, queue), kafka.inboxes):
            dispatches += _sent(record)
    async for record in _records(kafka, kafka.prefix + topics.STATUS, len(epochs)):
        reports += _reported(record)
    published = [
        json.loads(record.value)["id"]
        async for record in _records(kafka, kafka.prefix + topics.DEAD, len(epochs))
    ]
    letters = await connection.fetch(f"SELECT id, {_RUN_KEY} FROM dead_letters")
    return Evidence(
        accepted=accepted,
        commands=commands,
        runs=runs,
        epochs=epochs,
        effects=_effects(journal),
        dispatches=dispatches,
        reports=reports,
        letters=[Letter(row["id"], tuple(row)[1:]) for row in letters],
        published=frozenset(published),
        left={table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in LEFT},
        differences=differences,
        only_engines=only_engines,
    )


def _effects(journal: Path) -> list[Effect]:
    if not journal.exists():
        return []
    return [Effect(*json.loads(line)) for line in journal.read_text().splitlines()]


def _sent(record: ConsumerRecord) -> list[Sent]:
    message = decode_to_worker(record.value).message
    if not isinstance(message, Dispatches):
        return []
    return [
        Sent(
            (i.run, i.generation, i.task, i.map, i.attempt),
            message.part,
            message.epoch,
            i.n,
            message.to,
        )
        for i in message.items
    ]


def _reported(record: ConsumerRecord) -> list[Report]:
    message = decode_to_engine(record.value).message
    return list(message.items) if isinstance(message, Reports) else []


async def _records(kafka: KafkaSettings, topic: str, partitions: int) -> AsyncIterator[ConsumerRecord]:
    """All that a topic holds now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(kafka.bootstrap), group_id=None)
    async with asyncio.timeout(PATIENCE):
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            left = {place for place in places if ends[place] > 0}
            while left:
                for found in (await consumer.getmany(timeout_ms=500)).values():
                    for record in found:
                        yield record
                left = {place for place in left if await consumer.position(place) < ends[place]}
        finally:
            await consumer.stop()
