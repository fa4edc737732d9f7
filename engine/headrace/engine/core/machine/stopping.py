"""Attempts that are told to stop: the word to the worker, what is written of it meanwhile, and what the task run ends as."""

from __future__ import annotations

from headrace.engine.core.decision import Abort, DeadLetter, Row
from headrace.engine.core.events import Error
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.block import Block, Live
from headrace.engine.core.machine.board import Board
from headrace.engine.core.states import TaskState


def _timed_out(why: str) -> Error:
    return Error("timeout", why, ("timeout",), reason="timed_out", retryable=False)


TIMED_OUT = {
    "queue_timeout": _timed_out("It did not start within timeouts.queue."),
    "total_timeout": _timed_out("It was not final within timeouts.total."),
}
"""By the timer that fired, which is also why an attempt was told to stop."""


def abort(board: Board, block: Block, slot: int, reason: str, grace: float | None = None) -> None:
    """Tell the worker to stop an attempt in flight; the task run ends when the worker has said so."""
    key = block.key(slot)
    live = board.live[key]
    if live.aborted is None or grace == 0:
        live.aborted = live.aborted or reason
        tell(board, key, live, grace)


def tell(board: Board, key: Key, live: Live, grace: float | None = None) -> None:
    """The word to the worker. `grace`: seconds; None means the task's own."""
    patience = board.plan.tasks[key.task].timeouts.grace.total_seconds() if grace is None else grace
    board.decision.effects.append(Abort(key, live.attempt, live.worker or "", patience))


def keep(board: Board, block: Block, slot: int) -> Live:
    """Have an attempt in flight written as it is now. Its reason, if it has one, says that it was told to stop: so a
    restored board knows."""
    key = block.key(slot)
    live = board.live[key]
    row = board.row(key)
    row.state, row.reason, row.by = TaskState(block.state[slot]), live.aborted, live.by
    row.attempt, row.epoch, row.n, row.worker = live.attempt, live.epoch, live.n, live.worker
    row.ready_at, row.started_at, row.output = live.ready_at, live.started_at, live.progress
    return live


def stopped(board: Board, block: Block, slot: int, live: Live, error: Error | None = None) -> Row:
    """It was told to stop, and is over. `error`: of the attempt, when it has one."""
    late = TIMED_OUT.get(live.aborted or "")
    if late is not None:
        row = board.finish(block, slot, TaskState.FAILED, "timed_out", error=late)
        if live.started_at is not None:
            board.decision.effects.append(DeadLetter(block.key(slot), live.attempt, late))
        return row
    reason, by = live.aborted or "run_cancelled", live.by
    row = board.finish(block, slot, TaskState.CANCELLED, reason, error=error)
    row.by = by
    return row
