"""What a database is like when it is looked at once, for `headrace doctor`. Nothing is changed."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from headrace.engine.ports.checkup import DatabaseFacts, FileFacts, Waiting
from headrace.engine.store import files, ownership, partitions, tables
from headrace.engine.store.keeping import workers
from headrace.engine.store.postgres_link import Address
from headrace.engine.store.postgres_pool import OVERFLOW, POOL
from headrace.engine.store.postgres_upkeep import with_pool
from headrace.engine.store.sqlite import stored

SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "max_connections")
CLOCK_LOOKS = 5

_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
_ROOM = text(
    """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0)"""
)
_CONNECTIONS = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")
_INBOX = select(tables.inbox.c.part, func.count(), func.min(tables.inbox.c.at)).group_by(tables.inbox.c.part)
_LIVE = select(func.count()).select_from(tables.runs).where(tables.runs.c.finished_at.is_(None))
_LETTERS = select(func.count()).select_from(tables.dead_letters).where(tables.dead_letters.c.state == "open")
_UNREADABLE = select(func.count()).select_from(tables.poison)


async def postgres(url: str) -> DatabaseFacts:
    """A PostgreSQL database whose schema is current. Raises StoreUnavailable."""
    address = Address(url)

    async def look(pool: AsyncEngine) -> DatabaseFacts:
        async with pool.connect() as connection:
            return await connection.run_sync(_of_postgres)

    return await with_pool(address, look)


def _of_postgres(connection: Connection) -> DatabaseFacts:
    skew, doubt = _skew(connection)
    return DatabaseFacts(
        server=str(connection.scalar(text("SELECT current_setting('server_version')"))).split()[0],
        survey=ownership.survey(connection),
        settings={row.name: row.setting for row in connection.execute(_SETTINGS, {"names": list(SETTINGS)})},
        connections=int(connection.scalar(_CONNECTIONS) or 0),
        room=int(connection.scalar(_ROOM) or 0),
        pool=POOL + OVERFLOW,
        offsets={
            row.part: row.next_offset
            for row in connection.execute(select(tables.parts.c.part, tables.parts.c.next_offset))
        },
        waiting=_waiting(connection),
        workers=tuple(workers(connection, 0.0)),
        prepared_until={
            table: max((week.end for week in partitions.partitions(connection, table)), default=0.0)
            for table in partitions.PARTITIONED
        },
        live_runs=int(connection.scalar(_LIVE) or 0),
        open_letters=int(connection.scalar(_LETTERS) or 0),
        unreadable=int(connection.scalar(_UNREADABLE) or 0),
        skew=skew,
        doubt=doubt,
    )


def _waiting(connection: Connection) -> tuple[Waiting, ...]:
    return tuple(sorted(Waiting(part, number, oldest) for part, number, oldest in connection.execute(_INBOX)))


def _skew(connection: Connection) -> tuple[float, float]:
    """How far this machine's clock is ahead, and how sure that is: the quickest of a few looks tells best."""
    looks = []
    for _ in range(CLOCK_LOOKS):
        before = time.time()
        theirs = float(connection.scalar(_NOW) or 0.0)
        after = time.time()
        looks.append(((after - before) / 2, (before + after) / 2 - theirs))
    doubt, skew = min(looks)
    return skew, doubt


async def file(path: Path) -> FileFacts:
    """A SQLite file. Raises StoreUnavailable: it is not there, or nothing can be read of it."""
    await stored(path)
    return await asyncio.to_thread(_of_file, path)


def _of_file(path: Path) -> FileFacts:
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
            live = connection.execute("SELECT count(*) FROM runs WHERE finished_at IS NULL").fetchone()[0]
            inbox = connection.execute("SELECT part, count(*), min(at) FROM inbox GROUP BY part")
            letters = connection.execute("SELECT count(*) FROM dead_letters WHERE state = 'open'")
            return FileFacts(
                damage=() if said == ["ok"] else tuple(said),
                journal=str(connection.execute("PRAGMA journal_mode").fetchone()[0]),
                free=shutil.disk_usage(path.parent).free,
                size=path.stat().st_size,
                owned=files.OwnerLock(path).taken(),
                network=files.network(path),
                live_runs=live,
                waiting=tuple(Waiting(*row) for row in inbox),
                open_letters=letters.fetchone()[0],
            )
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise files.explained(path, error) from error
