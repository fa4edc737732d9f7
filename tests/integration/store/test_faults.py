"""faults 28, 33 to 37 on a real server: killed in the middle of commits, out of connections, replaced by one that lagged."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import Batch, OutcomeUnknown, StoreUnavailable
from headrace.engine.store import open_store, ownership
from headrace.engine.store.lease import Lease
from headrace.engine.store.postgres import PostgresStore
from headrace.engine.store.postgres_link import Address
from tests.contracts.samples import batch, command, history, new_run, task_row
from tests.support.postgres import TEMPLATE, Postgres
from tests.support.servers import BreakableServers

PARTS = 4


@pytest.fixture
async def url(postgres: Postgres) -> AsyncIterator[str]:
    name = f"faults_{uuid.uuid4().hex}"
    yield await postgres.create(name, TEMPLATE)
    await postgres.drop(name)


async def opened(url: str) -> PostgresStore:
    store = await open_store(url)
    assert isinstance(store, PostgresStore)
    return store


async def patiently(work: Any) -> Any:
    """As an engine does: while the server is away, again."""
    while True:
        try:
            return await work()
        except StoreUnavailable:
            await asyncio.sleep(0)


async def test_a_server_killed_in_the_middle_of_commits_has_all_or_nothing_of_each(
    breakable_lab: BreakableServers,
) -> None:
    """faults 28 and 33. Every batch writes to four parts; after each `kill -9` the outcome of the one that was on its way is looked
    up, and it is sent again when it was not written."""
    url = breakable_lab.database_url("killed")
    store = await opened(url)
    try:
        owned = [await store.claim(part, "engine-1") for part in range(PARTS)]
        runs = [await store.create_run(new_run(part=part)) for part in range(PARTS)]
        unknown = seq = 0

        def batches() -> list[Batch]:
            return [
                batch(
                    mine.epoch,
                    seq,
                    part=mine.part,
                    next_offset=seq,
                    tasks=[task_row(run.no, task, output=b"%d" % seq) for task in range(20)],
                    history=[history(run.no, seq)],
                    inbox_new=[command(run=run.no, part=mine.part)],
                )
                for mine, run in zip(owned, runs, strict=True)
            ]

        async def committing(busy: asyncio.Event, ended: asyncio.Event) -> None:
            nonlocal seq, unknown
            begun = seq
            while not ended.is_set():
                seq += 1
                if seq == begun + 50:
                    busy.set()
                sent = batches()
                while True:
                    try:
                        assert await patiently(lambda: store.commit(sent)) == []  # noqa: B023 (awaited here)
                        break
                    except OutcomeUnknown:
                        unknown += 1
                        if await patiently(lambda: store.settle(sent)):  # noqa: B023
                            break

        for _ in range(3):
            busy, ended = asyncio.Event(), asyncio.Event()
            working = asyncio.create_task(committing(busy, ended))
            await busy.wait()
            breakable_lab.kill("postgres")
            await asyncio.to_thread(breakable_lab.restart, "postgres")
            ended.set()
            await working
        assert unknown >= 1, "no commit was on its way when the server was killed"
        for run in runs:
            rows = await patiently(lambda: store.history(run.no))  # noqa: B023
            assert [row.seq for row in rows] == list(range(1, seq + 1))
            assert {row.output for row in await store.task_rows(run.no)} == {b"%d" % seq}
        for part in range(PARTS):
            assert len(await store.inbox(part, 0, 10_000)) == seq + 1
    finally:
        await store.close()


async def test_more_callers_than_connections_wait_their_turn(url: str) -> None:
    """faults 36: a hundred callers on a pool of twenty, while the engine commits over a connection of its own."""
    store = await opened(url)
    try:
        owned = await store.claim(0, "engine-1")

        async def committing() -> None:
            for seq in range(1, 30):
                assert await store.commit([batch(owned.epoch, seq)]) == []

        calls = [store.create_run(new_run()) for _ in range(200)]
        made, _ = await asyncio.gather(asyncio.gather(*calls), committing())
        assert len({created.no for created in made}) == 200
    finally:
        await store.close()


async def test_a_server_without_a_free_connection_is_told_as_such(postgres: Postgres, url: str) -> None:
    """faults 36: what the database allows is used up by others."""
    server = await asyncpg.connect(postgres.url())
    name = url.rpartition("/")[2]
    await server.execute("CREATE ROLE modest LOGIN")
    await server.execute(f'GRANT ALL ON DATABASE "{name}" TO modest')
    granting = await asyncpg.connect(url)
    await granting.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    await granting.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO modest")
    await granting.close()
    modest = url.replace("postgres@", "modest@")
    holders: list[Any] = []
    try:
        await server.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 2')
        holders = [await asyncpg.connect(modest) for _ in range(2)]
        with pytest.raises(StoreUnavailable, match="has no resources left"):
            await open_store(modest)
        await holders.pop().close()
        store = await opened(modest)
        try:
            with pytest.raises(StoreUnavailable, match="has no resources left"):
                await store.claim(0, "engine-1")
            await holders.pop().close()
            owned = await patiently(lambda: store.claim(0, "engine-1"))
            assert await store.commit([batch(owned.epoch, 1)]) == []
        finally:
            await store.close()
    finally:
        for holder in holders:
            await holder.close()
        await server.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
        dropping = await asyncpg.connect(url)
        await dropping.execute("DROP OWNED BY modest")
        await dropping.close()
        await server.execute(f'REVOKE ALL ON DATABASE "{name}" FROM modest')
        await server.execute("DROP ROLE modest")
        await server.close()


async def test_a_database_that_has_gone_back_is_not_written_to(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """faults 35: a standby that lagged became the server, so that the last commits are gone although the epoch is right."""
    store = await opened(url)
    other = await asyncpg.connect(url)
    try:
        owned = await store.claim(3, "engine-1")
        for seq in range(1, 6):
            assert await store.commit([batch(owned.epoch, seq, part=3, next_offset=10 * seq)]) == []
        await other.execute("UPDATE parts SET seq = 3, next_offset = 30 WHERE part = 3")
        with caplog.at_level(logging.ERROR, "headrace.store"):
            assert await store.commit([batch(owned.epoch, 6, part=3)]) == [3]
        assert "Part 3 of" in caplog.text
        assert "has gone back" in caplog.text
        assert await store.claim(3, "engine-1") == Ownership(3, owned.epoch + 1, 3, 30)
    finally:
        await other.close()
        await store.close()


async def test_a_stopped_event_loop_keeps_its_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed by a thread: an engine that computes for longer than the lease lasts is still alive."""
    monkeypatch.setattr(ownership, "RENEW_SECONDS", 0.01)
    store = await opened(url)
    watcher = await asyncpg.connect(url)
    try:
        await store.claim(0, "engine-1")
        await watcher.execute("UPDATE engines SET lease_until = 0")
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(until_renewed, url).result() > 0  # our loop stands still until then
        assert (await store.survey()).engines == ("engine-1",)
    finally:
        await watcher.close()
        await store.close()


def until_renewed(url: str) -> float:
    """When the lease ends, once the thread has renewed it; on a loop of its own."""

    async def look() -> float:
        connection = await asyncpg.connect(url)
        try:
            while (until := float(await connection.fetchval("SELECT lease_until FROM engines"))) <= 0:
                pass
            return until
        finally:
            await connection.close()

    return asyncio.run(look())


async def test_a_lease_outlives_the_loss_of_its_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "RENEW_SECONDS", 0.01)
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO engines VALUES ('engine-9', 0, 0)")
    lease = Lease(Address(url), "engine-9")
    lease.start()
    try:
        for _ in range(3):
            await connection.execute("UPDATE engines SET lease_until = 0")
            while not await connection.fetchval("SELECT lease_until FROM engines"):
                pass
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'headrace lease engine-9' "
                "AND datname = current_database()"
            )
    finally:
        await lease.stop()
    await connection.execute("UPDATE engines SET lease_until = 0")
    names = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'headrace lease%' AND datname = current_database()"
    while await connection.fetchval(names):
        pass
    assert await connection.fetchval("SELECT lease_until FROM engines") == 0
    await connection.close()


async def test_an_engine_that_lost_its_connection_is_the_same_engine_again(url: str) -> None:
    """Its session lock went with the connection; the next use takes it again, and it still owns what it owned."""
    store, watcher = await opened(url), await opened(url)
    other = await asyncpg.connect(url)
    try:
        owned = await store.claim(0, "engine-1")
        await other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'headrace engine engine-1' AND datname = current_database()"
        )
        assert (await watcher.survey()).engines == ()
        one = batch(owned.epoch, 1)
        try:
            assert await store.commit([one]) == []
        except OutcomeUnknown:
            assert not await store.settle([one])
            assert await store.commit([one]) == []
        assert (await watcher.survey()).engines == ("engine-1",)
        assert await watcher.has_owner(0)
    finally:
        await other.close()
        await watcher.close()
        await store.close()


async def test_an_engine_whose_machine_vanished_gives_its_name_back(url: str) -> None:
    """The server still has the old connection, as it does when a machine is cut off; only the lease is over."""
    gone = await asyncpg.connect(url, server_settings={"application_name": "headrace engine engine-1"})
    assert await ownership.enter(gone, "engine-1", None)
    store = await opened(url)
    try:
        with pytest.raises(StoreUnavailable, match="Another process is engine engine-1"):
            await store.join("engine-1")
        await gone.execute("UPDATE engines SET lease_until = 1")
        await store.join("engine-1")
        assert (await store.survey()).engines == ("engine-1",)
    finally:
        gone.terminate()
        await store.close()
