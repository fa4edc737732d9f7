"""What tests are given: servers of their own to break, databases and topics of their own on shared ones."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.integration.lab.messages import create, read, send
from tests.support.servers import BreakableServers, Servers


async def sql(url: str, command: str) -> Any:
    connection: Any = await asyncpg.connect(url)
    try:
        return await connection.fetchval(command)
    finally:
        await connection.close()


async def test_each_database_is_fresh_and_has_the_tables(lab: Servers) -> None:
    first, second = lab.database_url("same"), lab.database_url("same")
    assert first != second
    await sql(first, "CREATE TABLE mine (n int)")
    assert await sql(second, "SELECT to_regclass('mine')") is None
    assert await sql(second, "SELECT count(*) FROM runs") == 0
    assert await sql(lab.database_url(schema=False), "SELECT to_regclass('runs')") is None
    lab.drop_database(first)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await sql(first, "SELECT 1")


async def test_messages_survive_a_kill_of_kafka(breakable_lab: BreakableServers) -> None:
    topic = breakable_lab.kafka_prefix() + "kept"
    address = breakable_lab.kafka
    await create(address, topic)
    await send(address, topic, b"before")
    breakable_lab.kill("kafka")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", breakable_lab.port("kafka"))
    breakable_lab.restart("kafka")
    assert breakable_lab.kafka == address
    await send(address, topic, b"after")
    assert await read(address, topic, 2) == [b"before", b"after"]


async def test_rows_survive_a_kill_of_postgres(breakable_lab: BreakableServers) -> None:
    url = breakable_lab.database_url(schema=False)
    session: Any = await asyncpg.connect(url)
    await session.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    breakable_lab.kill("postgres")
    with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await session.fetchval("SELECT 1")
    breakable_lab.restart("postgres")
    assert await sql(url, "SELECT n FROM kept") == 7


async def test_valkey_is_gone_until_it_is_restarted(breakable_lab: BreakableServers) -> None:
    client = Redis.from_url(breakable_lab.redis_url)
    try:
        assert await client.set("x", "1")
        breakable_lab.stop("valkey")
        with pytest.raises(RedisError):
            await client.get("x")
        breakable_lab.restart("valkey")
        assert await client.ping()
    finally:
        await client.aclose()


async def test_a_paused_server_takes_connections_and_answers_nothing(breakable_lab: BreakableServers) -> None:
    url = breakable_lab.database_url(schema=False)
    session: Any = await asyncpg.connect(url)
    with breakable_lab.paused("postgres"):
        _, writer = await asyncio.open_connection("127.0.0.1", breakable_lab.port("postgres"))
        writer.close()
        asked = asyncio.create_task(session.fetchval("SELECT 1"))
        done, _ = await asyncio.wait([asked], timeout=0.3)
        assert not done
    assert await asked == 1
    await session.close()
