"""The store in PostgreSQL: any number of engines share the parts, and anyone may read and post.

Reads and outside writes go through SQLAlchemy's pool; the hot commit is one prepared statement on the engine's own connection
(`postgres_link`, `postgres_batch`). An engine is alive while its session lock is held and its lease, renewed here, lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from headrace.engine.ports.store import (
    Batch,
    Created,
    DeadLetterRow,
    HistoryRow,
    InboxRow,
    Loaded,
    NewRun,
    OutcomeUnknown,
    Ownership,
    RunRow,
    StoredValue,
    StoreUnavailable,
    TaskRow,
    VersionRow,
)
from headrace.engine.store import ownership, postgres_batch, reads, schema, writes
from headrace.engine.store.postgres_link import Address, Link, lost, retried

T = TypeVar("T")
log = logging.getLogger("headrace.store")

POOL = 5
OVERFLOW = 15
IDLE_MILLISECONDS = "5000"
"""A process that stops in the middle of a transaction holds inbox locks no longer than this."""


class PostgresStore:
    """One PostgreSQL database. Implements `ports.store.Store`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._pool = _pool(address)
        self._link = Link(address)
        self._renewal: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Connect to a database of the current schema. Raises StoreUnavailable."""
        store = cls(Address(url))
        try:
            schema.require_current(await store._read(schema.revision), f"The database {store._address.shown}")
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
            self._renewal = None
        owner = self._link.owner
        if owner is not None:
            with contextlib.suppress(OutcomeUnknown, StoreUnavailable):
                await self._link.use(lambda connection: connection.execute(ownership.RESIGN, owner))
        await self._link.close()
        await self._pool.dispose()

    # how everything below runs -------------------------------------------------------------------------------------

    async def _read(self, what: Callable[..., T], *args: Any, **named: Any) -> T:
        """A read may always be repeated: on a connection that was lost, once; on request of the server, a few times."""

        async def read() -> T:
            async with self._pool.connect() as connection:
                return await connection.run_sync(what, *args, **named)

        try:
            return await retried(lambda: _repeated(read))
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise self._address.unavailable(error) from error

    async def _write(self, what: Callable[..., T], *args: Any, repeatable: bool = True) -> T:
        """One transaction. What is `repeatable` finds its own row by a unique key when it is done a second time."""

        async def write() -> T:
            async with self._pool.begin() as connection:
                return await connection.run_sync(what, *args)

        try:
            return await retried((lambda: _repeated(write)) if repeatable else write)
        except (DBAPIError, PoolTimeout, OSError) as error:
            if not repeatable and isinstance(error, DBAPIError) and lost(error):
                raise OutcomeUnknown(
                    f"The connection to {self._address.shown} was lost while writing."
                ) from error
            if isinstance(error, IntegrityError):
                raise  # a fault of ours, not of the server
            raise self._address.unavailable(error) from error

    # ownership -----------------------------------------------------------------------------------------------------

    async def claim(self, part: int, owner: str) -> Ownership:
        """Take the part, from whoever has it: the epoch shuts the old owner out. Raises StoreUnavailable when another engine
        was quicker."""
        await self._link.become(owner)
        try:
            owned = await self._link.use(lambda connection: ownership.claim(connection, part, owner))
        except OutcomeUnknown as error:
            raise StoreUnavailable(
                f"The connection was lost while part {part} was claimed; claim again."
            ) from error
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(owner), name="headrace-lease")
        return owned

    async def has_owner(self, part: int) -> bool:
        return await self._read(ownership.has_owner, part)

    async def release(self, part: int, owner: str) -> None:
        await self._write(ownership.release, part, owner)

    async def _renew(self, owner: str) -> None:
        while True:
            await asyncio.sleep(ownership.RENEW_SECONDS)
            try:
                await self._write(ownership.renew, owner)
            except Exception as error:  # the next time it may; until then the lease runs
                log.warning("The lease of engine %s could not be renewed: %s", owner, error)

    # the hot path --------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        if not batches:
            return []
        statement, arguments = postgres_batch.prepare(batches)
        try:
            found = await self._link.use(lambda connection: connection.fetch(statement.text, *arguments))
        except asyncpg.ReadOnlySQLTransactionError as error:
            raise self._address.unavailable(error) from error
        ours = {row[0] for row in found}
        return [batch.part for batch in batches if batch.part not in ours]

    async def settle(self, batches: Sequence[Batch]) -> bool:
        """Ends what is left of the old connection, locks the parts and compares their counters."""
        pid, owner = self._link.left, self._link.owner
        if pid is not None and owner is not None:
            await self._write(ownership.end_backend, pid, owner)
            self._link.left = None
        state = await self._write(ownership.locked_state, [batch.part for batch in batches])
        return all(state.get(batch.part) == (batch.epoch, batch.seq) for batch in batches)

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        return await self._read(reads.values, keys) if keys else []

    async def cached(
        self, project: str, keys: Sequence[str], now: float
    ) -> dict[str, tuple[bytes | None, bytes | None]]:
        return await self._read(reads.cached, project, keys, now) if keys else {}

    # loading -------------------------------------------------------------------------------------------------------

    async def live_runs(self, part: int) -> list[int]:
        return await self._read(reads.live_runs, part)

    async def load(self, runs: Sequence[int]) -> list[Loaded]:
        return await self._read(reads.load, runs)

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]:
        """Nothing: one look. Something: waits for those who are inserting and looks again, so that no lower id comes later."""
        found = await self._read(reads.inbox, part, after, limit)
        return await self._read(_settled_inbox, part, after, limit) if found else found

    async def changed(self) -> str:
        """The server's snapshot: any other transaction that has written since makes it differ."""
        return await self._read(_snapshot)

    # writing from outside ------------------------------------------------------------------------------------------

    async def register(self, version: VersionRow) -> VersionRow:
        return await self._write(writes.register, version)

    async def create_run(self, run: NewRun, on_conflict: str = "use_existing") -> Created:
        return await self._write(writes.create_run, run, on_conflict)

    async def post(self, row: InboxRow) -> int:
        """Raises OutcomeUnknown when the connection was lost on the way: a command has no key to be found by."""
        return await self._write(writes.post, row, repeatable=False)

    # reading -------------------------------------------------------------------------------------------------------

    async def version(self, project: str, name: str, version: int | None = None) -> VersionRow | None:
        return await self._read(reads.version, project, name, version)

    async def versions(self, project: str, name: str | None = None) -> list[VersionRow]:
        return await self._read(reads.versions, project, name)

    async def plan(self, plan: str) -> bytes | None:
        return await self._read(reads.plan, plan)

    async def run(self, no: int) -> RunRow | None:
        return await self._read(reads.run, no)

    async def find_runs(self, project: str, prefix: str) -> list[RunRow]:
        return await self._read(reads.find_runs, project, prefix)

    async def list_runs(
        self,
        project: str,
        *,
        workflow: str | None = None,
        state: int | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        return await self._read(
            reads.list_runs, project, workflow=workflow, state=state, before=before, limit=limit
        )

    async def task_rows(self, run: int) -> list[TaskRow]:
        return await self._read(reads.task_rows, run)

    async def history(self, run: int, after: int = 0) -> list[HistoryRow]:
        return await self._read(reads.history, run, after)

    async def children(self, run: int) -> list[RunRow]:
        return await self._read(reads.children, run)

    async def dead_letters(self, project: str, limit: int = 50) -> list[DeadLetterRow]:
        return await self._read(reads.dead_letters, project, limit)


def _pool(address: Address) -> AsyncEngine:
    settings = {
        "application_name": "headrace",
        "idle_in_transaction_session_timeout": IDLE_MILLISECONDS,
        "default_transaction_isolation": "read committed",
    }
    return create_async_engine(
        address.pooled,
        pool_size=POOL,
        max_overflow=OVERFLOW,
        connect_args={"server_settings": settings, "timeout": 10},
    )


async def _repeated(work: Callable[[], Awaitable[T]]) -> T:
    """Once more when the connection was lost: the pool has dropped its dead ones then."""
    try:
        return await work()
    except DBAPIError as error:
        if not lost(error):
            raise
        return await work()


def _settled_inbox(connection: Connection, part: int, after: int, limit: int) -> list[InboxRow]:
    connection.execute(select(func.pg_advisory_xact_lock(writes.INBOX_LOCK, part)))
    return reads.inbox(connection, part, after, limit)


def _snapshot(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT CAST(pg_current_snapshot() AS text)")))


async def upgrade(url: str) -> None:
    """Run the missing migrations, under a lock and in one transaction. Raises StoreUnavailable."""
    await _with_pool(url, _migrate)


async def stored_revision(url: str) -> str | None:
    """The schema of the database, None where there is none. Raises StoreUnavailable."""
    return await _with_pool(url, schema.revision)


def _migrate(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(schema.LOCK)))
    schema.migrate(connection)


async def _with_pool(url: str, what: Callable[[Connection], T]) -> T:
    address = Address(url)
    pool = _pool(address)
    try:
        async with pool.begin() as connection:
            return await connection.run_sync(what)
    except (DBAPIError, PoolTimeout, OSError) as error:
        raise address.unavailable(error) from error
    finally:
        await pool.dispose()
