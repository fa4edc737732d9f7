"""Timers, pools, the value cache, clocks, commands and ids."""

from __future__ import annotations

import time
from typing import Any

import pytest

from headrace.engine.core.decision import Value
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import Key, child
from headrace.engine.ports.artifacts import ArtifactMissing
from headrace.engine.ports.pools import PoolRow
from headrace.engine.ports.store import Batch, Timer, TimerKey
from headrace.engine.shell import commands
from headrace.engine.shell.children import part_of, run_id
from headrace.engine.shell.clock import SystemClock, VirtualClock
from headrace.engine.shell.pools import Pools, Sizes
from headrace.engine.shell.timers import Timers
from headrace.engine.shell.times import day_of, rfc3339
from headrace.engine.shell.values import Bounded, ValueCache
from tests.support.flows import flow, group, over, py

KEY = Key(4, 2)


def batch() -> Batch:
    return Batch(0, 1, 1, 0.0)


# -- timers ------------------------------------------------------------------------------------------------------


def test_timers_fall_due_in_order_and_once() -> None:
    timers = Timers()
    timers.set(1, 1, KEY, "retry", 20.0)
    timers.set(2, 1, None, "deadline", 10.0)
    assert timers.next_due == 10.0
    assert timers.due(9.9, 10) == []
    due = timers.due(30.0, 10)
    assert [(run, event.key, event.kind, event.due_at) for run, event in due] == [
        (2, None, "deadline", 10.0),
        (1, KEY, "retry", 20.0),
    ]
    assert timers.due(30.0, 10) == []


def test_a_timer_that_was_moved_fires_at_its_new_time_only() -> None:
    timers = Timers()
    timers.set(1, 1, KEY, "retry", 10.0)
    timers.set(1, 1, KEY, "retry", 20.0)
    assert timers.due(15.0, 10) == []
    assert len(timers.due(20.0, 10)) == 1


def test_only_what_the_store_must_know_is_written() -> None:
    timers, written = Timers(), batch()
    timers.set(1, 2, KEY, "retry", 10.0)
    timers.set(1, 2, Key(9), "retry", 10.0)
    timers.clear(1, Key(9), written)  # never stored: nothing to clear
    timers.flush(1, [KEY, Key(9)], written)
    assert (written.timers, written.cleared) == ([Timer(1, 2, 4, 2, "retry", 10.0)], [])
    again = batch()
    timers.flush(1, [KEY], again)
    timers.set(1, 2, KEY, "retry", 12.0)
    timers.clear(1, KEY, again)  # moved but not flushed: the stored one must still go
    assert (again.timers, again.cleared) == ([], [TimerKey(1, 2, 4, 2)])
    assert timers.next_due is None


def test_a_fired_timer_is_cleared_in_the_batch_of_its_event() -> None:
    timers, written = Timers(), batch()
    timers.restore([Timer(1, 1, -1, 0, "deadline", 5.0), Timer(1, 1, 4, 2, "sleep", 6.0)])
    for run, event in timers.due(6.0, 10):
        timers.fired(run, event, written)
    assert written.cleared == [TimerKey(1, 1, -1, 0, "deadline"), TimerKey(1, 1, 4, 2, "sleep")]
    timers.restore([Timer(1, 1, 4, 2, "sleep", 60.0)])
    timers.forget(1, written)
    assert written.cleared[-1] == TimerKey(1, 1, 4, 2)


# -- pools -------------------------------------------------------------------------------------------------------


DB = "default", "db"


def test_a_pool_grants_by_class_then_age_and_a_costly_request_is_not_overtaken() -> None:
    pools = Pools(Sizes({"db": 3}))
    a, b, c, d = ((1, Key(task)) for task in range(4))
    assert pools.request(DB, a, 2, 1) == [a]
    assert pools.request(DB, b, 3, 1) == []
    assert pools.request(DB, c, 1, 1) == []
    assert pools.request(DB, d, 1, 0) == [d]
    assert pools.release(DB, a) == []
    assert pools.release(DB, d) == [b]
    assert pools.release(DB, b) == [c]
    assert pools.used(DB) == 1


def test_asking_and_releasing_twice_changes_nothing() -> None:
    pools = Pools(Sizes({"db": 1}))
    one, two = (1, Key(0)), (2, Key(0))
    assert pools.request(DB, one, 1, 1) == [one]
    assert pools.request(DB, one, 1, 1) == [one]
    assert pools.request(DB, two, 1, 1) == []
    assert pools.request(DB, two, 1, 1) == []
    assert pools.release(DB, one) == [two]
    assert pools.release(DB, one) == []
    assert pools.forget(2) == []
    assert pools.used(DB) == 0


def test_what_costs_more_than_the_pool_runs_alone_in_it() -> None:
    pools = Pools(Sizes({"db": 2}))
    assert pools.request(DB, (1, Key(0)), 5, 1) == [(1, Key(0))]
    assert pools.request(DB, (1, Key(1)), 1, 1) == []
    assert pools.forget(1) == []
    assert pools.request(DB, (2, Key(1)), 1, 1) == [(2, Key(1))]


def test_a_pool_without_a_size_is_unlimited() -> None:
    pools = Pools(Sizes({"db": 1}))
    assert all(pools.request(("default", "other"), (1, Key(task)), 9, 1) for task in range(100))


def test_a_pool_is_as_large_as_the_store_says_else_as_was_given() -> None:
    sizes = Sizes({"db": 2, "api": 1})
    sizes.learn([PoolRow("default", "db", 3, None, "ada", 1.0), PoolRow("other", "api", 0, None, "ada", 1.0)])
    assert [sizes.of(("default", name)) for name in ("db", "api", "x")] == [3, 1, None]
    assert [sizes.of(("other", name)) for name in ("db", "api", "x")] == [2, 0, None]


def test_a_pool_that_is_resized_grants_what_fits_then() -> None:
    sizes = Sizes({"db": 1})
    pools = Pools(sizes)
    entries = [(1, Key(task)) for task in range(5)]
    assert [pools.request(DB, entry, 1, 1) for entry in entries] == [[entries[0]], [], [], [], []]
    sizes.learn([PoolRow(*DB, 3, None, "ada", 1.0)])
    assert pools.resized() == entries[1:3]
    sizes.learn([PoolRow(*DB, 1, None, "ada", 1.0)])
    assert pools.resized() == []
    assert pools.release(DB, entries[0]) == pools.release(DB, entries[1]) == []
    assert pools.release(DB, entries[2]) == [entries[3]]
    sizes.learn([])
    assert pools.resized() == []
    assert pools.release(DB, entries[3]) == [entries[4]]


def test_a_pool_of_size_0_grants_nothing() -> None:
    pools = Pools(Sizes({"db": 0}))
    assert pools.request(DB, (1, Key(0)), 1, 1) == []
    assert pools.request(DB, (1, Key(1)), 5, 1) == []


# -- values ------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_bounded_by_bytes_and_the_oldest_goes_first() -> None:
    """I10."""
    kept: Bounded[int, str] = Bounded(10_000)
    for number in range(100):
        kept.put(number, "x", 800)
        assert kept.get(0) == "x"  # used every time: never the oldest
    assert kept.size <= 10_000
    assert len(kept) == 10
    kept.put(1_000, "too large", 20_000)
    assert kept.get(1_000) is None
    kept.put(0, "larger", 5_000)
    assert kept.size <= 10_000


class Shelf:
    """Artifacts in memory; counts what was fetched."""

    def __init__(self, **contents: bytes) -> None:
        self.contents, self.fetched = contents, 0

    async def put(self, data: bytes) -> Artifact:
        raise AssertionError("engines put no artifacts")

    async def get(self, artifact: Artifact) -> bytes:
        self.fetched += 1
        if artifact.digest not in self.contents:
            raise ArtifactMissing(artifact.digest)
        return self.contents[artifact.digest]


async def test_an_artifact_is_loaded_once_and_one_that_cannot_be_stays_an_artifact() -> None:
    shelf = Shelf(a=b'{"x": [1]}', bad=b"{")
    cache = ValueCache(shelf, largest=1_000)
    for _ in range(2):
        assert await cache.load(Artifact("u", "a", 10)) == {"x": [1]}
    assert shelf.fetched == 1
    for artifact in (Artifact("u", "gone", 10), Artifact("u", "bad", 10), Artifact("u", "a2", 5_000)):
        assert await cache.load(artifact) is artifact


async def test_an_artifact_that_holds_null_is_loaded_once_too() -> None:
    shelf = Shelf(a=b"null")
    cache = ValueCache(shelf)
    assert [await cache.load(Artifact("u", "a", 4)) for _ in range(2)] == [None, None]
    assert shelf.fetched == 1


def test_values_belong_to_a_generation() -> None:
    cache = ValueCache(None)
    cache.put(1, 1, KEY, Value(5), 1)
    assert cache.get(1, 1, KEY) == Value(5)
    assert cache.get(1, 2, KEY) is None


# -- clocks, ids, times ------------------------------------------------------------------------------------------


def test_the_system_clock_starts_where_it_is_told_and_goes_on_steadily() -> None:
    clock = SystemClock(1_000.0)
    first = clock.now()
    assert 1_000.0 <= first <= clock.now() < 1_060.0
    assert clock.until(first + 3_600, idle=True) > 3_500
    assert clock.until(first - 1, idle=False) == 0.0
    assert abs(SystemClock().now() - time.time()) < 5


def test_a_virtual_clock_jumps_only_when_idle_and_never_back() -> None:
    clock = VirtualClock(100.0)
    assert clock.until(500.0, idle=False) > 0
    assert clock.now() == 100.0
    assert clock.until(500.0, idle=True) == 0.0
    assert clock.now() == 500.0
    assert clock.steady() == 0.0
    clock.advance(1)
    assert (clock.now(), clock.steady()) == (501.0, 1.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_run_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    ids = [run_id(1_700_000_000 + second) for second in range(50)]
    assert ids == sorted(ids)
    assert {(text[14], text[19] in "89ab", len(text)) for text in ids} == {("7", True, 36)}
    assert {part_of(text, 4) for text in ids} <= {0, 1, 2, 3}


@pytest.mark.parametrize(("at", "text"), [(0.0, "1970-01-01T00:00:00Z"), (0.5, "1970-01-01T00:00:00.5Z")])
def test_times_are_rfc_3339_in_utc(at: float, text: str) -> None:
    assert (rfc3339(at), day_of(at)) == (text, "1970-01-01")


# -- commands ----------------------------------------------------------------------------------------------------

PLAN = flow(
    py("one"),
    py("many", map=over([1, 2])),
    group("each", py("encode", map=over([1, 2])), py("pack"), map=over([1, 2])),
)


@pytest.mark.parametrize(
    ("text", "task", "path"),
    [
        ("one", "one", 0),
        ("many", "many", 0),
        ("many[1]", "many", child(0, 1, 0)),
        ("each.pack[1]", "each.pack", child(0, 1, 0)),
        ("each.encode[2,1]", "each.encode", child(child(0, 2, 0), 1, 1)),
    ],
)
def test_a_task_run_is_named_as_it_is_written(text: str, task: str, path: int) -> None:
    assert commands.key_of(PLAN, text) == Key(PLAN.index[task], path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("won", 'Did you mean "one"'),
        ("one[1]", "takes no index, not 1"),
        ("many[1,2]", "takes one index, not 2"),
        ("each.pack", "takes one index, not 0"),
        ("many[x]", "is no task run"),
        ("many[9999999]", "takes one index"),
        ("", "is no task run"),
    ],
)
def test_a_task_run_that_cannot_be_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(commands.Refused, match=says.replace("[", r"\[")):
        commands.key_of(PLAN, text)


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("cancle", {}, 'Did you mean "cancel"'),
        ("cancel", {}, "by"),
        ("task", {"by": "ann", "task": "a", "action": "explode"}, "explode"),
        ("rerun", {"by": "ann", "from": 3}, "from"),
        ("pause", [1], "wrong"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(kind: str, body: Any, says: str) -> None:
    with pytest.raises(commands.Refused, match=says):
        commands.encode(kind, body)


def test_bodies_are_written_as_the_api_takes_them() -> None:
    assert commands.encode("rerun", commands.RerunBody("ann", ["a"])) == b'{"by":"ann","from":["a"]}'
