"""The store in PostgreSQL: any number of engines share the parts, and anyone may read and post.

Reads and outside writes go through SQLAlchemy's pool; the hot commit is one prepared statement on the engine's own connection
(`postgres_link`, `postgres_batch`). An engine is alive while its session lock is held and its lease (`lease`) lasts.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from headrace.engine.ports.acts import Act
from headrace.engine.ports.logs import Attempt, LogChunk
from headrace.engine.ports.ownership import Ownership, Survey
from headrace.engine.ports.store import (
    Batch,
    Created,
    HistoryRow,
    InboxRow,
    NewRun,
    OutcomeUnknown,
    StoredValue,
    StoreUnavailable,
)
from headrace.engine.store import (
    log_chunks,
    ownership,
    partings,
    postgres_batch,
    postgres_inbox,
    reads,
    schema,
    since,
)
from headrace.engine.store.base import SharedStore
from headrace.engine.store.glance import Glance
from headrace.engine.store.lease import Lease
from headrace.engine.store.postgres_link import Address, Link, lost, outage, retried, undone
from headrace.engine.store.postgres_pool import Pool
from headrace.engine.store.postgres_upkeep import tended, what_it_says

T = TypeVar("T")
log = logging.getLogger("headrace.store")


class PostgresStore(SharedStore):
    """One PostgreSQL database. Implements `ports.store.Store` and `ports.logs.LogChunks`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connections = Pool(address)
        self._pool = self._connections.engine
        self._reading = self._pool.execution_options(isolation_level="AUTOCOMMIT")  # no BEGIN, no ROLLBACK
        self._link = Link(address)
        self._glance = Glance(address)
        self._lease: Lease | None = None
        self._parts: int | None = None

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Connect to a database of the current schema. Raises StoreUnavailable."""
        store = cls(Address(url))
        try:
            said = await store._read(what_it_says, store._address)
            schema.require_usable(said, f"The database {store._address.shown}")
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Whatever is still under way with it ends with StoreUnavailable."""
        try:
            owner = self._link.owner
            if owner is not None:
                await self.resign(owner)
            await self._glance.close()
            await self._link.close()
        finally:
            await self._connections.close()

    # how everything below runs -------------------------------------------------------------------------------------

    async def _read(self, what: Callable[..., T], *args: Any, **named: Any) -> T:
        """A read may always be repeated: on a connection that was lost, once; on request of the server, a few times."""

        async def read() -> T:
            async with self._reading.connect() as connection:
                return await connection.run_sync(what, *args, **named)

        try:
            return await retried(lambda: _repeated(read))
        except StoreUnavailable:
            raise
        except Exception as error:
            if not self._gone(error):
                raise  # a fault of ours, not of the server
            raise self._address.unavailable(error) from error

    async def _write(self, what: Callable[..., T], *args: Any, repeatable: bool = True) -> T:
        """One transaction. What is `repeatable` finds its own row by a unique key when it is done a second time; what is not is
        repeated only as long as its commit was not sent."""
        sent = False

        async def write() -> T:
            nonlocal sent
            sent = False
            async with self._pool.begin() as connection:
                result = await connection.run_sync(what, *args)
                sent = True
            return result

        try:
            return await retried(lambda: _repeated(write, lambda: repeatable or not sent))
        except StoreUnavailable:
            raise
        except Exception as error:
            if sent and not repeatable and (lost(error) or self._connections.closed):
                raise OutcomeUnknown(
                    f"The connection to {self._address.shown} was lost while writing."
                ) from error
            if not self._gone(error):
                raise  # a fault of ours, not of the server
            raise self._address.unavailable(error) from error

    def _gone(self, error: Exception) -> bool:
        """Whether the server or the way to it is to blame. A connection that `close` cuts off under a call may break anywhere in the
        driver, with whatever error."""
        return self._connections.closed or outage(error)

    # ownership -----------------------------------------------------------------------------------------------------

    async def parts(self) -> int:
        if self._parts is None:
            self._parts = await self._read(partings.count)
        return self._parts

    async def join(self, engine: str) -> None:
        """Who has joined already is present anew: that renews its lease, and finds out whether its connection still stands."""
        await self._link.become(engine)
        first = self._lease is None
        await self._own(
            lambda connection: connection.execute(ownership.DISOWN if first else ownership.PRESENT, engine),
            "the engine joined",
        )
        if first:
            self._lease = Lease(self._address, engine)
            self._lease.start()

    async def resign(self, engine: str) -> None:
        if self._link.owner != engine:
            return
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.stop()

        async def leave(connection: Any) -> None:
            await connection.execute(ownership.DISOWN, engine)
            await connection.execute(ownership.RESIGN, engine)

        with contextlib.suppress(
            OutcomeUnknown, StoreUnavailable
        ):  # then the lock is free, or will be in a moment
            await self._link.use(leave)
        await self._link.close()

    async def survey(self) -> Survey:
        if self._link.owner is None:
            return await self._read(ownership.survey)
        return ownership.surveyed(await self._glance.at(ownership.SURVEY))

    async def claim(self, part: int, owner: str, epoch: int | None = None) -> Ownership:
        """Take the part, from whoever has it: the epoch shuts the old owner out. Raises StoreUnavailable when another engine
        was quicker."""
        if self._link.owner != owner or self._lease is None:
            await self.join(owner)
        return await self._own(
            lambda connection: ownership.claim(connection, part, owner, epoch), f"part {part} was claimed"
        )

    async def has_owner(self, part: int) -> bool:
        return await self._read(ownership.has_owner, part)

    async def release(self, part: int, owner: str) -> None:
        await self._write(ownership.release, part, owner)

    async def _own(self, work: Callable[[Any], Awaitable[T]], while_: str) -> T:
        """What `work` does with the engine's connection, where doing it again is right."""
        try:
            return await self._link.use(work)
        except OutcomeUnknown as error:
            raise StoreUnavailable(f"The connection was lost while {while_}; try again.") from error
        except asyncpg.PostgresError as error:
            if not outage(error):
                raise  # a fault of ours, not of the server
            raise self._address.unavailable(error) from error

    async def create_run(
        self, run: NewRun, on_conflict: str = "use_existing", *, act: Act | None = None
    ) -> Created:
        if run.key is None and run.idempotency is None:
            no = await self._read(postgres_inbox.begin, run, act)  # may be repeated as a read: the id tells
            if no is not None:
                return Created(no, run.id, False)
        return await super().create_run(run, on_conflict, act=act)

    # the hot path --------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        if not batches:
            return []
        statement, arguments = postgres_batch.prepare(batches)
        try:
            found = await self._link.use(lambda connection: connection.fetch(statement.text, *arguments))
        except asyncpg.PostgresError as error:
            if not undone(error):
                raise
            raise self._address.unavailable(error) from error
        ours = {row[0] for row in found}
        lost_ = [batch for batch in batches if batch.part not in ours]
        if lost_:
            await self._alarm(lost_)
        return [batch.part for batch in lost_]

    async def _alarm(self, batches: Sequence[Batch]) -> None:
        """Say so when a part was not taken by another engine but stands where it stood before."""
        state = await self._read(reads.part_state, [batch.part for batch in batches])
        for batch in batches:
            epoch, seq = state.get(batch.part, (0, 0))
            if epoch < batch.epoch or (epoch == batch.epoch and seq != batch.seq - 1):
                log.error(
                    "Part %s of %s has gone back: it stands at (%s, %s), we had written (%s, %s). The server was replaced by one "
                    "that lagged, or restored from a copy: the part is given up and read again from what there is.",
                    batch.part,
                    self._address.shown,
                    epoch,
                    seq,
                    batch.epoch,
                    batch.seq - 1,
                )

    async def settle(self, batches: Sequence[Batch]) -> bool:
        """Ends what is left of the old connection, locks the parts and compares their counters."""
        pid, owner = self._link.left, self._link.owner
        if pid is not None and owner is not None:
            await self._write(ownership.end_backend, pid, owner)
            self._link.left = None
        state = await self._write(ownership.locked_state, [batch.part for batch in batches])
        # All or nothing, so any part still ours tells of all; one that was claimed since tells nothing.
        return any(state.get(batch.part) == (batch.epoch, batch.seq) for batch in batches)

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        return await self._read(reads.values, keys) if keys else []

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]:
        return await self.inboxes({part: after}, limit)

    async def inboxes(self, after: Mapping[int, int], limit: int) -> list[InboxRow]:
        """Nothing: one look. Something: waits for those who are inserting and looks again, so that no lower id comes later. What has
        come after the first look is left for the next call: whoever inserts a lower id may not have ended yet."""
        found = await self._read(reads.inboxes, after, limit) if after else []
        if not found:
            return found
        newest = {row.part: row.id for row in found}  # ascending
        settled = await self._read(postgres_inbox.settled, {part: after[part] for part in newest}, limit)
        return [row for row in settled if row.id <= newest[row.part]]

    async def tend(self, before: float | None = None) -> None:
        """One engine does it, the others leave it to that one."""
        await tended(self._pool, self._address, before)

    # events --------------------------------------------------------------------------------------------------------

    async def history_since(
        self, part: int, at: float, after: tuple[float, int, int] | None, limit: int
    ) -> list[HistoryRow]:
        return await self._read(since.history_since, part, at, after, limit)

    # logs ----------------------------------------------------------------------------------------------------------

    async def write_logs(self, chunks: Sequence[LogChunk]) -> None:
        if chunks:
            await self._write(log_chunks.write, chunks)

    async def read_logs(
        self,
        run_id: str,
        task_id: str,
        generation: int,
        map: int,
        attempt: int,
        after: int = -1,
        limit: int = 1000,
    ) -> list[LogChunk]:
        key = (run_id, task_id, generation, map, attempt)
        return await self._read(log_chunks.read, key, after, limit)

    async def log_ends(self, run_id: str) -> dict[Attempt, int]:
        return await self._read(log_chunks.ends, run_id)

    async def changed(self) -> str:
        """The server's snapshot: any other transaction that has written since makes it differ."""
        if self._link.owner is None:
            return await self._read(reads.snapshot)
        return str((await self._glance.at(reads.SNAPSHOT))[0])


async def _repeated(work: Callable[[], Awaitable[T]], allowed: Callable[[], bool] = lambda: True) -> T:
    """Once more when the connection was lost, and if it is still `allowed`: the pool has dropped its dead ones then."""
    try:
        return await work()
    except (DBAPIError, ConnectionError) as error:  # the second: while committing
        if not lost(error) or not allowed():
            raise
        return await work()
