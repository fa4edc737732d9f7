"""The store in a SQLite file: one process runs the engine, others may read and post.

All writes go through one thread (`writer`), reads through a few others, so a reader never waits for the writer. The owner of
the (only) part holds a lock on a file beside the database.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError

from headrace.engine.ports.acts import Act
from headrace.engine.ports.ownership import Ownership, PartSeen, Survey
from headrace.engine.ports.store import Batch, Created, InboxRow, NewRun, StoredValue, StoreUnavailable
from headrace.engine.store import files, keeping, partings, reads, schema, sqlite_batch, tables
from headrace.engine.store.base import SharedStore
from headrace.engine.store.births import Births
from headrace.engine.store.lane import BUSY_SECONDS, Lane
from headrace.engine.store.writer import Writer

T = TypeVar("T")
READERS = 4
OLDEST = (3, 35, 0)  # RETURNING
LOCK_IS_LEASE = 0.0  # an engine of a file lives as long as the lock on it is held
SMALL = 100
"""Rows of a commit that is not worth a change of thread where the disk is fast."""


class SqliteStore(SharedStore):
    """One open SQLite database. Implements `ports.store.Store`."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._lock = files.OwnerLock(path)
        self._engine: str | None = None
        self._joined = False  # by itself, not with its first claim
        self._owned: set[int] = set()
        self._parts: int | None = None
        self._posted = 0
        self._identity: files.Identity | None = None
        self._writer = Writer(self._open_writing, self._check_files, self._explain)
        self._births = Births(self._writer)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="headrace-read")
        self._local = threading.local()
        self._lanes: list[Lane] = []

    @classmethod
    async def open(cls, path: str | Path, *, busy_seconds: float = BUSY_SECONDS) -> SqliteStore:
        """Open the file, made and brought to the current schema where needed. Raises StoreUnavailable."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreUnavailable(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed. Use a newer Python, or PostgreSQL."
            )
        store = cls(Path(os.getcwd(), path), busy_seconds)
        await asyncio.to_thread(store._writer.start)
        return store

    async def close(self) -> None:
        """Write what waits, close every connection and give the owner lock up."""

        def stop() -> None:
            self._readers.shutdown(wait=True)
            for lane in self._lanes:
                lane.close()
            self._lanes.clear()
            self._writer.stop()
            self._lock.release()

        await asyncio.to_thread(stop)

    # opening -------------------------------------------------------------------------------------------------------

    def _open_writing(self) -> Lane:
        files.refuse_network(self._path.parent)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"The folder {self._path.parent} cannot be made: {error}.") from error
        try:
            lane = Lane(str(self._path), self._busy_seconds)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        try:
            self._bring_up(lane)
            self._identity = files.Identity(self._path)
        except BaseException as error:
            lane.close()
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, sqlite3.Error):
                raise self._explain(cause) from error
            raise
        return lane

    def _bring_up(self, lane: Lane) -> None:
        found, _ = schema.sqlite_stored(lane.raw)
        where = f"The database {self._path}"
        if found.revision is not None and found.revision >= schema.HEAD:
            schema.require_usable(found, where)
            return
        with lane.transaction("BEGIN IMMEDIATE"):
            found, empty = schema.sqlite_stored(lane.raw)  # another process may have been quicker
            if empty:
                schema.create(lane.sql)
            elif found.revision is None:
                raise StoreUnavailable(f"{where} belongs to something else. Give the path of another file.")
            elif found.revision < schema.HEAD:
                schema.migrate(lane.sql)
            else:
                schema.require_usable(found, where)

    def _check_files(self) -> None:
        if self._identity is not None:
            self._identity.check()

    def _explain(self, error: sqlite3.Error) -> StoreUnavailable:
        return files.explained(self._path, error)

    # how everything below runs -------------------------------------------------------------------------------------

    async def _read(self, what: Callable[..., T], *args: Any, **named: Any) -> T:
        return await self._look(lambda lane: what(lane.sql, *args, **named))

    async def _look(self, what: Callable[[Lane], T]) -> T:
        def read() -> T:
            try:
                lane = self._reading()
                with lane.transaction():
                    return what(lane)
            except sqlite3.Error as error:
                raise self._explain(error) from error
            except DBAPIError as error:
                if isinstance(error.orig, sqlite3.Error):
                    raise self._explain(error.orig) from error
                raise

        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    def _reading(self) -> Lane:
        lane: Lane | None = getattr(self._local, "lane", None)
        if lane is None:
            lane = self._local.lane = Lane(str(self._path), self._busy_seconds)
            self._lanes.append(lane)
        return lane

    async def _write(self, what: Callable[..., T], *args: Any, repeatable: bool = True) -> T:
        result = await self._writer.do(lambda lane: what(lane.sql, *args))
        self._posted += 1
        return result

    # ownership -----------------------------------------------------------------------------------------------------

    async def parts(self) -> int:
        if self._parts is None:
            self._parts = await self._read(partings.count)
        return self._parts

    async def join(self, engine: str) -> None:
        if self._engine is None:
            await self._lead(engine, _join, engine)
        else:
            self._require(engine)
        self._joined = True

    async def resign(self, engine: str) -> None:
        if self._engine == engine:
            await self._write(_resign, engine)
            self._engine, self._joined = None, False
            self._owned.clear()
            self._lock.release()

    async def survey(self) -> Survey:
        engines, parts = await self._read(_survey)
        if not self._lock.taken():  # whoever is written there has ended
            engines, parts = (), tuple(seen._replace(owner=None) for seen in parts)
        return Survey(engines, parts, time.time())

    async def claim(self, part: int, owner: str, epoch: int | None = None) -> Ownership:
        self._require(owner)
        owned = await self._lead(owner, _claim, part, owner, epoch, self._engine is None)
        if owned is None:
            raise StoreUnavailable(f"Another engine has just claimed part {part}.")
        self._owned.add(part)
        return owned

    async def has_owner(self, part: int) -> bool:
        return part in self._owned if self._lock.held else self._lock.taken()

    async def release(self, part: int, owner: str) -> None:
        """An engine that joined with its first claim leaves with its last part."""
        await self._write(_release, part, owner)
        self._owned.discard(part)
        if not self._owned and not self._joined:
            await self.resign(owner)

    def _require(self, engine: str) -> None:
        if self._engine not in (None, engine):
            raise StoreUnavailable(f"This store is engine {self._engine} already; it cannot be {engine} too.")

    async def _lead(self, engine: str, what: Callable[..., T], *args: Any) -> T:
        """Something that only the process with the owner lock does, on behalf of the engine."""
        if not self._lock.held:
            await asyncio.to_thread(self._lock.acquire)
        try:
            result = await self._write(what, *args)
            self._engine = engine
        finally:
            if self._engine is None:
                self._lock.release()
        return result

    async def tend(self, before: float | None = None) -> None:
        """A file has no partitions to make or to drop; what is over goes here as everywhere."""
        await self._write(keeping.forget)

    # the hot path --------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        if not batches:
            return []

        def write(lane: Lane) -> list[int]:
            lost = sqlite_batch.lost(lane.raw, batches)
            if not lost:
                for batch in batches:
                    sqlite_batch.write(lane.raw, batch)
            return lost

        small = sum([len(batch.tasks) + len(batch.history) for batch in batches]) <= SMALL
        return await self._writer.do(write, small=small)

    async def settle(self, batches: Sequence[Batch]) -> bool:
        state = await self._read(reads.part_state, [batch.part for batch in batches])
        return any(state.get(batch.part) == (batch.epoch, batch.seq) for batch in batches)

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        return await self._look(lambda lane: sqlite_batch.values(lane.raw, keys)) if keys else []

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]:
        def look(lane: Lane) -> list[InboxRow]:
            return sqlite_batch.inbox(lane.raw, part, after, limit)

        found = self._writer.glance(look)
        if found is None:
            return await self._look(look)
        await asyncio.sleep(0)  # who looks again and again lets others have their turn
        return found

    async def inboxes(self, after: Mapping[int, int], limit: int) -> list[InboxRow]:
        def look(lane: Lane) -> list[InboxRow]:
            pages = (sqlite_batch.inbox(lane.raw, part, seen, limit) for part, seen in sorted(after.items()))
            return [row for page in pages for row in page]

        return await self._look(look)

    async def changed(self) -> tuple[int, int]:
        """Counts the commits of other connections, as the writer's connection sees them, and what was written through this
        store from outside the engine. The engine's own commits do not change it."""
        version = await self._writer.do(lambda lane: int(str(lane.pragma("data_version"))), writes=False)
        return version, self._posted

    # writing from outside ------------------------------------------------------------------------------------------

    async def create_run(
        self, run: NewRun, on_conflict: str = "use_existing", *, act: Act | None = None
    ) -> Created:
        if (
            act is None and run.key is None and run.idempotency is None
        ):  # the usual one: nothing to look up first
            no = await self._births.begin(run)
            self._posted += 1
            if no is not None:
                return Created(no, run.id, False)
        return await super().create_run(run, on_conflict, act=act)


def _join(connection: Connection, engine: str) -> None:
    """Alone in the file, as the lock says: whoever else is in it is dead, and so is an earlier process of this name."""
    connection.execute(delete(tables.engines))
    connection.execute(update(tables.parts).values(owner=None))
    row = {"id": engine, "backend_pid": os.getpid(), "lease_until": LOCK_IS_LEASE}
    connection.execute(insert(tables.engines), row)


def _resign(connection: Connection, engine: str) -> None:
    connection.execute(update(tables.parts).where(tables.parts.c.owner == engine).values(owner=None))
    connection.execute(delete(tables.engines).where(tables.engines.c.id == engine))


def _survey(connection: Connection) -> tuple[tuple[str, ...], tuple[PartSeen, ...]]:
    engines = connection.scalars(select(tables.engines.c.id).order_by(tables.engines.c.id))
    p = tables.parts.c
    rows = connection.execute(select(p.part, p.epoch, p.owner).order_by(p.part))
    return tuple(engines), tuple(PartSeen._make(row) for row in rows)


def _claim(connection: Connection, part: int, owner: str, epoch: int | None, joins: bool) -> Ownership | None:
    if joins:
        _join(connection, owner)
    p = tables.parts.c
    query = upsert(tables.parts).values(part=part, epoch=1, owner=owner, next_offset=0, seq=0)
    query = query.on_conflict_do_update(
        index_elements=["part"],
        set_={"epoch": p.epoch + 1, "owner": owner},
        where=None if epoch is None else p.epoch == epoch,
    )
    row = connection.execute(query.returning(p.part, p.epoch, p.seq, p.next_offset)).first()
    return None if row is None else Ownership._make(row)


def _release(connection: Connection, part: int, owner: str) -> None:
    p = tables.parts.c
    connection.execute(update(tables.parts).where(p.part == part, p.owner == owner).values(owner=None))


async def stored(path: Path) -> schema.Stored:
    """What the file, which must exist, says about itself. Raises StoreUnavailable."""

    def look() -> schema.Stored:
        if not path.exists():
            raise StoreUnavailable(f"There is no database {path}. `headrace db upgrade` makes it.")
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                return schema.sqlite_stored(connection)[0]
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise files.explained(path, error) from error

    return await asyncio.to_thread(look)
