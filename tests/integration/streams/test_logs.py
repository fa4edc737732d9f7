"""job-logs: what workers write is kept in the store, once, in order, and read from any host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from headrace.engine.artifacts.chunks import StoredLogs
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.streams.messages import encode_lines
from headrace.engine.broker.streams.worker_logs import KafkaLogs
from headrace.engine.ports.messages import Log
from tests.integration.streams.bench import Bench

RUN = "01990000-0000-7000-8000-000000000001"


def lines(*texts: str, task: str = "a", attempt: int = 1, run: str = RUN, at: float = 1.0) -> list[Log]:
    return [Log(run, task, 0, 1, attempt, at + n / 1000, "stdout", text) for n, text in enumerate(texts)]


def texts(logs: Sequence[Log]) -> list[str]:
    return [line.text for line in logs]


async def read(bench: Bench, task: str = "a", attempt: int = 1) -> list[Log]:
    return await StoredLogs(bench.store).read(RUN, task, 0, 1, attempt)


async def test_what_a_worker_writes_is_read_from_the_store_as_it_was(bench: Bench) -> None:
    bench.start()
    logs = KafkaLogs(bench.settings, "w1")
    odd = ["plain", "", "nul \0 and \x1b[31mred", "\ud800 alone", "ünïcödé 🚰", "x" * 16_384]
    first, second = lines(*odd), lines("again", attempt=2)
    await asyncio.to_thread(logs.write, first)
    await asyncio.to_thread(logs.write, second)
    await asyncio.to_thread(logs.write, lines("other", task="b"))
    await asyncio.to_thread(logs.close)
    found = await bench.until(lambda: read(bench), lambda found: len(found) == len(first))
    assert texts(found) == [text.replace("\ud800", "\\ud800") for text in odd]
    assert [line.at for line in found] == [line.at for line in first]
    assert await bench.until(lambda: read(bench, attempt=2), bool) == second
    assert texts(await bench.until(lambda: read(bench, "b"), bool)) == ["other"]
    assert await read(bench, "nobody") == []
    assert texts(await StoredLogs(bench.store).read(RUN, "a", 0, 1, 1, after=4)) == odd[4:]


async def test_many_lines_stay_in_order_over_many_chunks(bench: Bench) -> None:
    bench.start()
    logs = KafkaLogs(bench.settings, "w1")
    wanted = [f"line {n}" for n in range(30_000)]
    for start in range(0, len(wanted), 500):
        await asyncio.to_thread(logs.write, lines(*wanted[start : start + 500], at=float(start)))
    await asyncio.to_thread(logs.close)
    found = await bench.until(lambda: read(bench), lambda found: len(found) >= len(wanted))
    assert texts(found) == wanted


async def test_a_chunk_that_comes_twice_is_kept_once_and_a_bad_one_costs_no_other(bench: Bench) -> None:
    chunk = encode_lines(lines("once"), 5)
    wrong = json.loads(chunk)
    for body in (
        chunk,
        b"no json",
        json.dumps({**wrong, "lines": [["x", 1, None]]}).encode(),
        json.dumps({**wrong, "task": "nul \0"}).encode(),
        json.dumps({**wrong, "map": 2**63}).encode(),
        json.dumps({**wrong, "v": 2}).encode(),
        chunk,
        encode_lines(lines("twice"), 6),
    ):
        await bench.send("job-logs", body, partition=0)
    bench.start()
    found = await bench.until(lambda: read(bench), lambda found: len(found) >= 2)
    assert texts(found) == ["once", "twice"]
    letters = await bench.until(bench.poison, lambda letters: len(letters) >= 5)
    assert sorted(letter.offset for letter in letters) == [1, 2, 3, 4, 5]


async def test_a_follower_sees_what_is_there_and_what_comes(bench: Bench) -> None:
    bench.start()
    logs = KafkaLogs(bench.settings, "w1")
    await asyncio.to_thread(logs.write, lines("one"))
    seen: list[str] = []
    came = asyncio.Event()

    async def follow() -> None:
        async for line in StoredLogs(bench.store).follow(RUN):
            seen.append(line.text)
            came.set()

    following = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        for n, wanted in enumerate(["one", "two", "three"]):
            while len(seen) <= n:
                await came.wait()
                came.clear()
            assert seen[n] == wanted
            await asyncio.to_thread(logs.write, lines(f"{['two', 'three', 'four'][n]}", task=f"t{n}"))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await asyncio.to_thread(logs.close)


async def test_when_kafka_takes_nothing_the_oldest_lines_are_dropped_and_counted(bench: Bench) -> None:
    """More is written at once than may wait, before the first of it can be sent."""
    logs = KafkaLogs(bench.settings, "w1", held=10_000)
    for n in range(100):  # on an event loop: never waits
        logs.write(lines(f"{n:03} {'x' * 396}"))
    await asyncio.to_thread(logs.close)
    bench.start()
    found = texts(await bench.until(lambda: read(bench), bool))
    assert found[-1].startswith("099")
    kept = found[1:]
    assert found[0] == f"{100 - len(kept)} lines are missing here: more was written than Kafka took."
    assert [text[:3] for text in kept] == [f"{n:03}" for n in range(100 - len(kept), 100)]


async def test_a_worker_without_kafka_goes_on_and_its_end_does_not_wait() -> None:
    logs = KafkaLogs(KafkaSettings(("127.0.0.1:1",)), "w1", held=1_000)
    async with asyncio.timeout(10):
        for _ in range(1_000):
            logs.write(lines("y" * 100))
        await asyncio.to_thread(logs.close, 0.1)
    logs.write(lines("late"))
