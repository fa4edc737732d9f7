"""The database of a simulated world: the SQLite store's own statements on a database in memory, shared by all engines.

It stands for PostgreSQL: several engines open it at once, each with a session that ends with its process and a lease that a
stopped process does not renew, so that claims, epochs and counters are what protects the truth. One connection serves every
world of a process, one after the other: its tables are emptied and its compiled statements stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from headrace.engine.ports.acts import Act
from headrace.engine.ports.ownership import Ownership, PartSeen, Survey
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.store import (
    Batch,
    InboxRow,
    OutcomeUnknown,
    StoredValue,
    StoreUnavailable,
    VersionRow,
)
from headrace.engine.ports.waits import NewSignal, Sent
from headrace.engine.store import reads, schema, signalling, sqlite_batch
from headrace.engine.store.base import SharedStore
from headrace.engine.store.lane import Lane
from headrace.testing.simulation.faults import Weather
from headrace.testing.simulation.script import Script
from headrace.testing.simulation.timeline import ProcessLoop, Timeline

T = TypeVar("T")
PRAGMAS: Mapping[str, object] = {
    "page_size": 1024,  # most tables are empty: less to look through for what must not be there
    "foreign_keys": 1,
    "temp_store": 2,
}
LEASE_SECONDS, RENEW_SECONDS = 10.0, 2.5
NOT_DONE = 0.3
"""The share of what is not answered that was not done either."""


class Onlooker(Protocol):
    """Sees what is written, the moment it is."""

    def committed(self, by: ProcessLoop, batches: Sequence[Batch]) -> None: ...


class Session:
    """An engine's presence: its lock is held while the process lives, its lease while it runs."""

    def __init__(self, process: ProcessLoop) -> None:
        self.process = process
        self.renewed_from = 0.0  # after a stop: when the thread comes to renew the lease
        self.lapsed_at = float("inf")  # and when it ended before

    def lives(self, now: float) -> bool:
        process = self.process
        if process.dead:
            return False
        if process.stopped_at is not None:
            return now < process.stopped_at + LEASE_SECONDS - RENEW_SECONDS / 2
        return now >= self.renewed_from or now < self.lapsed_at


class Database:
    """One connection, made once a process; `open` begins a new world with it."""

    def __init__(self) -> None:
        self.lane = Lane(":memory:", 5.0, PRAGMAS)
        schema.create(self.lane.sql)
        guards = self.lane.raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in guards:  # they refuse to have the audit emptied
            self.lane.raw.execute(f"DROP TRIGGER {name}")
        names = self.lane.raw.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('headrace_schema', 'spoken', 'sqlite_sequence')"
        )
        self._tables = [name for (name,) in names]
        self.sessions: dict[str, Session] = {}
        self.weather = Weather()
        self.away_until = 0.0
        self.posted = 0
        self.onlooker: Onlooker | None = None
        self.on_claim: Callable[[str], None] = lambda owner: None
        """Called with whoever has just claimed a part."""

    def open(self, timeline: Timeline, script: Script, wall: float) -> None:
        """Empty, for the world of the script. `wall`: seconds since the epoch at the timeline's beginning."""
        raw = self.lane.raw
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raw.execute("BEGIN")
        for name in self._tables:
            raw.execute(f"DELETE FROM {name}")
        raw.execute("DELETE FROM sqlite_sequence")
        raw.executemany(
            "INSERT INTO parts (part, epoch, owner, next_offset, seq) VALUES (?, 0, NULL, 0, 0)",
            [(part,) for part in range(script.parts)],
        )
        raw.execute("COMMIT")
        self.timeline = timeline
        self.parts = script.parts
        self.weather = script.weather
        self.prompt = script.prompt
        self.calm = script.calm
        self.wall = wall
        self.away_until = 0.0
        self.posted = 0
        self.sessions = {}
        self.onlooker = None
        self.on_claim = lambda owner: None

    def now(self) -> float:
        """The database's wall time."""
        return self.wall + self.timeline.now

    def register(self, versions: Iterable[tuple[VersionRow, int | None]]) -> None:
        """Workflows as somebody has registered them before, each with the checksum of its document."""
        raw = self.lane.raw
        for row, crc in versions:
            raw.execute(
                "INSERT OR IGNORE INTO workflows (project, name, created_at) VALUES (?, ?, 0)",
                (row.project, row.name),
            )
            raw.execute(
                "INSERT OR IGNORE INTO plans (plan, document, document_crc) VALUES (?, ?, ?)",
                (row.plan, row.document, crc),
            )
            raw.execute(
                "INSERT OR IGNORE INTO versions (project, name, version, plan, description, tags, created_at) "
                "VALUES (?, ?, ?, ?, NULL, '[]', 0)",
                (row.project, row.name, row.version, row.plan),
            )

    def contains(self, secret: bytes) -> bool:
        """Whether these bytes are anywhere in the file as it is."""
        return secret in self.lane.raw.serialize()


class SimulatedStore(SharedStore):
    """What one process sees of the database. Implements `ports.store.Store`."""

    def __init__(self, database: Database, process: ProcessLoop) -> None:
        self._database = database
        self._lane = database.lane
        self._process = process
        self._timeline = database.timeline
        self._draw = database.timeline.random.random

    async def close(self) -> None:
        return

    # how everything below runs ------------------------------------------------------------------------------------

    async def _through(self, work: Callable[[], T], lost: type[Exception] | None) -> T:
        """`lost`: what is raised where nobody can know whether the work was done; None: it is a look, and is not."""
        weather, draw, prompt = self._database.weather, self._draw, self._database.prompt
        if draw() >= prompt:
            await self._wait(weather)
        if self._database.away_until > self._timeline.now:
            raise StoreUnavailable("The database is away.")
        if weather.refused and draw() < weather.refused:
            raise StoreUnavailable("The database refuses.")
        unanswered = lost is not None and weather.unanswered and draw() < weather.unanswered
        if lost is not None and unanswered and draw() < NOT_DONE:
            raise lost("The connection was lost on the way there.")
        result = work()
        if draw() >= prompt:
            await self._wait(weather)
        if lost is not None and unanswered:
            raise lost("The connection was lost on the way back.")
        return result

    async def _wait(self, weather: Weather) -> None:
        process = self._process
        waiter: asyncio.Future[None] = process.create_future()
        slow = weather.slow and self._draw() < weather.slow
        seconds = self._draw() * weather.slowness if slow else 0.0005
        process.call_later(seconds, _release, waiter)
        await waiter

    async def _read(self, what: Callable[..., T], *args: Any, **named: Any) -> T:
        return await self._through(lambda: what(self._lane.sql, *args, **named), None)

    async def _write(self, what: Callable[..., T], *args: Any, repeatable: bool = True) -> T:
        def write() -> T:
            with self._lane.transaction("BEGIN IMMEDIATE"):
                result = what(self._lane.sql, *args)
            self._database.posted += 1
            return result

        return await self._through(write, StoreUnavailable if repeatable else OutcomeUnknown)

    # ownership ------------------------------------------------------------------------------------------------------

    async def parts(self) -> int:
        return self._database.parts

    async def join(self, engine: str) -> None:
        def join() -> None:
            sessions = self._database.sessions
            there = sessions.get(engine)
            if there is not None and there.process is not self._process and not there.process.dead:
                raise StoreUnavailable(f"Another process is engine {engine}.")
            if there is None or there.process is not self._process:
                self._lane.raw.execute("UPDATE parts SET owner = NULL WHERE owner = ?", (engine,))
            sessions[engine] = Session(self._process)

        await self._through(join, StoreUnavailable)

    async def resign(self, engine: str) -> None:
        def leave() -> None:
            there = self._database.sessions.get(engine)
            if there is not None and there.process is self._process:
                self._lane.raw.execute("UPDATE parts SET owner = NULL WHERE owner = ?", (engine,))
                del self._database.sessions[engine]

        await self._through(leave, StoreUnavailable)

    async def survey(self) -> Survey:
        def look() -> Survey:
            now = self._timeline.now
            live = sorted(name for name, session in self._database.sessions.items() if session.lives(now))
            rows = self._lane.raw.execute("SELECT part, epoch, owner FROM parts ORDER BY part")
            return Survey(tuple(live), tuple(map(PartSeen._make, rows)), self._database.now())

        return await self._through(look, None)

    async def claim(self, part: int, owner: str, epoch: int | None = None) -> Ownership:
        def claim() -> Ownership:
            row = self._lane.raw.execute(
                "UPDATE parts SET epoch = epoch + 1, owner = ? WHERE part = ? AND (? IS NULL OR epoch = ?) "
                "RETURNING part, epoch, seq, next_offset",
                (owner, part, epoch, epoch),
            ).fetchone()
            if row is None:
                raise StoreUnavailable(f"Another engine has just claimed part {part}.")
            self._database.on_claim(owner)
            return Ownership._make(row)

        return await self._through(claim, StoreUnavailable)

    async def has_owner(self, part: int) -> bool:
        def look() -> bool:
            row = self._lane.raw.execute("SELECT owner FROM parts WHERE part = ?", (part,)).fetchone()
            session = None if row is None else self._database.sessions.get(row[0])
            return session is not None and session.lives(self._timeline.now)

        return await self._through(look, None)

    async def release(self, part: int, owner: str) -> None:
        def release() -> None:
            self._lane.raw.execute(
                "UPDATE parts SET owner = NULL WHERE part = ? AND owner = ?", (part, owner)
            )

        await self._through(release, StoreUnavailable)

    async def saw_workers(self, workers: Sequence[WorkerRow]) -> None:
        """The list of workers is for people: nothing is decided by it."""

    async def tend(self, before: float | None = None) -> None:
        """What is over by the real time of day has no place in virtual time."""

    async def send_signal(self, signal: NewSignal, *, act: Act | None = None) -> Sent:
        return await self._write(signalling.send, signal, self._database.now(), repeatable=False)

    # the hot path -----------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        if not batches:
            return []

        def write() -> list[int]:
            raw = self._lane.raw
            with self._lane.transaction("BEGIN IMMEDIATE"):
                lost = sqlite_batch.lost(raw, batches)
                if not lost:
                    for batch in batches:
                        sqlite_batch.write(raw, batch)
            if not lost:
                self._written(batches)
            return lost

        return await self._through(write, OutcomeUnknown)

    def _written(self, batches: Sequence[Batch]) -> None:
        database = self._database
        if not database.calm and any(batch.inbox_new or batch.runs_new for batch in batches):
            database.posted += 1  # where nothing goes wrong, whoever it is for must have been told
        if database.onlooker is not None:
            database.onlooker.committed(self._process, batches)

    async def settle(self, batches: Sequence[Batch]) -> bool:
        parts = [batch.part for batch in batches]
        state = await self._read(reads.part_state, parts)
        return any(state.get(batch.part) == (batch.epoch, batch.seq) for batch in batches)

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        if not keys:
            return []
        return await self._through(lambda: sqlite_batch.values(self._lane.raw, keys), None)

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]:
        return await self._through(lambda: sqlite_batch.inbox(self._lane.raw, part, after, limit), None)

    async def inboxes(self, after: Mapping[int, int], limit: int) -> list[InboxRow]:
        def look() -> list[InboxRow]:
            pages = (
                sqlite_batch.inbox(self._lane.raw, part, seen, limit) for part, seen in sorted(after.items())
            )
            return [row for page in pages for row in page]

        return await self._through(look, None)

    async def changed(self) -> int:
        return await self._through(lambda: self._database.posted, None)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
