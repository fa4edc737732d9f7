"""Kafka or the database goes away and comes back: nothing that was asked, written or told is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from headrace.engine.artifacts.chunks import StoredLogs
from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.streams.worker_logs import KafkaLogs
from headrace.engine.ports.messages import Log
from tests.integration.streams.bench import Bench
from tests.support.flows import flow, py
from tests.support.servers import BreakableServers, breakable_lab

__all__ = ["breakable_lab"]

PLAN = flow(py("a"), params={"n": {"type": "integer"}})
RUN = "01990000-0000-7000-8000-000000000001"


@pytest.fixture
async def broken(breakable_lab: BreakableServers) -> AsyncIterator[Bench]:
    settings = KafkaSettings((breakable_lab.kafka,), prefix=breakable_lab.kafka_prefix())
    await topics.ensure(settings, 4)
    made = await Bench.open(settings, breakable_lab.database_url("streams"))
    yield made
    await made.close()


async def numbers(bench: Bench) -> list[int]:
    return sorted(json.loads(run.params)["n"] for run in await bench.runs())


async def test_while_kafka_is_away_lines_wait_and_then_everything_goes_on(
    broken: Bench, breakable_lab: BreakableServers
) -> None:
    await broken.register(PLAN)
    broken.start()
    logs = KafkaLogs(broken.settings, "w1")

    def write(text: str) -> None:
        logs.write([Log(RUN, "a", 0, 1, 1, float(len(text)), "stdout", text)])

    await broken.send("job-requests", {"workflow": "w", "params": {"n": 1}})
    write("before")
    await broken.until(lambda: numbers(broken), lambda found: found == [1])
    breakable_lab.kill("kafka")
    write("while it is away")
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    write("when it is there again")
    await broken.send("job-requests", {"workflow": "w", "params": {"n": 2}})
    await broken.send("job-requests", {"workflow": "nowhere"})
    await broken.until(lambda: numbers(broken), lambda found: found == [1, 2])
    read = await broken.listen("job-dlq")
    assert "nowhere" in json.loads((await read()).value)["reason"]

    async def written() -> list[str]:
        return [line.text for line in await StoredLogs(broken.store).read(RUN, "a", 0, 1, 1)]

    wanted = ["before", "while it is away", "when it is there again"]
    await broken.until(written, lambda found: len(found) >= 3)
    assert await written() == wanted
    await asyncio.to_thread(logs.close)


async def test_while_the_database_is_away_messages_wait(
    broken: Bench, breakable_lab: BreakableServers
) -> None:
    await broken.register(PLAN)
    broken.start()
    await broken.send("job-requests", {"workflow": "w", "params": {"n": 1}})
    await broken.until(lambda: numbers(broken), lambda found: found == [1])
    breakable_lab.kill("postgres")
    for n in (2, 3):
        await broken.send("job-requests", {"workflow": "w", "params": {"n": n}})
    await asyncio.to_thread(breakable_lab.restart, "postgres")
    await broken.until(lambda: numbers(broken), lambda found: len(found) >= 3)
    assert await numbers(broken) == [1, 2, 3]
    assert await broken.poison() == []


async def test_streams_that_start_before_kafka_wait_for_it(
    broken: Bench, breakable_lab: BreakableServers
) -> None:
    await broken.register(PLAN)
    breakable_lab.stop("kafka")
    broken.start()
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    await broken.send("job-requests", {"workflow": "w", "params": {"n": 1}})
    await broken.until(lambda: numbers(broken), lambda found: found == [1])
