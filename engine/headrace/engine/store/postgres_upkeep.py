"""A PostgreSQL database as a whole: bringing it to the current schema, making room for the weeks to come, removing what is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import keeping, ownership, partings, partitions, schema
from headrace.engine.store.postgres_link import Address, again, lost, outage
from headrace.engine.store.postgres_pool import Pool

T = TypeVar("T")
log = logging.getLogger("headrace.store")

UPGRADE_LOOK_SECONDS = 0.1


async def upgrade(url: str, parts: int | None = None) -> None:
    """Run the missing migrations, under a lock. Raises StoreUnavailable."""
    address = Address(url)

    def bring_up(connection: Connection) -> None:
        found = what_it_says(connection, address)
        if found.revision is None or found.revision < schema.HEAD:
            connection.commit()  # or alembic takes the transaction for ours, and all migrations for one
            schema.migrate(connection, parts)
            connection.commit()
        else:
            schema.require_usable(found, f"The database {address.shown}")
        partings.require(connection, parts, f"The database {address.shown}")

    async def work(pool: AsyncEngine) -> None:
        await _alone(pool, bring_up)
        await tended(pool, address, None)

    await with_pool(address, work)


async def stored(url: str) -> schema.Stored:
    """What the database says about itself. Raises StoreUnavailable."""
    address = Address(url)

    async def look(pool: AsyncEngine) -> schema.Stored:
        async with pool.connect() as connection:
            return await connection.run_sync(what_it_says, address)

    return await with_pool(address, look)


LEAP = 1_000_000
"""More than any part has owners, and any table rows, between a copy and the day it is needed."""

NUMBERED = (("runs", "no"), ("inbox", "id"), ("dead_letters", "id"), ("poison", "id"))
"""Tables whose rows others know by a number."""

_LEAPT = text("UPDATE parts SET epoch = epoch + :leap, owner = NULL")


async def restored(url: str) -> None:
    """Make a database that was restored from a copy fit for workers and a Kafka that know what came after it.

    Workers refuse owners below the last that they obeyed, and remember what they have done for ten minutes: so no epoch and no number
    of a run is used that may have been used since the copy. Safe to repeat. Raises StoreUnavailable, also while an engine lives.
    """
    address = Address(url)

    def leap(connection: Connection) -> None:
        schema.require_usable(what_it_says(connection, address), f"The database {address.shown}")
        live = ownership.survey(connection).engines
        if live:
            raise StoreUnavailable(
                f"Engines decide on {address.shown} now: {', '.join(live)}. Stop them first, all of them."
            )
        connection.execute(_LEAPT, {"leap": LEAP})
        for table, column in NUMBERED:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
                    f"(SELECT coalesce(max({column}), 0) FROM {table}) + {LEAP})"
                )
            )
        connection.commit()

    async def work(pool: AsyncEngine) -> None:
        await _alone(pool, leap)

    await with_pool(address, work)


def what_it_says(connection: Connection, address: Address) -> schema.Stored:
    """The same over a connection. Raises StoreUnavailable for a database with tables of somebody else's."""
    try:
        return schema.stored(connection)
    except ProgrammingError as error:
        if outage(error):
            raise
        raise StoreUnavailable(
            f"The database {address.shown} holds tables named like Headrace's that are somebody else's. "
            "Give the URL of another database."
        ) from error


async def _alone(pool: AsyncEngine, what: Callable[[Connection], T]) -> T:
    """With the lock of those who migrate. It is asked for again and again instead of waited for: who waits in a statement has a
    snapshot, and building an index beside the running engines waits for every snapshot to end."""
    async with pool.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        asked = select(func.pg_try_advisory_lock(schema.LOCK))
        while not await plain.scalar(asked):  # noqa: ASYNC110 (who holds it is another process)
            await asyncio.sleep(UPGRADE_LOOK_SECONDS)
        try:
            async with pool.connect() as working:
                return await working.run_sync(what)
        finally:
            await plain.execute(select(func.pg_advisory_unlock(schema.LOCK)))


async def tended(pool: AsyncEngine, address: Address, before: float | None) -> None:
    """Every step in a transaction of its own; one that cannot be done now is done the next time, and one that has a fault of ours
    hinders no other: the first such fault is raised when all were tried. Raises StoreUnavailable."""
    faults: list[DBAPIError] = []

    def look(connection: Connection) -> list[tuple[str, partitions.Step]]:
        now = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
        return partitions.steps(connection, now, before)

    try:
        async with pool.connect() as connection:
            todo = await connection.run_sync(look)
        for name, step in todo:
            try:
                async with pool.begin() as connection:
                    if await connection.run_sync(partitions.locked):
                        await connection.run_sync(step)
            except DBAPIError as error:
                if lost(error):
                    raise
                if not outage(error) and not again(error):
                    faults.append(error)
                log.warning("Could not %s now: %s", name, error.orig)
        if before is not None:
            async with pool.begin() as connection:
                await connection.run_sync(partitions.swept, before)
        async with pool.begin() as connection:
            await connection.run_sync(keeping.forget)
    except (DBAPIError, PoolTimeout, OSError) as error:
        if not outage(error):
            raise
        raise address.unavailable(error) from error
    if faults:
        raise faults[0]


async def with_pool(address: Address, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """What `work` gives over connections of its own, closed when it is done. Raises StoreUnavailable."""
    pool = Pool(address)
    try:
        return await work(pool.engine)
    except (
        PendingRollbackError
    ) as error:  # the connection was lost in a step, and what cleans up behind it met that
        raise address.unavailable(error.__context__ or error) from error
    except (DBAPIError, PoolTimeout, OSError) as error:
        if not outage(error):
            raise
        raise address.unavailable(error) from error
    finally:
        await pool.close()
