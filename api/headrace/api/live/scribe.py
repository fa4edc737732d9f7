"""A run's history, told: each row becomes one block of frames, the same for everybody and in every process. No Litestar here."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.api.live import words
from headrace.api.live.frames import frame
from headrace.api.live.tape import Block
from headrace.api.showing.times import instant
from headrace.engine.core import events as e
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.shell import history
from headrace.engine.shell.rows import generations_of
from headrace.engine.shell.views import Change, Changes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.engine.core.plan import Plan
    from headrace.engine.core.run import Generation
    from headrace.engine.ports.cache import Commit
    from headrace.engine.ports.store import HistoryRow, RunRow, Store
    from headrace.engine.shell.plans import Plans
    from headrace.runners.redaction import Redactor

LARGE = 256 * 1024
"""Bytes of a row from which on it is read on another thread."""
PAGE = 32
"""Rows read at once."""
HEADS = 500
"""Rows of which only the run's own change is read at once."""

LONGEST_MESSAGE = 4_000
"""Characters of what a task has said when it failed; all of it is read from the task run."""

FAILING = frozenset(state.word for state in (TaskState.FAILED, TaskState.RETRYING))


class Stand(NamedTuple):
    """How the run itself stands behind a row of its history."""

    state: RunState = RunState.QUEUED
    paused: bool = False
    reason: str | None = None

    @property
    def word(self) -> str:
        shown = self.paused and not self.state.final and self.state is not RunState.CANCELLING
        return "paused" if shown else self.state.word

    @property
    def final(self) -> bool:
        return self.state.final

    def after(self, change: Any) -> Stand:
        """`change`: the run's own of a row, or None."""
        if change is None:
            return self
        return Stand(RunState(change["state"]), change["paused"], change["reason"])


def stand_of(row: RunRow) -> Stand:
    """As the run's own row says."""
    return Stand(RunState(row.state), row.paused, row.reason)


class Names:
    """The plan of each generation of a run: a rerun may go on with another version."""

    def __init__(self, store: Store, plans: Plans, row: RunRow) -> None:
        self._store = store
        self._plans = plans
        self._row = row
        self._generations = generations_of(row.generations)
        self._known: dict[int, Plan] = {}

    async def plan(self, generation: int) -> Plan:
        """Raises PlanMissing, StoreUnavailable."""
        if generation not in self._known:
            if generation > self._row.generation and (row := await self._store.run(self._row.no)) is not None:
                self._row, self._generations = row, generations_of(row.generations)
            hash = _plan_of(self._generations, generation) or self._row.plan
            self._known[generation] = (await self._plans.get(hash)).plan
        return self._known[generation]


def _plan_of(generations: list[Generation], number: int) -> str | None:
    moves = [(each.number, each.moved) for each in generations if each.moved is not None]
    for since, moved in reversed(moves):
        if since <= number:
            return moved.plan
    return moves[0][1].from_plan if moves else None


class _Head(msgspec.Struct, array_like=True):
    """Of a history row, what the run itself is concerned with."""

    version: int
    generation: int
    events: msgspec.Raw
    rounds: msgspec.Raw
    transitions: msgspec.Raw
    run: dict[str, Any] | None = None


_heads = msgspec.json.Decoder(_Head)


class Marks:
    """How a run stood behind any row of its history, found out once."""

    def __init__(self, store: Store, run: int) -> None:
        self._store = store
        self._run = run
        self._seqs, self._stands = [0], [Stand()]
        self._read = 0

    async def at(self, seq: int) -> Stand:
        """Raises StoreUnavailable, RowDamaged."""
        while self._read < seq:
            begin = self._read
            rows = await self._store.history(self._run, begin, min(HEADS, seq - begin))
            if not rows:
                break
            if begin == self._read:  # nobody else has read on meanwhile
                for row in rows:
                    if (change := _heads.decode(row.body).run) is not None:
                        self._seqs.append(row.seq)
                        self._stands.append(self._stands[-1].after(change))
                self._read = rows[-1].seq
        return self._stands[bisect_right(self._seqs, seq) - 1]


class Scribe:
    """Tells rows one after the other. `stand`, `generation`: behind the last one that was told."""

    def __init__(self, run: str, names: Names, redactor: Redactor, stand: Stand, generation: int = 1) -> None:
        self._run = run
        self._names = names
        self._redactor = redactor
        self.stand = stand
        self.generation = generation

    async def row(self, row: HistoryRow) -> Block:
        """Raises UnknownHistory, PlanMissing, StoreUnavailable."""
        if len(row.body) < LARGE:
            recorded = history.decode(row.body, history.NoContent())
        else:
            recorded = await asyncio.to_thread(history.decode, row.body, history.NoContent())
        plan = await self._names.plan(recorded.generation)
        before, self.stand = self.stand, self.stand.after(recorded.run)
        self.generation = recorded.generation
        if len(row.body) < LARGE:
            return self._told(row.seq, recorded, plan, before, self.stand)
        return await asyncio.to_thread(self._told, row.seq, recorded, plan, before, self.stand)

    def heard(self, commit: Commit) -> Block:
        """A commit of which only task runs moved, and none failed."""
        frames = self._frames(commit.seq, (Change(*move) for move in commit.moves), self.generation)
        return Block(commit.seq, frames, frames)

    def _told(self, seq: int, recorded: history.Recorded, plan: Plan, before: Stand, after: Stand) -> Block:
        changes = Changes(plan, before.state).recorded(recorded._replace(run=None))
        failures = {
            place: error
            for place, moved in enumerate(recorded.transitions)
            if TaskState(moved.after).word in FAILING
            and (error := _error(recorded.events[moved.event], moved.key)) is not None
        }
        if after.word != before.word:
            at = getattr(recorded.events[-1], "at", 0.0) if recorded.events else 0.0
            own = Change(at, None, before.word, after.word, after.reason)
            if after.final:
                changes.append(own)
            else:
                changes.insert(0, own)
                failures = {place + 1: error for place, error in failures.items()}
        generation = recorded.generation
        full = self._frames(seq, changes, generation, failures)
        if not failures:
            return Block(seq, full, full)
        hidden = {place: words.Failure(error.kind, None) for place, error in failures.items()}
        return Block(seq, self._frames(seq, changes, generation, hidden), full)

    def _frames(
        self,
        seq: int,
        changes: Iterable[Change],
        generation: int,
        failures: dict[int, words.Failure] | None = None,
    ) -> bytes:
        made = []
        for place, (at, task, before, after, reason, attempt) in enumerate(changes):
            error = None if failures is None else failures.get(place)
            if error is not None and error.message is not None:
                error = words.Failure(error.kind, self._redactor.text(error.message))
            said = words.Moved(
                self._run, seq, instant(at), task, before, after, reason, attempt, generation, error
            )
            made.append(frame("run" if task is None else "task", words.encode(said), f"{seq}.{place + 1}"))
        return b"".join(made)


def _error(event: e.Event, key: Any) -> words.Failure | None:
    """What an event says about why this task run failed."""
    if getattr(event, "key", None) != key:
        return None
    error = getattr(event, "error", None)
    if isinstance(error, str):
        return words.Failure("child", error)
    return None if error is None else words.Failure(error.kind, error.message[:LONGEST_MESSAGE])
