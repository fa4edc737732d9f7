"""Who owns a part of a PostgreSQL database, and whether that engine is alive.

Alive is who holds its session lock and whose lease lasts: the lock is freed at once when the engine's connection ends, the
lease when the connection stands but nobody is there. Times are the database's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import Connection, bindparam, func, select, text, update

from headrace.engine.ports.store import Ownership, StoreUnavailable
from headrace.engine.store import tables

LEASE_SECONDS = 10
RENEW_SECONDS = 3.0
LOCK_MILLISECONDS = 500
CLAIM_TRIES = 5

_NOW = "extract(epoch FROM clock_timestamp())"
_LEASE = f"""
INSERT INTO engines (id, backend_pid, lease_until) VALUES ($1, pg_backend_pid(), {_NOW} + {LEASE_SECONDS})
ON CONFLICT (id) DO UPDATE SET backend_pid = excluded.backend_pid, lease_until = excluded.lease_until"""
_SEEN = "SELECT epoch, owner FROM parts WHERE part = $1"
_FIRST = "INSERT INTO parts (part, epoch, next_offset, seq) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING"
_TAKE = """
UPDATE parts SET epoch = epoch + 1, owner = $2 WHERE part = $1 AND epoch = $3
RETURNING part, epoch, seq, next_offset"""
_TERMINATE = """
SELECT pg_terminate_backend(a.pid, 5000) FROM engines e JOIN pg_stat_activity a ON a.pid = e.backend_pid
WHERE e.id = $1 AND a.application_name = 'headrace engine ' || e.id"""
RESIGN = "UPDATE engines SET lease_until = 0 WHERE id = $1"

_ALIVE = text(
    f"""
SELECT EXISTS (
    SELECT 1 FROM parts p JOIN engines e ON e.id = p.owner
    JOIN pg_locks l ON l.pid = e.backend_pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)
            = hashtextextended('headrace engine ' || e.id, 0)
    WHERE p.part = :part AND e.lease_until > {_NOW})"""
)


async def claim(connection: Any, part: int, owner: str) -> Ownership:
    """Epoch + 1 over the connection of the engine `owner`. Raises StoreUnavailable when another engine was quicker."""
    await connection.execute(_LEASE, owner)
    await connection.execute(_FIRST, part)
    seen = await connection.fetchrow(_SEEN, part)
    for _ in range(CLAIM_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                row = await connection.fetchrow(_TAKE, part, owner, seen["epoch"])
        except asyncpg.LockNotAvailableError:
            # The old owner sits in a statement, or its machine is gone while the server does not know it yet.
            if seen["owner"] is not None and seen["owner"] != owner:
                await connection.execute(_TERMINATE, seen["owner"])
            continue
        if row is None:
            raise StoreUnavailable(f"Another engine has just claimed part {part}.")
        return Ownership(*row)
    raise StoreUnavailable(f"Part {part} stays locked by another connection; it cannot be claimed.")


def has_owner(connection: Connection, part: int) -> bool:
    """Whether the engine that owns the part is alive."""
    return bool(connection.scalar(_ALIVE, {"part": part}))


def release(connection: Connection, part: int, owner: str) -> None:
    """Give the part up, if it is still that engine's."""
    p = tables.parts.c
    connection.execute(update(tables.parts).where(p.part == part, p.owner == owner).values(owner=None))


def renew(connection: Connection, owner: str) -> None:
    """Prolong the engine's lease."""
    until = func.extract("epoch", func.clock_timestamp()) + LEASE_SECONDS
    connection.execute(update(tables.engines).where(tables.engines.c.id == owner).values(lease_until=until))


def end_backend(connection: Connection, pid: int, owner: str) -> None:
    """End what is left of a lost connection, unless the number belongs to someone else by now. Waits until it is gone: a
    statement that it has not even read yet must not be executed after the counters were compared."""
    query = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = :pid AND application_name = :name"
    )
    connection.execute(query, {"pid": pid, "name": f"headrace engine {owner}"})


def locked_state(connection: Connection, parts: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Of each part its epoch and counter, after whoever was writing has ended."""
    p = tables.parts.c
    query = select(p.part, p.epoch, p.seq).where(p.part.in_(bindparam("parts", expanding=True)))
    found = connection.execute(query.order_by(p.part).with_for_update(), {"parts": list(parts)})
    return {row.part: (row.epoch, row.seq) for row in found}
