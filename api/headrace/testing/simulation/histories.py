"""Looks at what history says of every run, event by event and move by move, when a simulated world is over."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from headrace.engine.core.decision import Transition
from headrace.engine.core.events import (
    AttemptFailed,
    AttemptSkipped,
    AttemptSucceeded,
    CancelAsked,
    Event,
    PauseAsked,
    Picked,
    Redelivered,
    RerunAsked,
    ResumeAsked,
    TaskAsked,
    TimerFired,
)
from headrace.engine.core.keys import Key
from headrace.engine.core.states import MOVES, TaskState
from headrace.engine.shell import history
from headrace.engine.shell.history import Recorded

FLYING = (TaskState.DISPATCHED, TaskState.RUNNING)
REPORTED = (AttemptSucceeded, AttemptFailed, AttemptSkipped)
"""How a worker's report ends an attempt."""
ASKED = (CancelAsked, PauseAsked, ResumeAsked, RerunAsked, TaskAsked)

_RunKey = tuple[int, int, int, int]  # run, generation, task, map


class Histories:
    """What was read so far. `name`: of a task run; `fault`: told what should not be."""

    def __init__(self, name: Callable[[Sequence[int]], str], fault: Callable[[str], None]) -> None:
        self._name = name
        self._fault = fault
        self._answered: dict[tuple[int, str], int] = defaultdict(int)  # by run and who asked for something
        self._last: dict[_RunKey, int] = {}
        self._sent: dict[_RunKey, tuple[int, int]] = {}  # the delivery that counts
        self._ends: set[tuple[_RunKey, int]] = set()
        self._fired: set[tuple[Any, ...]] = set()

    def read(self, raw: sqlite3.Connection) -> None:
        """Everything that the database holds. Once."""
        content = history.NoContent()
        for run, body in raw.execute("SELECT run, body FROM history ORDER BY run, seq").fetchall():
            self._batch(run, history.decode(bytes(body), content))
        kept = {key for (key,) in raw.execute("SELECT key FROM once")}  # those whose command the store took
        for (run, by), times in self._answered.items():
            if times > 1 and by in kept:
                self._fault(f"I3: what {by} asked for in run {run} was answered {times} times")
        for by in sorted(kept.difference(by for _, by in self._answered)):
            self._fault(f"I3: what {by} asked for was never answered")

    def _batch(self, run: int, past: Recorded) -> None:
        for refusal in past.refused:
            self._answered[run, refusal.by] += 1
        moves: dict[int, list[Transition]] = defaultdict(list)
        for move in past.transitions:
            moves[move.event].append(move)

        def key_of(key: Key) -> _RunKey:
            return run, past.generation, key.task, key.map

        for place, event in enumerate(past.events):
            if isinstance(event, ASKED):
                self._answered[run, event.by] += 1
            elif isinstance(event, Picked | Redelivered):
                key = key_of(event.key)
                late = isinstance(event, Redelivered) and self._last.get(key) != TaskState.DISPATCHED
                if not late:
                    self._sent[key] = event.epoch, event.n
            for move in moves[place]:
                key = key_of(move.key)
                self._moved(key, move, past.generation)
                if getattr(event, "key", None) == move.key:
                    self._by(event, key)

    def _moved(self, key: _RunKey, move: Transition, generation: int) -> None:
        before = self._last.get(key, TaskState.PENDING if generation == 1 else move.before)
        if move.before != before:
            self._fault(f"I4: {self._name(key)} moved from {_word(move.before)} and was {_word(before)}")
        if move.after not in MOVES[TaskState(move.before)]:
            self._fault(f"I4: {self._name(key)} moved from {_word(move.before)} to {_word(move.after)}")
        if move.before in FLYING and move.after not in (*FLYING, TaskState.QUEUED):
            end = key, move.attempt
            if end in self._ends:
                self._fault(f"I3: attempt {move.attempt} of {self._name(key)} ended twice")
            self._ends.add(end)
        self._last[key] = move.after

    def _by(self, event: Event, key: _RunKey) -> None:
        """The event about this very task run that has moved it."""
        if isinstance(event, REPORTED):
            delivery = event.epoch, event.n
            if self._sent.get(key, delivery) != delivery:
                self._fault(
                    f"I3: delivery {delivery} ended {self._name(key)}, and {self._sent[key]} was what counted"
                )
        elif isinstance(event, TimerFired):
            which = *key, event.kind, event.due_at
            if which in self._fired:
                self._fault(f"58: the timer {event.kind} of {self._name(key)} fired twice")
            self._fired.add(which)


def _word(state: int) -> str:
    return TaskState(state).word
