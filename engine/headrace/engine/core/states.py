"""Every state and every legal move, in one table. Nothing else in the project lists states or moves.

A move that is not in the table is a fault of ours and raises `IllegalMove`; a stale report never gets this far.
docs/states.md is generated from here.
"""

from __future__ import annotations

from enum import IntEnum


class TaskState(IntEnum):
    """The state of one task run. The numbers are stored; a final state is one at or above SUCCEEDED."""

    PENDING = 0  # waits for upstreams, or is ready and waits in the line
    QUEUED = 1  # ready, has asked for slots of a pool or limit
    DISPATCHED = 2  # an attempt was sent to a worker
    RUNNING = 3  # the worker said it started
    RETRYING = 4  # an attempt failed; the next one starts when its delay has passed
    WAITING = 5  # waits without a worker: timer, child, signal, approval, poll, an expanded map
    SUCCEEDED = 6
    FAILED = 7
    SKIPPED = 8
    UPSTREAM_FAILED = 9
    CANCELLED = 10
    REMOVED = 11  # a rerun's map became shorter

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def final(self) -> bool:
        return self >= TaskState.SUCCEEDED


class RunState(IntEnum):
    """The state of a run. Final at or above SUCCEEDED."""

    QUEUED = 0
    RUNNING = 1
    PAUSED = 2
    CANCELLING = 3
    SUCCEEDED = 6
    FAILED = 7
    CANCELLED = 10

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def final(self) -> bool:
        return self >= RunState.SUCCEEDED


P, Q, D, R, Y, W = (TaskState(i) for i in range(6))
S, F, K, U, C, X = (TaskState(i) for i in range(6, 12))

MOVES: dict[TaskState, frozenset[TaskState]] = {
    P: frozenset((Q, D, W, S, F, K, U, C, X)),
    Q: frozenset((D, F, C, S, K)),
    D: frozenset((R, S, F, Y, K, C, Q, W)),
    R: frozenset((S, F, K, C, Y, W)),
    Y: frozenset((Q, D, F, C, S, K)),
    W: frozenset((Q, D, S, F, K, C)),
    S: frozenset(),
    F: frozenset(),
    K: frozenset(),
    U: frozenset(),
    C: frozenset(),
    X: frozenset(),
}
"""From queued and retrying, `succeeded` and `skipped` are reached only when a person says so.
A rerun does not move a final state: it begins a new generation. A run that was paused before it had started is queued
again when it is resumed."""

RUN_MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset((RunState.RUNNING, RunState.CANCELLING, RunState.CANCELLED, RunState.PAUSED)),
    RunState.RUNNING: frozenset(
        (RunState.PAUSED, RunState.CANCELLING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
    ),
    RunState.PAUSED: frozenset(
        (
            RunState.QUEUED,
            RunState.RUNNING,
            RunState.CANCELLING,
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.CANCELLED,
        )
    ),
    RunState.CANCELLING: frozenset((RunState.CANCELLED, RunState.FAILED)),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}


class IllegalMove(Exception):
    """A fault of ours: the core tried a move that the table forbids. Carries the story of the task run."""

    def __init__(self, what: str, before: IntEnum, after: IntEnum, because: object) -> None:
        super().__init__(
            f"{what}: {before.name} → {after.name} is not a legal move (because of {because!r}). "
            "This is a fault of Headrace, not of the workflow; please report it with the run's history."
        )
