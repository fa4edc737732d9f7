"""A worker that knows nothing of Headrace's code: written by docs/messages.md with a Kafka client and JSON alone."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import EngineSide, Undecodable
from headrace.engine.ports.messages import (
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Job,
    Limits,
    Report,
    Reports,
    ToEngine,
)
from tests.contracts.brokers import PATIENCE, KafkaHouse

NAME = "cobol-1"


class ForeignWorker:
    """Doubles numbers. Steps 1 to 6 of the page; nothing is imported from the code that it talks to."""

    def __init__(self, bootstrap: str, prefix: str, queue: str) -> None:
        self.topic, self.status, self.workers = (
            f"{prefix}job-tasks.{queue}",
            f"{prefix}job-status",
            f"{prefix}job-workers",
        )
        self.queue = queue
        self.consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        self.seen: dict[int, int] = {}
        self.finished: dict[tuple[Any, ...], dict[str, Any]] = {}

    async def serve(self) -> None:
        await self.producer.start()
        await self.consumer.start()
        inboxes = await self.producer.partitions_for(self.topic)
        self.inbox = zlib.crc32(NAME.encode()) % len(inboxes)
        mine = TopicPartition(self.topic, self.inbox)
        self.consumer.assign([mine])
        await self.consumer.seek_to_end(mine)
        await self.consumer.position(mine)
        await self.say(
            self.workers,
            0,
            type="Beat",
            inbox=self.inbox,
            queues=[self.queue],
            labels={"lang": "cobol"},
            slots=1,
            ahead=0,
            held=0,
        )
        async for record in self.consumer:
            await self.hear(json.loads(record.value))

    async def hear(self, message: dict[str, Any]) -> None:
        part, epoch = message["part"], message["epoch"]
        if message["to"] != NAME or epoch < self.seen.get(part, -1):
            return
        self.seen[part] = epoch
        reports = []
        if message["type"] == "Dispatches":
            for item in message["items"]:
                job = message["jobs"][item["job"]]
                assert job["kind"] == "python"
                key = tuple(item[name] for name in ("run", "generation", "task", "map", "attempt"))
                done = self.finished.setdefault(
                    key, {"kind": "succeeded", "output": 2 * item["inputs"]["with"]["number"]}
                )
                reports.append(self.report(key, (item["epoch"], item["n"]), done))
        else:
            for key, delivery in zip(message["keys"] or (), message["deliveries"], strict=False):
                unknown = {"kind": "cancelled" if message["type"] == "Abort" else "unknown"}
                reports.append(self.report(tuple(key), delivery, self.finished.get(tuple(key), unknown)))
        if reports:
            await self.say(self.status, part, type="Reports", items=reports)
        if message["type"] == "Ask" and message["keys"] is None:
            await self.say(self.status, part, type="Alive", part=part, seen={self.queue: epoch}, held=[])

    def report(self, key: tuple[Any, ...], delivery: Any, what: dict[str, Any]) -> dict[str, Any]:
        run, generation, task, map_, attempt = key
        return {
            "run": run,
            "generation": generation,
            "task": task,
            "map": map_,
            "attempt": attempt,
            "epoch": delivery[0],
            "n": delivery[1],
            **what,
        }

    async def say(self, topic: str, partition: int, **message: Any) -> None:
        body = {"v": 1, "worker": NAME, "incarnation": "a", **message}
        await self.producer.send_and_wait(
            topic,
            json.dumps(body).encode(),
            partition=partition,
            headers=[("content-type", b"application/json")],
        )

    async def stop(self) -> None:
        await self.consumer.stop()
        await self.producer.stop()


@pytest.fixture
async def house(kafka_settings: KafkaSettings) -> AsyncIterator[KafkaHouse]:
    made = await KafkaHouse(kafka_settings).prepare()
    yield made
    await made.close()


async def answer(engine: EngineSide) -> ToEngine:
    arrived = await asyncio.wait_for(engine.receive(None), PATIENCE)
    while not arrived:
        arrived = await asyncio.wait_for(engine.receive(None), PATIENCE)
    (one,) = arrived
    assert not isinstance(one.message, Undecodable)
    return one.message


async def test_a_worker_written_by_the_page_takes_part(house: KafkaHouse) -> None:
    engine = await house.engine(2)
    worker = ForeignWorker(house.settings.bootstrap[0], house.settings.prefix, "gpu")
    serving = asyncio.ensure_future(worker.serve())
    try:
        heard: list[object] = []
        async with asyncio.timeout(PATIENCE):
            while not heard:
                await engine.receive(0.1)
                heard += engine.heard()
        assert heard == [Beat(NAME, "a", worker.inbox, ["gpu"], {"lang": "cobol"}, 1, 0, 0)]

        def send(message: Dispatches | Ask | Abort) -> None:
            engine.send("gpu", worker.inbox, message)

        job = Job("sums", "double", "python", {"function": "m:double"}, Limits())
        first = Dispatch(2**60, "0190", 1, 4, 0, 1, 3, 7, job, {"with": {"number": 21}})
        second = Dispatch(2**60, "0190", 1, 5, 9, 1, 3, 8, job, {"with": {"number": 4}})
        send(Ask(NAME, 2, 3, None))
        assert await answer(engine) == Alive(NAME, "a", 2, {"gpu": 3}, [])
        send(Dispatches("somebody else", 2, 3, [first]))
        send(Dispatches(NAME, 2, 2, [first]))  # an owner that has lost the part
        send(Dispatches(NAME, 2, 3, [first, second]))
        done = Report(2**60, 1, 4, 0, 1, 3, 7, "succeeded", output=b"42")
        other = Report(2**60, 1, 5, 9, 1, 3, 8, "succeeded", output=b"8")
        assert await answer(engine) == Reports(NAME, "a", [done, other])
        send(Ask(NAME, 2, 3, [(2**60, 1, 4, 0, 1), (5, 1, 0, 0, 1)], [(3, 9), (3, 1)]))
        again = Report(2**60, 1, 4, 0, 1, 3, 9, "succeeded", output=b"42")
        unknown = Report(5, 1, 0, 0, 1, 3, 1, "unknown")
        assert await answer(engine) == Reports(NAME, "a", [again, unknown])
        send(Abort(NAME, 2, 3, [(6, 1, 0, 0, 1)], 1.0, [(3, 2)]))
        assert await answer(engine) == Reports(NAME, "a", [Report(6, 1, 0, 0, 1, 3, 2, "cancelled")])
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await worker.stop()
