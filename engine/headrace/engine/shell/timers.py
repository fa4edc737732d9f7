"""Timers of the runs in memory: a heap of what falls due, and what of it is stored.

A timer is named by (run, task run or the run itself, kind) and has one due time; setting it again moves it. The heap
keeps old entries until they surface, so that moving and clearing are cheap.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from headrace.engine.core.events import TimerFired
from headrace.engine.core.keys import Key
from headrace.engine.ports.store import Batch, Timer, TimerKey

RUN_ITSELF = -1
"""The task index under which the run's own timers are stored."""


class _Set(NamedTuple):
    generation: int
    due_at: float
    stored: bool  # the store has a row of it, perhaps with an earlier due time
    fresh: bool  # the store has yet to be told


class Timers:
    """All timers of one engine, in seconds since the epoch."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Key | None, str]] = []
        self._order = count()
        self._set: dict[int, dict[Key | None, dict[str, _Set]]] = {}

    @property
    def next_due(self) -> float | None:
        """When the next timer may fall due; None without any."""
        heap = self._heap
        while heap:
            due_at, _, run, key, kind = heap[0]
            if self._current(run, key, kind, due_at):
                return due_at
            heapq.heappop(heap)
        return None

    def restore(self, timers: Iterable[Timer]) -> None:
        """Take over what the store holds of a run that was loaded."""
        for run, generation, task, map_, kind, due_at in timers:
            key = None if task == RUN_ITSELF else Key(task, map_)
            self._put(run, key, kind, _Set(generation, due_at, True, False))

    def set(self, run: int, generation: int, key: Key | None, kind: str, due_at: float) -> None:
        """Set or move a timer; it is stored with the batch that `flush` fills."""
        self._put(run, key, kind, _Set(generation, due_at, False, True))

    def clear(self, run: int, key: Key | None, batch: Batch) -> None:
        """Clear every timer of a task run (`key` None: of the run itself)."""
        kinds = self._set.get(run, {}).pop(key, None)
        if kinds:
            # Timers set and cleared within one batch never reach the store.
            for generation in {timer.generation for timer in kinds.values() if timer.stored}:
                task, map_ = (RUN_ITSELF, 0) if key is None else key
                batch.cleared.append(TimerKey(run, generation, task, map_))

    def due(self, now: float, limit: int) -> list[tuple[int, TimerFired]]:
        """Up to `limit` timers that have fallen due, oldest first. They stay set until `fired`."""
        heap = self._heap
        out: list[tuple[int, TimerFired]] = []
        while heap and heap[0][0] <= now and len(out) < limit:
            due_at, _, run, key, kind = heapq.heappop(heap)
            if self._current(run, key, kind, due_at):
                out.append((run, TimerFired(now, key, kind, due_at)))
        return out

    def fired(self, run: int, event: TimerFired, batch: Batch) -> None:
        """Forget a timer whose event is part of `batch`."""
        kinds = self._set.get(run, {}).get(event.key)
        timer = kinds.pop(event.kind, None) if kinds else None
        if timer is not None and timer.stored:
            task, map_ = (RUN_ITSELF, 0) if event.key is None else event.key
            batch.cleared.append(TimerKey(run, timer.generation, task, map_, event.kind))

    def flush(self, run: int, keys: Iterable[Key | None], batch: Batch) -> None:
        """Put what was set for `keys` since the last batch into this one."""
        by_key = self._set.get(run, {})
        for key in keys:
            kinds = by_key.get(key, {})
            for kind, timer in kinds.items():
                if timer.fresh:
                    task, map_ = (RUN_ITSELF, 0) if key is None else key
                    batch.timers.append(Timer(run, timer.generation, task, map_, kind, timer.due_at))
                    kinds[kind] = timer._replace(stored=True, fresh=False)

    def forget(self, run: int, batch: Batch | None = None) -> None:
        """Drop a run's timers from memory and, with `batch`, from the store: the run is final."""
        for key in list(self._set.get(run, ())):
            if batch is not None:
                self.clear(run, key, batch)
        self._set.pop(run, None)

    def reset(self) -> None:
        """Forget everything: the part was lost."""
        self._heap.clear()
        self._set.clear()

    def _put(self, run: int, key: Key | None, kind: str, timer: _Set) -> None:
        kinds = self._set.setdefault(run, {}).setdefault(key, {})
        before = kinds.get(kind)
        if before is not None and before.generation == timer.generation:
            if before.due_at == timer.due_at:
                return
            timer = timer._replace(stored=before.stored)
        kinds[kind] = timer
        heapq.heappush(self._heap, (timer.due_at, next(self._order), run, key, kind))

    def _current(self, run: int, key: Key | None, kind: str, due_at: float) -> bool:
        kinds = self._set.get(run, {}).get(key)
        timer = kinds.get(kind) if kinds else None
        return timer is not None and timer.due_at == due_at
