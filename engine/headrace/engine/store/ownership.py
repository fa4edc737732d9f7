"""Who is a live engine, and who owns which part, in a PostgreSQL database.

Alive is whose session lock is held and whose lease lasts: the lock is freed at once when the engine's connection ends, the
lease when the connection stands but nobody is there. Times are the database's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import Connection, bindparam, select, text, update

from headrace.engine.ports.ownership import Ownership, PartSeen, Survey
from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import tables

LEASE_SECONDS = 10
RENEW_SECONDS = 2.5
LOCK_MILLISECONDS = 500
CLAIM_TRIES = 5

_NOW = "extract(epoch FROM clock_timestamp())"
_LOCKED = """EXISTS (
    SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)
            = hashtextextended('headrace engine ' || e.id, 0))"""
_LIVE = f"e.lease_until > {_NOW} AND {_LOCKED}"

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('headrace engine ' || $1, 0))"
"""Taken by the engine's own connection: whoever holds it is that engine."""

PRESENT = f"""
INSERT INTO engines (id, backend_pid, lease_until) VALUES ($1, pg_backend_pid(), {_NOW} + {LEASE_SECONDS})
ON CONFLICT (id) DO UPDATE SET backend_pid = excluded.backend_pid, lease_until = excluded.lease_until"""
"""By every new connection of an engine's, once it holds the lock."""

RENEW = f"UPDATE engines SET lease_until = {_NOW} + {LEASE_SECONDS} WHERE id = $1"
DISOWN = "UPDATE parts SET owner = NULL WHERE owner = $1"
RESIGN = "DELETE FROM engines WHERE id = $1"

_SEEN = "SELECT epoch, owner FROM parts WHERE part = $1"
_TAKE = """
UPDATE parts SET epoch = epoch + 1, owner = $2 WHERE part = $1 AND epoch = $3
RETURNING part, epoch, seq, next_offset"""
_TERMINATE = """
SELECT pg_terminate_backend(a.pid, 5000) FROM engines e JOIN pg_stat_activity a ON a.pid = e.backend_pid
WHERE e.id = $1 AND a.application_name = 'headrace engine ' || e.id"""
_TERMINATE_SILENT = f"{_TERMINATE} AND e.lease_until < {_NOW}"
_TERMINATE_PID = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2"
)

_ALIVE = text(
    f"SELECT EXISTS (SELECT 1 FROM parts p JOIN engines e ON e.id = p.owner WHERE p.part = :part AND {_LIVE})"
)
SURVEY = f"""
SELECT {_NOW} AS now,
    ARRAY(SELECT e.id FROM engines e WHERE {_LIVE} ORDER BY e.id COLLATE "C") AS engines,
    array_agg(p.part ORDER BY p.part) AS parts,
    array_agg(p.epoch ORDER BY p.part) AS epochs,
    array_agg(p.owner ORDER BY p.part) AS owners
FROM parts p"""


FORGET = text(f"DELETE FROM engines e WHERE e.lease_until < :before AND NOT {_LOCKED}")
"""Engines that ended long ago, without a word."""


async def enter(connection: Any, engine: str, left: int | None) -> bool:
    """Make a new connection the engine's: take its lock and be present. `left` is the server's process of the connection before.
    False when another process is that engine: one that renews its lease. Raises StoreUnavailable."""
    if left is not None:
        _require_gone(await connection.fetchval(_TERMINATE_PID, left, f"headrace engine {engine}"), left)
    if not await connection.fetchval(LOCK, engine):
        await connection.execute(
            _TERMINATE_SILENT, engine
        )  # its machine is gone and the server does not know
        if not await connection.fetchval(LOCK, engine):
            return False
    await connection.execute(PRESENT, engine)
    return True


async def claim(connection: Any, part: int, owner: str, epoch: int | None) -> Ownership:
    """Epoch + 1 over the connection of the engine `owner`. Raises StoreUnavailable when another engine was quicker."""
    seen = await connection.fetchrow(_SEEN, part)
    if seen is None:
        raise StoreUnavailable(f"There is no part {part}: the database was made with fewer.")
    wanted = seen["epoch"] if epoch is None else epoch
    for _ in range(CLAIM_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                row = await connection.fetchrow(_TAKE, part, owner, wanted)
        except asyncpg.LockNotAvailableError:
            # The old owner sits in a statement, or its machine is gone while the server does not know it yet.
            if seen["owner"] is not None and seen["owner"] != owner:
                await connection.execute(_TERMINATE, seen["owner"])
            continue
        if row is None:
            raise StoreUnavailable(f"Another engine has just claimed part {part}.")
        return Ownership(*row)
    raise StoreUnavailable(f"Part {part} stays locked by another connection; it cannot be claimed.")


def survey(connection: Connection) -> Survey:
    """Live engines and the owners of the parts, as of one moment."""
    return surveyed(connection.execute(text(SURVEY)).one()._mapping)


def surveyed(row: Any) -> Survey:
    """The row that SURVEY gives."""
    seen = map(PartSeen, row["parts"] or (), row["epochs"] or (), row["owners"] or ())
    return Survey(tuple(row["engines"]), tuple(seen), float(row["now"]))


def has_owner(connection: Connection, part: int) -> bool:
    """Whether the engine that owns the part is alive."""
    return bool(connection.scalar(_ALIVE, {"part": part}))


def release(connection: Connection, part: int, owner: str) -> None:
    """Give the part up, if it is still that engine's."""
    p = tables.parts.c
    connection.execute(update(tables.parts).where(p.part == part, p.owner == owner).values(owner=None))


def end_backend(connection: Connection, pid: int, owner: str) -> None:
    """End what is left of a lost connection, unless the number belongs to someone else by now. Waits until it is gone: a
    statement that it has not even read yet must not be executed after the counters were compared. Raises
    StoreUnavailable while it may be."""
    query = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = :pid AND application_name = :name"
    )
    _require_gone(connection.scalar(query, {"pid": pid, "name": f"headrace engine {owner}"}), pid)


def _require_gone(ended: bool | None, pid: int) -> None:
    """By the server's answer to being asked to end a process: None, there was none. Raises StoreUnavailable."""
    if ended is False:
        raise StoreUnavailable(
            f"What is left of a lost connection still runs (PostgreSQL process {pid}): it may yet write. Waiting for its end."
        )


def locked_state(connection: Connection, parts: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Of each part its epoch and counter, after whoever was writing has ended."""
    p = tables.parts.c
    query = select(p.part, p.epoch, p.seq).where(p.part.in_(bindparam("parts", expanding=True)))
    found = connection.execute(query.order_by(p.part).with_for_update(), {"parts": list(parts)})
    return {row.part: (row.epoch, row.seq) for row in found}
