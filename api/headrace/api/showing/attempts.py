"""Every attempt of a run's task runs, as its history tells them: who had it, when, and how it ended.

History only grows, so what was read stays read: a look at a run that has moved reads what is new.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.engine.core import events as e
from headrace.engine.core.keys import Key
from headrace.engine.core.states import TaskState
from headrace.engine.shell import history

if TYPE_CHECKING:
    from headrace.engine.ports.store import HistoryRow, RunRow, Store

KEPT = 200_000
"""Attempts of all runs together that stay in memory."""
KEPT_RUNS = 2_000
LARGE = 256 * 1024
"""Bytes of history from which on it is read on another thread."""

_ENDS: dict[type, str] = {
    e.AttemptSucceeded: "succeeded",
    e.AttemptFailed: "failed",
    e.AttemptSkipped: "skipped",
    e.AttemptCancelled: "cancelled",
    e.WorkerLost: "lost",
}


@dataclass(slots=True)
class Tried:
    """One attempt. `state`: dispatched, running, succeeded, failed, skipped, cancelled, or lost with its worker. Times: seconds
    since the epoch; `reason` is why it ended as it did, where that is not the task's own doing."""

    generation: int
    attempt: int
    state: str
    worker: str | None = None
    dispatched_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    reason: str | None = None
    error: e.Error | None = None


class Attempts:
    """The attempts of one run as far as its history has been read."""

    def __init__(self) -> None:
        self.seq = 0
        self.count = 0
        self._by_key: dict[Key, list[Tried]] = {}
        self._picked: dict[Key, e.Picked] = {}  # given to a worker, and not sent yet

    def of(self, key: Key) -> list[Tried]:
        """In order, those of every generation."""
        return self._by_key.get(key, [])

    def read(self, rows: Iterable[HistoryRow]) -> None:
        """Add what these rows tell; they follow those read before. Raises UnknownHistory."""
        for row in rows:
            recorded = history.decode(row.body, history.NoContent())
            self._picked.update(
                (event.key, event) for event in recorded.events if isinstance(event, e.Picked)
            )
            for transition in recorded.transitions:
                self._moved(recorded.generation, recorded.events[transition.event], transition)
            for event in recorded.events:
                if isinstance(event, e.Redelivered):
                    self._redelivered(event)
            self.seq = row.seq

    def _moved(self, generation: int, event: Any, moved: Any) -> None:
        key, after, attempt = moved.key, TaskState(moved.after), moved.attempt
        own = getattr(event, "key", None) == key
        at = getattr(event, "at", None)
        if after is TaskState.DISPATCHED:
            picked = self._picked.pop(
                key, None
            )  # others may have been picked before this one's inputs were judged
            tried = Tried(generation, attempt, "dispatched")
            tried.worker, tried.dispatched_at = (None, at) if picked is None else (picked.worker, picked.at)
            self._by_key.setdefault(key, []).append(tried)
            self.count += 1
            return
        open_ = self._open(key)
        if open_ is None:
            return
        if after is TaskState.RUNNING:
            open_.state, open_.started_at = "running", at
            return
        if own and isinstance(event, e.HandedBack) and after is TaskState.QUEUED:
            self._by_key[key].pop()  # it costs no attempt: the number is given again
            self.count -= 1
            return
        open_.state = _ENDS.get(type(event), "") if own else ""
        open_.state = open_.state or ("cancelled" if after is TaskState.CANCELLED else after.word)
        open_.reason = moved.reason
        open_.finished_at = getattr(event, "finished_at", at) if own else at
        if own:
            open_.started_at = getattr(event, "started_at", None) or open_.started_at
            open_.error = getattr(event, "error", None)

    def _redelivered(self, event: e.Redelivered) -> None:
        open_ = self._open(event.key)
        if open_ is not None and open_.state == "dispatched":
            open_.worker = event.worker

    def _open(self, key: Key) -> Tried | None:
        tried = self._by_key.get(key)
        last = tried[-1] if tried else None
        return last if last is not None and last.state in ("dispatched", "running") else None


class AttemptBook:
    """The attempts of the runs that somebody looked at of late."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, Attempts] = OrderedDict()
        self._locks: dict[int, asyncio.Lock] = {}

    async def of(self, run: RunRow) -> Attempts:
        """The run's, up to the history row that its own row names. Raises UnknownHistory, RowDamaged."""
        lock = self._locks.setdefault(run.no, asyncio.Lock())
        async with lock:
            attempts = self._kept.pop(run.no, None) or Attempts()
            if attempts.seq < run.seq:
                rows = await self._store.history(run.no, after=attempts.seq)
                if sum(len(row.body) for row in rows) < LARGE:
                    attempts.read(rows)
                else:
                    await asyncio.to_thread(attempts.read, rows)
            self._kept[run.no] = attempts
            self._forget()
        return attempts

    def _forget(self) -> None:
        left = sum(attempts.count for attempts in self._kept.values())
        while (left > KEPT or len(self._kept) > KEPT_RUNS) and len(self._kept) > 1:
            no, gone = self._kept.popitem(last=False)
            left -= gone.count
            self._locks.pop(no, None)
