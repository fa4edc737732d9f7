"""Small commits on the caller's own thread: only while the disk is fast and nobody else writes (store/writer.py)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.engine.store.lane import Lane
from headrace.engine.store.writer import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "some.db") as connection:
        connection.execute("CREATE TABLE seen (thread INTEGER)")
    return tmp_path / "some.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer(lambda: Lane(str(path)), lambda: None, lambda error: error, quick=60.0)
    writer.start()
    yield writer
    writer.stop()


def note(lane: Lane) -> int:
    lane.raw.execute("INSERT INTO seen VALUES (?)", (threading.get_ident(),))
    return threading.get_ident()


async def test_a_small_commit_needs_no_change_of_thread(writer: Writer, path: Path) -> None:
    assert await writer.do(note, small=True) == threading.get_ident()
    assert await writer.do(note) != threading.get_ident()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (2,)


async def test_while_another_process_writes_the_loop_goes_on(writer: Writer, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(writer.do(note, small=True))
    await asyncio.sleep(0)  # lets it begin: were it done here, the loop would wait for the lock
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting != threading.get_ident()


async def test_where_the_disk_is_slow_the_loop_never_waits_for_it(path: Path) -> None:
    slow = Writer(
        lambda: Lane(str(path)), lambda: None, lambda error: error, quick=0.0
    )  # no disk is fast enough
    slow.start()
    assert await slow.do(note, small=True) != threading.get_ident()
    slow.stop()


async def test_how_fast_the_disk_is_follows_from_the_last_commits(path: Path) -> None:
    writer = Writer(lambda: Lane(str(path)), lambda: None, lambda error: error, quick=1.0)
    for seconds, fast in ((2.0, True), (20.0, False), (0.1, False)):
        writer._took(seconds)
        assert (writer._pace < 1.0) is fast, seconds
    for _ in range(20):
        writer._took(0.1)
    assert writer._pace < 1.0, "it is fast again"


async def test_what_a_small_one_raises_is_undone_and_raised(writer: Writer, path: Path) -> None:
    def wrong(lane: Lane) -> None:
        note(lane)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await writer.do(wrong, small=True)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    assert await writer.do(note, small=True)


def count(lane: Lane) -> list[tuple[int, ...]]:
    return lane.raw.execute("SELECT count(*) FROM seen").fetchall()


async def test_a_glance_sees_what_was_committed_and_needs_no_change_of_thread(writer: Writer) -> None:
    await writer.do(note)
    assert writer.glance(lambda lane: (count(lane), threading.get_ident())) == ([(1,)], threading.get_ident())


async def test_there_is_no_glance_while_somebody_writes_nor_where_the_disk_is_slow(
    writer: Writer, path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def long(lane: Lane) -> None:
        note(lane)
        begun.set()
        go_on.wait()

    writing = asyncio.ensure_future(writer.do(long))
    await asyncio.to_thread(begun.wait)
    assert writer.glance(count) is None, "it would see what is not committed yet"
    go_on.set()
    await writing
    assert writer.glance(count) == [(1,)]
    writer._took(60.0 * 20)
    assert writer.glance(count) is None


async def test_a_glance_that_meets_another_process_does_not_wait(writer: Writer, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO seen VALUES (1)")
    try:
        assert writer.glance(note) is None, "it is told at once that the file is locked"
    finally:
        other.execute("ROLLBACK")
        other.close()
