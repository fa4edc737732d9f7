"""The store in a SQLite file: one process runs the engine, others may read and post.

All writes go through one thread (`writer`), reads through a few others, so a reader never waits for the writer. The owner of
the (only) part holds a lock on a file beside the database.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError

from headrace.engine.ports.store import (
    Batch,
    Created,
    DeadLetterRow,
    HistoryRow,
    InboxRow,
    Loaded,
    NewRun,
    Ownership,
    RunRow,
    StoredValue,
    StoreUnavailable,
    TaskRow,
    VersionRow,
)
from headrace.engine.store import files, reads, schema, sqlite_batch, tables, writes
from headrace.engine.store.births import Births
from headrace.engine.store.lane import BUSY_SECONDS, Lane
from headrace.engine.store.writer import Writer

T = TypeVar("T")
READERS = 4
OLDEST = (3, 35, 0)  # RETURNING


class SqliteStore:
    """One open SQLite database. Implements `ports.store.Store`."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._lock = files.OwnerLock(path)
        self._parts: set[int] = set()
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
        found, _ = schema.sqlite_revision(lane.raw)
        if found == schema.HEAD:
            return
        with lane.transaction("BEGIN IMMEDIATE"):
            found, empty = schema.sqlite_revision(lane.raw)  # another process may have been quicker
            where = f"The database {self._path}"
            if empty:
                schema.create(lane.sql)
            elif found is None:
                raise StoreUnavailable(f"{where} belongs to something else. Give the path of another file.")
            elif found < schema.HEAD:
                schema.migrate(lane.sql)
            else:
                schema.require_current(found, where)

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

    async def _write(self, what: Callable[..., T], *args: Any) -> T:
        result = await self._writer.do(lambda lane: what(lane.sql, *args))
        self._posted += 1
        return result

    # ownership -----------------------------------------------------------------------------------------------------

    async def claim(self, part: int, owner: str) -> Ownership:
        if not self._lock.held:
            await asyncio.to_thread(self._lock.acquire)
        try:
            owned = await self._write(_claim, part, owner)
            self._parts.add(part)
        finally:
            if not self._parts:
                self._lock.release()
        return owned

    async def has_owner(self, part: int) -> bool:
        return self._lock.taken()

    async def release(self, part: int, owner: str) -> None:
        await self._write(_release, part, owner)
        self._parts.discard(part)
        if not self._parts:
            self._lock.release()

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

        return await self._writer.do(write)

    async def settle(self, batches: Sequence[Batch]) -> bool:
        state = await self._read(reads.part_state, [batch.part for batch in batches])
        return all(state.get(batch.part) == (batch.epoch, batch.seq) for batch in batches)

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        return await self._look(lambda lane: sqlite_batch.values(lane.raw, keys)) if keys else []

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
        return await self._look(lambda lane: sqlite_batch.inbox(lane.raw, part, after, limit))

    async def changed(self) -> tuple[int, int]:
        """Counts the commits of other connections, as the writer's connection sees them, and what was written through this
        store from outside the engine. The engine's own commits do not change it."""
        version = await self._writer.do(lambda lane: int(str(lane.pragma("data_version"))), writes=False)
        return version, self._posted

    # writing from outside ------------------------------------------------------------------------------------------

    async def register(self, version: VersionRow) -> VersionRow:
        return await self._write(writes.register, version)

    async def create_run(self, run: NewRun, on_conflict: str = "use_existing") -> Created:
        if run.key is None and run.idempotency is None:  # the usual one: nothing to look up first
            no = await self._births.begin(run)
            self._posted += 1
            if no is not None:
                return Created(no, run.id, False)
        return await self._write(writes.create_run, run, on_conflict)

    async def post(self, row: InboxRow) -> int:
        return await self._write(writes.post, row)

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


def _claim(connection: Connection, part: int, owner: str) -> Ownership:
    p = tables.parts.c
    query = upsert(tables.parts).values(part=part, epoch=1, owner=owner, next_offset=0, seq=0)
    query = query.on_conflict_do_update(index_elements=["part"], set_={"epoch": p.epoch + 1, "owner": owner})
    row = connection.execute(query.returning(p.part, p.epoch, p.seq, p.next_offset)).one()
    return Ownership._make(row)


def _release(connection: Connection, part: int, owner: str) -> None:
    p = tables.parts.c
    connection.execute(update(tables.parts).where(p.part == part, p.owner == owner).values(owner=None))


async def stored_revision(path: Path) -> str | None:
    """The schema of the file, which must exist. Raises StoreUnavailable."""

    def look() -> str | None:
        if not path.exists():
            raise StoreUnavailable(f"There is no database {path}. `headrace db upgrade` makes it.")
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                return schema.sqlite_revision(connection)[0]
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise files.explained(path, error) from error

    return await asyncio.to_thread(look)
