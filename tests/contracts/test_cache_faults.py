"""Redis killed, paused, flushed, failing over and refusing: the cache misses, says so, and comes back by itself
(faults 47, 49, 50)."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from headrace.engine.cache import CALL_SECONDS, open_cache
from headrace.engine.ports.cache import Cache, Degraded, Feed
from tests.contracts.test_cache import heard, status, word
from tests.support.servers import BreakableServers

LONG = 30.0
"""Seconds within which everything must have come back, on a busy machine."""


class Watched:
    """A cache, and what it said about itself."""

    def __init__(self, url: str, call_seconds: float = CALL_SECONDS) -> None:
        self.said: list[Degraded | None] = []
        self._changed = asyncio.Event()
        self.cache: Cache = open_cache(
            url, prefix=f"t{uuid.uuid4().hex}:", told=self._told, call_seconds=call_seconds
        )

    def _told(self, degraded: Degraded | None) -> None:
        self.said.append(degraded)
        self._changed.set()

    async def until(self, times: int) -> Degraded | None:
        """What it said last, once it has spoken so often."""
        async with asyncio.timeout(LONG):
            while len(self.said) < times:
                self._changed.clear()
                await self._changed.wait()
        return self.said[-1]


@pytest.fixture
async def watched(breakable_lab: BreakableServers) -> AsyncIterator[Watched]:
    made = Watched(breakable_lab.redis_url)
    yield made
    await made.cache.close()


@pytest.fixture
async def patient(breakable_lab: BreakableServers) -> AsyncIterator[Watched]:
    """One for which no answer comes too late: for what is not about time."""
    made = Watched(breakable_lab.redis_url, LONG)
    yield made
    await made.cache.close()


@pytest.fixture
async def server(breakable_lab: BreakableServers) -> AsyncIterator[Redis]:
    """The server itself, as its operator reaches it."""
    made = Redis.from_url(breakable_lab.redis_url)
    yield made
    await made.aclose()


@pytest.fixture
def run() -> str:
    return str(uuid.uuid4())


async def until_live(feed: Feed, live: bool) -> None:
    async with asyncio.timeout(LONG):
        while feed.live is not live:
            await feed.next(LONG)


async def test_killed_and_back(watched: Watched, breakable_lab: BreakableServers, run: str) -> None:
    """faults 47"""
    cache = watched.cache
    await cache.tell([word(run)])
    breakable_lab.kill("valkey")
    assert await cache.status(run) is None
    assert cache.degraded is not None
    assert "onnect" in cache.degraded.why
    assert abs(cache.degraded.since - time.time()) < LONG
    assert await cache.tell([word(run, 2)]) is None
    assert not await cache.forget([run])
    await cache.fill(status(run))
    assert [await cache.take("limit", 0.001, 2) for _ in range(2)] == [0.0, 0.0]
    assert await cache.take("limit", 0.001, 2) > 900  # counted here, as long as nobody else can
    assert len(watched.said) == 1

    breakable_lab.restart("valkey")
    assert await watched.until(2) is None
    assert cache.degraded is None
    assert await cache.tell([word(run, 3)]) == frozenset()
    assert await cache.status(run) == status(run, 3)


async def test_paused_it_costs_one_call_and_then_nothing(
    watched: Watched, breakable_lab: BreakableServers, run: str
) -> None:
    cache, loop = watched.cache, asyncio.get_running_loop()
    await cache.tell([word(run)])
    with breakable_lab.paused("valkey"):
        began = loop.time()
        assert await cache.status(run) is None
        assert cache.degraded is not None
        assert "250 ms" in cache.degraded.why
        once = loop.time() - began
        assert once >= CALL_SECONDS * 0.9
        for _ in range(100):
            assert await cache.status(run) is None
        assert loop.time() - began < 2 * once
        await cache.tell([word(run, 2)])
    assert await watched.until(2) is None
    assert await cache.status(run) == status(run)


async def test_many_calls_into_a_pause_end_together(
    watched: Watched, breakable_lab: BreakableServers, run: str
) -> None:
    """More than there are connections: nobody waits for those who wait."""
    cache, loop = watched.cache, asyncio.get_running_loop()
    with breakable_lab.paused("valkey"):
        began = loop.time()
        assert await asyncio.gather(*(cache.status(run) for _ in range(200))) == [None] * 200
        assert loop.time() - began < 8 * CALL_SECONDS
    await watched.until(2)


async def test_flushed(watched: Watched, server: Redis, run: str) -> None:
    """faults 47"""
    cache = watched.cache
    await cache.tell([word(run, 5)])
    assert await cache.take("limit", 0.001, 1) == 0.0
    await server.flushall()
    await server.script_flush()
    assert await cache.status(run) is None
    assert await cache.tell([word(run, 6)]) == frozenset()
    assert await cache.status(run) == status(run, 6)
    assert await cache.take("limit", 0.001, 1) == 0.0
    assert watched.said == []


async def test_a_primary_that_becomes_a_replica_and_back(watched: Watched, server: Redis, run: str) -> None:
    """faults 47"""
    cache = watched.cache
    await cache.tell([word(run)])
    await server.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    try:
        assert await cache.tell([word(run, 2)]) is None
        degraded = await cache.probe()
        assert degraded is not None
        assert "read only" in degraded.why
    finally:
        await server.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    assert await watched.until(2) is None
    assert await cache.tell([word(run, 2)]) == frozenset()
    assert await cache.status(run) == status(run, 2)


async def test_a_refused_password_is_named(breakable_lab: BreakableServers, server: Redis, run: str) -> None:
    await server.config_set("requirepass", "right")
    try:
        watched = Watched(breakable_lab.redis_url.replace("//", "//:wrong@"))
        degraded = await watched.cache.probe()
        assert degraded is not None
        assert "password" in degraded.why.lower()
        assert "wrong@" not in degraded.why
        await watched.cache.close()
    finally:
        await server.config_set("requirepass", "")


async def test_memory_is_full(watched: Watched, server: Redis, run: str) -> None:
    await server.config_set("maxmemory", "1")
    try:
        assert await watched.cache.tell([word(run)]) is None
        assert watched.cache.degraded is not None
        assert "memory" in watched.cache.degraded.why
    finally:
        await server.config_set("maxmemory", "0")
    assert await watched.until(2) is None


async def test_cancelled_calls_leave_no_answer_to_others(patient: Watched, run: str) -> None:
    """faults 50: half of the calls are cancelled, each after another number of turns of the loop."""
    cache, chance = patient.cache, random.Random(50)
    runs = [f"{run}-{number}" for number in range(40)]
    await cache.tell([word(each, seq) for seq, each in enumerate(runs, 1)])
    cancelled = 0

    async def ask(seq: int) -> None:
        nonlocal cancelled
        call: asyncio.Task[Any] = asyncio.create_task(cache.status(runs[seq - 1]))
        if chance.random() < 0.5:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            if call.cancel():
                cancelled += 1
                await asyncio.gather(call, return_exceptions=True)
                return
        assert await call == status(runs[seq - 1], seq)

    for _ in range(25):
        await asyncio.gather(*map(ask, range(1, len(runs) + 1)))
    assert cancelled > 100
    assert patient.said == []


async def test_a_call_cancelled_under_way_takes_its_connection_with_it(
    patient: Watched, server: Redis, run: str
) -> None:
    """faults 50: the answer that comes later reaches nobody."""
    cache = patient.cache
    await cache.tell([word(run, 1), word(run + "b", 2)])
    await server.client_pause(150)  # the server takes commands and answers none of them meanwhile
    asked = asyncio.create_task(cache.status(run))
    for _ in range(20):
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await cache.status(run + "b") == status(run + "b", 2)
    assert patient.said == []


async def test_a_loop_that_stood_still_is_not_the_servers_fault(watched: Watched, run: str) -> None:
    cache = watched.cache
    await cache.tell([word(run)])
    asked = asyncio.create_task(cache.status(run))
    for _ in range(5):
        await asyncio.sleep(0)
    time.sleep(CALL_SECONDS * 1.5)  # noqa: ASYNC251 (this is the fault)
    await asked
    assert watched.said == []
    assert await cache.status(run) == status(run)


async def test_feeds_end_and_begin_again_by_themselves(
    watched: Watched, breakable_lab: BreakableServers, run: str
) -> None:
    """faults 47: who follows is told to look at the store, before and after."""
    cache = watched.cache
    async with cache.follow(run) as feed:
        assert feed.live
        breakable_lab.kill("valkey")
        await until_live(feed, live=False)
        breakable_lab.restart("valkey")
        await until_live(feed, live=True)
        await watched.until(2)
        assert await cache.tell([word(run, 7)]) == frozenset({run})
        assert (await heard(feed)).status.seq == 7


async def test_a_silent_server_is_found_out_by_who_only_listens(
    watched: Watched, breakable_lab: BreakableServers, run: str
) -> None:
    cache = watched.cache
    async with cache.follow(run) as feed:
        with breakable_lab.paused("valkey"):
            await until_live(feed, live=False)
            assert cache.degraded is not None
        await until_live(feed, live=True)
        await cache.tell([word(run)])
        assert (await heard(feed)).status.seq == 1


async def test_following_while_it_is_away_begins_when_it_is_back(
    watched: Watched, breakable_lab: BreakableServers, run: str
) -> None:
    cache = watched.cache
    await cache.probe()
    breakable_lab.kill("valkey")
    async with cache.follow(run) as feed:
        assert not feed.live
        breakable_lab.restart("valkey")
        await until_live(feed, live=True)
        await watched.until(2)
        await cache.tell([word(run)])
        assert (await heard(feed)).status.seq == 1
