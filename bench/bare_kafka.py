"""The least that a cluster can do with Kafka and PostgreSQL: one engine, one worker in a process of its own, nothing else.

The worker consumes tasks and produces a report for each, in a transaction-less, idempotent way; the engine consumes
reports in batches, makes one durable commit of what was reported and of the consumed offsets, and produces what comes
next. No checks, no retries, no history. Every figure of the full mode is given as a ratio to this one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from bench.bare import Bare

PARTITIONS = 8
WARM = 10
"""Hops before those that count."""

_SETTLE = """
WITH o AS (
    INSERT INTO bare_offsets SELECT * FROM unnest($2::int[], $3::bigint[])
    ON CONFLICT (part) DO UPDATE SET next = excluded.next
)
UPDATE bare_tasks t SET state = 'succeeded', ended = now() FROM unnest($1::bigint[]) u(id) WHERE t.id = u.id"""


class BareKafka:
    """The engine of the bare loop, in this process; its worker is another. `async with BareKafka(kafka, database)`."""

    def __init__(self, kafka: str, database: str) -> None:
        self._kafka = kafka
        self._database = database
        run = uuid.uuid4().hex[:8]
        self._tasks, self._status = f"bare.tasks.{run}", f"bare.status.{run}"
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> BareKafka:
        try:
            await self._open()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._closing.aclose()

    async def _open(self) -> None:
        push = self._closing.push_async_callback
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        await admin.start()
        push(admin.close)
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (self._tasks, self._status)])
        push(self._forget, admin)
        self._consumer, self._producer = clients(self._kafka, self._status)
        await self._consumer.start()
        push(self._consumer.stop)
        await self._producer.start()
        push(self._producer.stop)
        self._db: Any = await asyncpg.connect(self._database)
        push(self._db.close)
        await self._db.execute(
            "CREATE TABLE bare_tasks(id bigint PRIMARY KEY, state text, ended timestamptz) WITH (fillfactor=60);"
            "CREATE TABLE bare_offsets(part int PRIMARY KEY, next bigint)"
        )
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.bare_kafka", self._kafka, self._tasks, self._status
        )
        push(_end, worker)
        await self._publish([0])
        async with asyncio.timeout(30):
            while not await self._settle():
                pass

    async def _forget(self, admin: AIOKafkaAdminClient) -> None:
        with suppress(KafkaError):
            await admin.delete_topics([self._tasks, self._status])

    async def measure(self, tasks: int, hops: int) -> Bare:
        """Run `hops` tasks one after the other, then `tasks` at once."""
        await self._db.execute("TRUNCATE bare_tasks")
        await self._db.execute(
            f"INSERT INTO bare_tasks SELECT g, 'pending' FROM generate_series(1, {tasks + hops + WARM}) g"
        )
        times = []
        for number in range(WARM + hops):
            began = time.perf_counter()
            await self._publish([tasks + 1 + number])
            while not await self._settle():
                pass
            times.append((time.perf_counter() - began) * 1e3)
        times = sorted(times[WARM:])
        began, settled = time.perf_counter(), 0
        publishing = asyncio.create_task(self._publish(range(1, tasks + 1)))
        while settled < tasks:
            settled += await self._settle()
        await publishing
        wall = time.perf_counter() - began
        return Bare(tasks / wall, statistics.median(times), times[int(len(times) * 0.99)])

    async def _publish(self, ids: Iterable[int]) -> None:
        sent = []
        for number in ids:
            body = json.dumps({"id": number, "run": "r", "task": f"t{number}", "input": {}}).encode()
            sent.append(await self._producer.send(self._tasks, body, key=str(number % 64).encode()))
        await asyncio.gather(*sent)

    async def _settle(self) -> int:
        got = await self._consumer.getmany(timeout_ms=1000, max_records=1000)
        ids = [json.loads(record.value)["id"] for records in got.values() for record in records]
        if ids:
            parts = [each.partition for each in got]
            nexts = [records[-1].offset + 1 for records in got.values()]
            await self._db.execute(_SETTLE, ids, parts, nexts)
        return len(ids)


def clients(kafka: str, topic: str) -> tuple[AIOKafkaConsumer, AIOKafkaProducer]:
    """One that reads the topic, in a group of its own, and one that writes."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=f"of-{topic}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    return consumer, AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)


async def work(kafka: str, tasks: str, status: str) -> None:
    """The worker, until it is ended."""
    consumer, producer = clients(kafka, tasks)
    await consumer.start()
    await producer.start()
    committing: asyncio.Task[None] | None = None
    while True:
        got = await consumer.getmany(timeout_ms=1000, max_records=500)
        sent = []
        for records in got.values():
            for record in records:
                task = json.loads(record.value)
                report = json.dumps({"id": task["id"], "state": "succeeded", "output": None}).encode()
                sent.append(await producer.send(status, report, key=record.key))
        if sent:
            await asyncio.gather(*sent)  # the reports are durable: only now may the offset move
            if committing is None or committing.done():
                committing = asyncio.create_task(consumer.commit())


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


if __name__ == "__main__":
    uvloop.run(work(*sys.argv[1:]))
