"""What SQLite's adapter survives, and what it refuses: each with a message that says what to do."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import check, open_store, schema, upgrade
from headrace.engine.store.files import file_system, refuse_network
from headrace.engine.store.lane import PRAGMAS, Lane
from headrace.engine.store.sqlite import SqliteStore
from tests.contracts.conftest import Database
from tests.contracts.samples import batch, command, history, new_run, task_row

STRACE = shutil.which("strace")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headrace.db"


async def test_every_connection_has_its_pragmas(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.run(1)  # opens a reader
    lane = Lane(str(path))
    try:
        assert lane.pragma("journal_mode") == "wal"
        assert lane.pragma("synchronous") == 2
        for name, value in PRAGMAS.items():
            assert lane.pragma(name) == value
    finally:
        lane.close()
        await store.close()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
async def test_every_commit_is_flushed_to_the_disk(tmp_path: Path) -> None:
    """Counted from outside: between two marks, at least one flush for each acknowledged commit."""
    program = textwrap.dedent(
        """
        import asyncio, os, sys
        from headrace.engine.store import open_store
        from headrace.engine.ports.store import Batch

        async def main():
            store = await open_store("sqlite:///" + sys.argv[1])
            owned = await store.claim(0, "engine-1")
            os.write(2, b"begin-marked")
            for seq in range(1, 21):
                await store.commit([Batch(0, owned.epoch, seq, 1.0)])
            os.write(2, b"end-marked")
            await store.close()

        asyncio.run(main())
        """
    )
    trace = tmp_path / "trace"
    command = [str(STRACE), "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write", sys.executable, "-c"]
    done = await asyncio.create_subprocess_exec(
        *command, program, str(tmp_path / "flushed.db"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await done.communicate()
    assert done.returncode == 0, said.decode()
    lines = trace.read_text().splitlines()
    begin, end = (
        next(i for i, line in enumerate(lines) if mark in line) for mark in ("begin-marked", "end-marked")
    )
    flushes = [line for line in lines[begin:end] if "fsync(" in line or "fdatasync(" in line]
    assert len(flushes) >= 20


async def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from headrace.engine.store import open_store
        from headrace.engine.ports.store import Batch, HistoryRow

        async def main():
            store = await open_store("sqlite:///" + sys.argv[1])
            owned = await store.claim(0, "engine-1")
            seq = 0
            while True:
                seq += 1
                await store.commit([Batch(0, owned.epoch, seq, 1.0, history=[HistoryRow(1, seq, 1.0, b"x")])])
                print(seq, flush=True)

        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 30:
        acknowledged = int(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).split()
    await process.wait()
    acknowledged = int(rest[-1]) if rest else acknowledged
    store = await open_store(f"sqlite:///{path}")
    try:
        assert not await store.has_owner(0)
        owned = await store.claim(0, "engine-1")
        assert owned.epoch == 2
        assert owned.seq >= acknowledged
        assert [row.seq for row in await store.history(1)] == list(range(1, owned.seq + 1))
    finally:
        await store.close()


async def test_a_second_engine_is_refused_with_the_process_of_the_first(sqlite_database: Database) -> None:
    first, second = await sqlite_database.open(), await sqlite_database.open()
    await first.claim(0, "engine-1")
    with pytest.raises(StoreUnavailable, match=rf"another engine \(process {os.getpid()}\)"):
        await second.claim(0, "engine-2")
    await first.release(0, "engine-1")
    assert (await second.claim(0, "engine-2")).epoch == 2


async def test_looking_for_an_owner_does_not_keep_one_away(sqlite_database: Database) -> None:
    engine, watcher = await sqlite_database.open(), await sqlite_database.open()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            asyncio.run(watcher.has_owner(0))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        for _ in range(20):
            await engine.claim(0, "engine-1")
            await engine.release(0, "engine-1")
    finally:
        stop.set()
        watching.join()


async def test_a_file_locked_by_another_process(path: Path) -> None:
    store = await SqliteStore.open(path, busy_seconds=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"is locked by another process\. End it"):
            await store.post(command())
        other.execute("ROLLBACK")
        assert await store.post(command()) == 1
    finally:
        other.close()
        await store.close()


@pytest.mark.parametrize("name", ["headrace.db", "headrace.db-wal"])
async def test_a_file_deleted_while_in_use(path: Path, name: str) -> None:
    store = await SqliteStore.open(path)
    try:
        await store.post(command())
        path.with_name(name).unlink()
        with pytest.raises(StoreUnavailable, match="was deleted or replaced while it was in use"):
            await store.post(command())
    finally:
        await store.close()


async def test_something_that_is_no_database(path: Path) -> None:
    shutil.copy(__file__, path)
    with pytest.raises(StoreUnavailable, match="is not a SQLite database"):
        await open_store(f"sqlite:///{path}")


async def test_a_database_of_something_else(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    with pytest.raises(StoreUnavailable, match="belongs to something else"):
        await open_store(f"sqlite:///{path}")


async def test_the_schema_of_a_newer_version(path: Path) -> None:
    await upgrade(f"sqlite:///{path}")
    assert await check(f"sqlite:///{path}") == schema.HEAD
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE headrace_schema SET version_num = '9999'")
    connection.close()
    for use in (open_store, check):
        with pytest.raises(StoreUnavailable, match=r"schema 9999 of a newer Headrace .* Upgrade Headrace"):
            await use(f"sqlite:///{path}")


async def test_checking_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="There is no database"):
        await check(f"sqlite:///{path}")
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "headrace.db"])
async def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="sqlite:///path/to/file"):
        await open_store(url)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        await open_store(f"sqlite:///{tmp_path}/file/headrace.db")


async def test_a_full_disk_stops_writing_until_there_is_room(sqlite_database: Database) -> None:
    store = await sqlite_database.open()
    owned = await store.claim(0, "engine-1")
    run = (await store.create_run(new_run())).no
    await store.commit([batch(owned.epoch, 1, history=[history(run, 1)])])
    big = batch(owned.epoch, 2, history=[history(run, 2, os.urandom(3_000_000))])
    with no_larger_files_than(500_000):
        with pytest.raises(StoreUnavailable, match=r"(?i)disk"):
            await store.commit([big])
        results = await asyncio.gather(
            store.commit([big]), *(store.run(run) for _ in range(3)), return_exceptions=True
        )
        assert isinstance(results[0], StoreUnavailable)
        assert all(getattr(result, "no", None) == run for result in results[1:])
    assert await store.commit([big]) == []
    assert [row.seq for row in await store.history(run)] == [1, 2]


@contextmanager
def no_larger_files_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_callers_at_once_share_a_transaction_and_fail_alone(sqlite_database: Database) -> None:
    store = await sqlite_database.open()
    owned = await store.claim(0, "engine-1")
    run = (await store.create_run(new_run())).no
    await store.commit([batch(owned.epoch, 1, history=[history(run, 1)])])
    twice = batch(owned.epoch, 2, history=[history(run, 1)])  # breaks the primary key
    results = await asyncio.gather(
        store.post(command("a")), store.commit([twice]), store.post(command("b")), return_exceptions=True
    )
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert [row.kind for row in await store.inbox(0, 0, 10)] == ["start", "a", "b"]
    assert (await store.claim(0, "engine-1")).seq == 1


async def test_what_sqlite_cannot_hold_is_no_outage(sqlite_database: Database) -> None:
    store = await sqlite_database.open()
    owned = await store.claim(0, "engine-1")
    run = (await store.create_run(new_run())).no
    with pytest.raises(sqlite3.DataError, match="too big"):  # zeros that nobody reads take no memory
        await store.commit([batch(owned.epoch, 1, history=[history(run, 1, bytes(1_000_000_001))])])
    assert await store.commit([batch(owned.epoch, 1, history=[history(run, 1)])]) == []


async def test_a_caller_that_gives_up_does_not_disturb_the_writer(sqlite_database: Database) -> None:
    store = await sqlite_database.open()
    waiting = [asyncio.create_task(store.post(command(str(i)))) for i in range(5)]
    await asyncio.sleep(0)
    waiting[2].cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[2], asyncio.CancelledError)
    assert len(await store.inbox(0, 0, 10)) == 5


async def test_a_closed_database_is_opened_and_written_again(path: Path) -> None:
    for number in range(1, 4):
        store = await SqliteStore.open(path)
        assert os.listdir(path.parent).count(f"{path.name}-wal") == 1
        assert await store.post(command()) == number
        await store.close()
    assert sorted(os.listdir(path.parent)) == [path.name]


async def test_claims_at_once_of_one_process(sqlite_database: Database) -> None:
    store = await sqlite_database.open()
    owned = await asyncio.gather(*(store.claim(0, "engine-1") for _ in range(5)))
    assert sorted(found.epoch for found in owned) == [1, 2, 3, 4, 5]


async def test_a_closed_store_says_so(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.post(command())


async def test_a_thread_that_computes_does_not_starve_the_writer(sqlite_database: Database) -> None:
    """Row by row, the writer would wait for the interpreter a thousand times, 5 ms each."""
    store = await sqlite_database.open()
    owned = await store.claim(0, "engine-1")
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(500))

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        began = time.perf_counter()
        await store.commit([batch(owned.epoch, 1, tasks=[task_row(1, i, output=b"1") for i in range(1000)])])
        took = time.perf_counter() - began
    finally:
        stop.set()
        busy.join()
    assert took < 1000 * sys.getswitchinterval() / 4


def test_opening_a_database_imports_neither_alembic_nor_the_other_driver(path: Path) -> None:
    program = (
        "import asyncio, sys; from headrace.engine.store import open_store\n"
        "async def main(): await (await open_store(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "print(*(m for m in ('alembic', 'asyncpg', 'sqlalchemy.ext.asyncio', 'greenlet') if m in sys.modules))"
    )
    for _ in range(2):  # a fresh one, then an existing one
        done = subprocess.run(
            [sys.executable, "-c", program, f"sqlite:///{path}"], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == ""


MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/share /mnt/with\\040space cifs rw 0 0
host:/ /mnt/ssh fuse.sshfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/tmp /tmp nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path_", "kind"),
    [
        ("/var/headrace.db", "ext4"),
        ("/home/ann/headrace.db", "nfs4"),
        ("/homeless/headrace.db", "ext4"),
        ("/home/local/headrace.db", "xfs"),
        ("/mnt/with space/x.db", "cifs"),
        ("/mnt/ssh/x.db", "fuse.sshfs"),
        ("/tmp/x.db", "nfs"),
    ],
)
def test_the_mount_table_tells_where_a_file_lies(path_: str, kind: str) -> None:
    assert file_system(MOUNTS, path_) == kind


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\).*use PostgreSQL"):
        refuse_network(tmp_path / "headrace.db", table)
    table.write_text("/dev/vda / ext4 rw 0 0\n")
    refuse_network(tmp_path / "headrace.db", table)
    refuse_network(tmp_path / "headrace.db", tmp_path / "absent")
