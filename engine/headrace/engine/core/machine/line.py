"""The line as one run sees it: what may be dispatched, and how many at once (`limits.active_tasks`).

A ready task run is marked READY and told to the shell, whose line gives it to a worker; one for which the run has no
room is marked HELD and waits in the board's waiting room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine.core.decision import Ready, SetTimer
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.block import HELD, JUDGING, READY, RELEASED, Block
from headrace.engine.core.states import TaskState

if TYPE_CHECKING:
    from headrace.engine.core.machine.board import Board

_new = tuple.__new__  # a NamedTuple's own constructor costs twice as much


def ready(board: Board, block: Block, slot: int) -> None:
    """To the line, unless the run's active_tasks are in use."""
    mark = block.mark[slot]
    if mark & READY:
        return
    limit = board.static.active_tasks
    if limit is not None:
        if board.busy >= limit:
            if not mark & HELD:
                block.mark[slot] = mark | HELD
                board.waiting_room.append((block, slot))
            return
        board.busy += 1
    block.mark[slot] = (mark | READY) & ~(JUDGING | HELD)
    block.lined += 1
    key = block.key(slot)
    since = board.at
    if board.static.timed[key.task]:
        since = start_clocks(board, block, slot, key)
    if not board.status.paused:
        board.decision.ready.append(_new(Ready, (key, since)))


def start_clocks(board: Board, block: Block, slot: int, key: Key) -> float:
    """The timers of a task run that has just become ready; its row keeps when that was."""
    live = board.live.get(key)
    known = live.ready_at if live is not None and live.ready_at is not None else board.since.get(key)
    if known is not None:
        return known
    timeouts = board.plan.tasks[key.task].timeouts
    board.since[key] = board.at
    row = board.row(key)
    row.state = TaskState(block.state[slot])
    row.ready_at = board.at
    if timeouts.queue is not None:
        board.decision.effects.append(
            SetTimer(key, "queue_timeout", board.at + timeouts.queue.total_seconds())
        )
    if timeouts.total is not None:
        board.decision.effects.append(
            SetTimer(key, "total_timeout", board.at + timeouts.total.total_seconds())
        )
    return board.at


def leave(board: Board, block: Block, slot: int) -> None:
    """The slot ended while it was marked: take it out of wherever it stands."""
    mark = block.mark[slot]
    block.mark[slot] = mark & RELEASED
    if mark & READY:
        block.lined -= 1
        board.decision.withdrawn.append(block.key(slot))
        leave_room(board)
        if block.parent is not None:
            board.releases.append(block)


def picked(board: Board, block: Block, slot: int) -> None:
    """The line gave it to a worker."""
    block.mark[slot] &= ~READY
    block.lined -= 1
    if block.parent is not None and block.cursor < block.n:
        board.releases.append(block)


def leave_room(board: Board) -> None:
    """One task run less is in the line or in flight; the next that was held may go."""
    if board.static.active_tasks is None:
        return
    board.busy -= 1
    while board.waiting_room and board.busy < board.static.active_tasks:
        block, slot = board.waiting_room.popleft()
        if block.mark[slot] & HELD:
            block.mark[slot] &= ~HELD
            ready(board, block, slot)
