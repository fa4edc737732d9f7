"""What every cache promises, in this process and on a real server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from headrace.engine.cache import open_cache
from headrace.engine.cache.feeds import ROOM
from headrace.engine.ports.cache import Cache, CacheMisconfigured, Commit, Feed, Move, Status, Word
from tests.support.servers import Servers

SOON = 5.0
"""Seconds in which a word that was told arrives, with room for a busy machine."""


def status(run: str, seq: int = 1, epoch: int = 1, **changed: object) -> Status:
    fields: dict[str, object] = {
        "run": run,
        "no": 7,
        "project": "default",
        "workflow": "sales",
        "version": 3,
        "state": "running",
        "reason": None,
        "paused": False,
        "generation": 1,
        "created_at": 1_700_000_000.25,
        "started_at": None,
        "finished_at": None,
        "tasks": {"pending": 3, "succeeded": 2},
        "epoch": epoch,
        "seq": seq,
    }
    return Status(**(fields | changed))  # type: ignore[arg-type]


def word(run: str, seq: int = 1, epoch: int = 1, **changed: object) -> Word:
    return Word(status(run, seq, epoch, **changed))


async def heard(feed: Feed, wanted: Callable[[Word], bool] = lambda word: True) -> Word:
    """The next word that is wanted; that one should look at the store is passed over."""
    async with asyncio.timeout(SOON):
        while True:
            word = await feed.next(SOON)
            if word is not None and wanted(word):
                return word


@pytest.fixture
def run() -> str:
    return str(uuid.uuid4())


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Cache]]:
    """Each call is another process; in this process there is one cache."""
    made: list[Cache] = []
    if request.param == "redis":
        lab: Servers = request.getfixturevalue("lab")
        prefix = f"t{uuid.uuid4().hex}:"

        def another() -> Cache:
            made.append(open_cache(lab.redis_url, prefix=prefix))
            return made[-1]
    else:
        made.append(open_cache(None))

        def another() -> Cache:
            return made[0]

    yield another
    for cache in made:
        await cache.close()


@pytest.fixture
def cache(make: Callable[[], Cache]) -> Cache:
    return make()


# -- status --------------------------------------------------------------------------------------------------------


async def test_a_status_is_kept_whole(cache: Cache, run: str) -> None:
    assert await cache.status(run) is None
    told = status(run, reason="tästing", finished_at=2.5, paused=True)
    assert await cache.tell([Word(told)]) == frozenset()
    assert await cache.status(run) == told
    assert cache.degraded is None


@pytest.mark.parametrize(
    ("first", "second", "newer"),
    [
        ((1, 1), (1, 2), True),
        ((1, 9), (1, 10), True),
        ((1, 255), (1, 256), True),
        ((9, 3), (10, 3), True),
        ((2, 5), (3, 4), True),  # whoever owned the part before was told too late
        ((1, 2), (1, 1), False),
        ((3, 4), (2, 5), False),
        ((1, 1), (1, 1), False),
    ],
)
async def test_only_what_is_newer_is_kept(
    cache: Cache, run: str, first: tuple[int, int], second: tuple[int, int], newer: bool
) -> None:
    """faults 49"""
    await cache.tell([word(run, first[1], first[0], reason="first")])
    await cache.tell([word(run, second[1], second[0], reason="second")])
    kept = await cache.status(run)
    assert kept is not None
    assert kept.reason == ("second" if newer else "first")


async def test_what_was_read_from_the_store_never_stands_in_the_way(cache: Cache, run: str) -> None:
    await cache.fill(status(run, seq=8, reason="read"))
    kept = await cache.status(run)
    assert kept is not None
    assert kept.reason == "read"
    await cache.tell([word(run, seq=8, reason="told")])
    await cache.fill(status(run, seq=9, reason="read again"))
    kept = await cache.status(run)
    assert kept is not None
    assert kept.reason == "told"


async def test_what_is_forgotten_is_kept_no_longer(cache: Cache, run: str) -> None:
    await cache.tell([word(run), word(run + "b")])
    assert await cache.forget([run])
    assert await cache.status(run) is None
    assert await cache.status(run + "b") is not None


async def test_many_at_once(cache: Cache, run: str) -> None:
    assert await cache.tell([word(f"{run}{number}", seq=number + 1) for number in range(500)]) == frozenset()
    kept = await cache.status(f"{run}499")
    assert kept is not None
    assert kept.seq == 500


# -- live events ---------------------------------------------------------------------------------------------------


async def test_who_follows_a_run_hears_it_and_no_other(make: Callable[[], Cache], run: str) -> None:
    teller, follower = make(), make()
    commits = [
        Commit(
            1,
            [Move(1.5, "price[7]", "pending", "failed", "timed_out", 2), Move(2.0, None, "a", "b", None, 0)],
        )
    ]
    async with follower.follow(run) as feed:
        assert feed.live
        assert await teller.tell([word(run + "x"), Word(status(run), commits)]) == frozenset({run})
        assert await heard(feed) == Word(status(run), commits)
    assert await teller.tell([word(run, 2)]) == frozenset()


async def test_a_late_word_of_an_earlier_owner_is_not_told(make: Callable[[], Cache], run: str) -> None:
    teller, follower = make(), make()
    async with follower.follow(run) as feed:
        await teller.tell([word(run, seq=5, epoch=4)])
        await teller.tell([word(run, seq=6, epoch=3)])
        await teller.tell([word(run, seq=6, epoch=4)])
        assert [(await heard(feed)).status.seq, (await heard(feed)).status.epoch] == [5, 4]


async def test_several_follow_one_run_and_each_leaves_alone(make: Callable[[], Cache], run: str) -> None:
    teller, follower = make(), make()
    async with follower.follow(run) as first:
        async with follower.follow(run) as second:
            await teller.tell([word(run, 1)])
            assert (await heard(second)).status.seq == (await heard(first)).status.seq == 1
        assert await teller.tell([word(run, 2)]) == frozenset({run})
        assert (await heard(first)).status.seq == 2
    async with follower.follow(run) as again:
        assert again.live
        await teller.tell([word(run, 3)])
        assert (await heard(again)).status.seq == 3


async def test_a_project_is_told_how_its_runs_stand(make: Callable[[], Cache], run: str) -> None:
    teller, follower = make(), make()
    async with follower.follow_project(f"p{run}") as feed:
        told = status(run, project=f"p{run}")
        await teller.tell([word(run + "x"), Word(told, [Commit(1, [])])])
        assert await heard(feed) == Word(told)


async def test_forgetting_has_followers_look_at_the_store(make: Callable[[], Cache], run: str) -> None:
    teller, follower = make(), make()
    async with follower.follow(run) as feed:
        await teller.tell([word(run)])
        await heard(feed)
        await teller.forget([run])
        assert await feed.next(SOON) is None
        await teller.tell([word(run)])  # nothing is kept any more, so that this is new
        assert (await heard(feed)).status.seq == 1


async def test_a_quiet_feed_says_after_a_while_to_look(cache: Cache, run: str) -> None:
    async with cache.follow(run) as feed:
        await feed.next(0.01)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await feed.next(0.02) is None
        assert loop.time() - began >= 0.015


async def test_a_slow_reader_is_told_to_look_and_then_hears_what_is_new(
    make: Callable[[], Cache], run: str
) -> None:
    """faults 51, as far as the cache goes"""
    teller, follower = make(), make()
    async with follower.follow(run) as feed, follower.follow(run) as witness:
        for seq in range(1, ROOM + 2):
            await teller.tell([word(run, seq)])
            await heard(witness, lambda word, seq=seq: word.status.seq == seq)  # type: ignore[misc]
        assert await feed.next(SOON) is None
        await teller.tell([word(run, 1000)])
        assert (await heard(feed)).status.seq == 1000


# -- rate limits ---------------------------------------------------------------------------------------------------


async def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait(cache: Cache, run: str) -> None:
    assert [await cache.take(run, 0.01, 3) for _ in range(3)] == [0.0] * 3
    wait = await cache.take(run, 0.01, 3)
    assert 90 < wait <= 100
    assert wait >= await cache.take(run, 0.01, 3) > 90  # asking costs nothing
    assert await cache.take(run + "b", 0.01, 3) == 0.0


async def test_a_bucket_fills_with_time(cache: Cache, run: str) -> None:
    assert await cache.take(run, 50, 2, cost=2) == 0.0
    waits = []
    while wait := await cache.take(run, 50, 2, cost=2):
        waits.append(wait)
        await asyncio.sleep(wait)
    assert waits
    assert max(waits) <= 0.04 + 1e-6


async def test_all_processes_share_a_bucket(make: Callable[[], Cache], run: str) -> None:
    caches = [make() for _ in range(4)]
    waits = await asyncio.gather(*(cache.take(run, 0.01, 10) for cache in caches * 10))
    assert waits.count(0.0) == 10


@pytest.mark.parametrize(("rate", "burst", "cost"), [(1, 1, 2), (0, 1, 1), (1, 0, 0), (1, 1, -1)])
async def test_what_no_bucket_could_ever_give_is_refused(
    cache: Cache, run: str, rate: float, burst: float, cost: float
) -> None:
    with pytest.raises(ValueError, match="burst"):
        await cache.take(run, rate, burst, cost)


@pytest.mark.parametrize("url", ["http://x", "redis://h:port", "redis:/h", "redis://", "nonsense", ""])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(CacheMisconfigured, match="HEADRACE_REDIS_URL"):
        open_cache(url)
