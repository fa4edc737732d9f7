"""What people ask of a run or a task run, and what clocks ask: cancel, kill, pause, resume, timers."""

from __future__ import annotations

import json
from collections.abc import Iterator

from headrace.engine.core.decision import CancelChild, Ready, Row, SetTimer
from headrace.engine.core.events import (
    CancelAsked,
    ChildEnded,
    ChildRefused,
    Error,
    PauseAsked,
    ResumeAsked,
    Started,
    TaskAsked,
    TimerFired,
)
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import attempts, polls, restoring, stopping, waits
from headrace.engine.core.machine.block import READY, Block
from headrace.engine.core.machine.board import DEADLINE, KILLED, Board
from headrace.engine.core.machine.readiness import spared, try_again
from headrace.engine.core.plan import Rule
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Child, Kind

_IN_FLIGHT = (TaskState.DISPATCHED, TaskState.RUNNING)


def start(board: Board, event: Started) -> bool:
    if board.status.state is not RunState.QUEUED:
        return False
    board.status.started_at = event.at
    board.move_run(RunState.RUNNING)
    begin(board)
    return True


def begin(board: Board) -> None:
    """Set the deadline, and look at every node of the run that waits for nothing, or whose rule may be certain before
    anything has ended."""
    if board.plan.workflow.deadline is not None:
        due = board.info.created_at + board.plan.workflow.deadline.total_seconds()
        if due <= board.at:  # it was queued for too long
            cancel(board, CancelAsked(board.at, "deadline"), deadline=True)
            return
        board.decision.effects.append(SetTimer(None, "deadline", due))
    root = board.root
    if root.state.count(TaskState.PENDING) < len(
        root.state
    ):  # somebody has settled task runs of it before it started
        restoring.look_again(board)
        return
    for node in range(len(root.state)):
        if not root.unmet[node] or board.plan.rules[node] >= Rule.ALWAYS:
            board.candidates.append((root, node))


# -- cancel -------------------------------------------------------------------------------------------------------------


def cancel(board: Board, event: CancelAsked, *, deadline: bool = False) -> bool:
    """Stop: what has not started is cancelled, what runs is told to stop; teardowns and `finally` run unless killed,
    or unless nothing ever ran. A kill after a cancel is allowed."""
    status = board.status
    if status.state.final or (status.state is RunState.CANCELLING and (board.killed or not event.kill)):
        return False
    board.killed = event.kill or status.started_at is None
    was_paused, status.paused = status.paused, False
    # A person's words never stand for what `outcome` and a restart read from the reason.
    told = event.reason if event.reason not in (KILLED, DEADLINE) else None
    board.move_run(
        RunState.CANCELLING, KILLED if event.kill else DEADLINE if deadline else told or "cancelled"
    )
    if was_paused:
        back_in_line(board)
    board.sweeps.append(sweep_cancelled(board))
    board.ending = True  # everything may have been settled before it started: then nothing else would tell
    return True


def sweep_cancelled(board: Board) -> Iterator[None]:
    """Cancel slot by slot; a generator, because a slice of transitions may end in the middle of a large run."""
    for block, slot in board.slots():
        state = block.state[slot]
        node = block.node(slot)
        if state >= TaskState.SUCCEEDED:
            continue
        if spared(board, node):
            if state == TaskState.PENDING:
                board.candidates.append((block, slot))
            continue
        if state in _IN_FLIGHT:
            stopping.abort(board, block, slot, "run_cancelled", 0.0 if board.killed else None)
        elif state == TaskState.WAITING and (slot in block.children or board.static.is_group[node]):
            below = block.children.get(slot)
            if below is not None:
                board.releases.append(below)
        elif state == TaskState.WAITING and _stops_child(board, node) and not board.killed:
            tell_child(board, block.key(slot))  # it ends when its child has, teardowns and all
        else:
            stop_waiting(board, block, slot, "run_cancelled")
        yield


def _stops_child(board: Board, node: int) -> bool:
    work = board.plan.tasks[node].work
    return isinstance(work, Child) and work.on_cancel == "cancel"


def tell_child(board: Board, key: Key) -> None:
    """Have the child of a waiting task run cancelled, or killed with its parent."""
    live = board.live.get(key)
    board.decision.effects.append(CancelChild(key, live.child if live and live.child else "", board.killed))


def stop_waiting(
    board: Board, block: Block, slot: int, reason: str, state: TaskState = TaskState.CANCELLED
) -> Row:
    """End a task run that is not in flight; its child, if any, follows."""
    key = block.key(slot)
    if block.state[slot] == TaskState.WAITING and _stops_child(board, key.task):
        tell_child(board, key)
    attempts.release_slots(board, key)
    return board.finish(block, slot, state, reason)


# -- pause --------------------------------------------------------------------------------------------------------------


def pause(board: Board, event: PauseAsked) -> bool:
    """Nothing more is dispatched; what runs goes on."""
    status = board.status
    if status.paused or status.state not in (RunState.QUEUED, RunState.RUNNING):
        return False
    status.paused = True
    board.move_run(RunState.PAUSED)
    for block, slot in board.slots():
        if block.mark[slot] & READY:
            board.decision.withdrawn.append(block.key(slot))
    return True


def resume(board: Board, event: ResumeAsked) -> bool:
    status = board.status
    if not status.paused or status.state.final:
        return False
    status.paused = False
    if status.started_at is None:
        board.move_run(RunState.QUEUED)  # it had not been admitted, and asks again
        return True
    board.move_run(RunState.RUNNING)
    back_in_line(board)
    return True


def back_in_line(board: Board) -> None:
    """What was ready while the run was paused stands in the line again."""
    for block, slot in board.slots():
        if block.mark[slot] & READY:
            board.decision.ready.append(Ready(block.key(slot), board.at))


# -- one task run -------------------------------------------------------------------------------------------------------


def task(board: Board, event: TaskAsked) -> bool:
    """retry (a wait for the next attempt or poll ends now), skip, succeed, cancel. What cannot be done changes nothing."""
    spot = board.locate(event.key)
    if spot is None or board.status.state.final:
        return False
    block, slot = spot
    state = block.state[slot]
    if state >= TaskState.SUCCEEDED or slot in block.children or board.static.is_group[event.key.task]:
        return False
    if event.action == "retry":
        if state != TaskState.RETRYING and not polls.waits(board, block, slot):
            return False
        try_again(board, block, slot)
        return True
    after = {"skip": TaskState.SKIPPED, "succeed": TaskState.SUCCEEDED, "cancel": TaskState.CANCELLED}[
        event.action
    ]
    live = board.live.get(event.key)
    if state in _IN_FLIGHT:
        stopping.abort(board, block, slot, "asked")
        if event.action == "cancel":
            assert live is not None
            live.by = live.by or event.by
            stopping.keep(board, block, slot)  # it ends when the worker has said so, perhaps after a restart
            return True
    row = stop_waiting(board, block, slot, event.reason or "asked", after)
    row.by = event.by
    if after is TaskState.SUCCEEDED and event.output is not None:
        row.output = json.dumps(event.output, separators=(",", ":"), ensure_ascii=False).encode()
        board.fresh[event.key] = row.output
    if board.status.started_at is None and board.status.state is not RunState.CANCELLING:
        board.hold_still()  # what follows waits for the run's start, as all that it does
    return True


# -- clocks and children ------------------------------------------------------------------------------------------------


def timer(board: Board, event: TimerFired) -> bool:
    """A timer fell due. One that no longer means anything changes nothing."""
    if event.key is None:
        if board.status.state.final or board.status.state is RunState.CANCELLING:
            return False
        return cancel(board, CancelAsked(event.at, "deadline"), deadline=True)
    spot = board.locate(event.key)
    if spot is None:
        return False
    block, slot = spot
    state = block.state[slot]
    live = board.live.get(event.key)
    match event.kind:
        case "retry" if state == TaskState.RETRYING:
            try_again(board, block, slot)
            return True
        case "poll" if polls.waits(board, block, slot):
            try_again(board, block, slot)
            return True
        case "sleep" if state == TaskState.WAITING:
            board.finish(block, slot, TaskState.SUCCEEDED)
            return True
        case "expiry" if state == TaskState.WAITING:
            return waits.expired(board, block, slot)
        case "queue_timeout" if state in (TaskState.PENDING, TaskState.QUEUED, TaskState.DISPATCHED):
            if live is not None and (live.started_at is not None or live.attempt > 1):
                return False  # it bounds the wait for the first start, not those between attempts
            return _time_out(board, block, slot, "queue_timeout")
        case "total_timeout" if state < TaskState.SUCCEEDED:
            return _time_out(board, block, slot, "total_timeout")
    return False


def _time_out(board: Board, block: Block, slot: int, which: str) -> bool:
    """What waits has failed; an attempt in flight has when the worker has stopped it, so that nothing that follows upon the
    failure runs beside it."""
    if block.state[slot] in _IN_FLIGHT:
        stopping.abort(board, block, slot, which)
        stopping.keep(board, block, slot)
        return True
    stop_waiting(board, block, slot, "timed_out", TaskState.FAILED).error = stopping.TIMED_OUT[which]
    return True


def child_ended(board: Board, event: ChildEnded) -> bool:
    spot = board.locate(event.key)
    if (
        spot is None
        or spot[0].state[spot[1]] != TaskState.WAITING
        or board.plan.kinds[event.key.task] is not Kind.WORKFLOW
    ):
        return False
    block, slot = spot
    live = board.live.get(event.key)
    if live is not None:
        live.child = event.child
    if event.state == "succeeded":
        row = board.finish(block, slot, TaskState.SUCCEEDED, output=event.output)
        if event.artifact is not None:
            row.artifact = board.fresh[event.key] = event.artifact
    elif event.state == "cancelled":
        state = TaskState.CANCELLED if board.status.state is RunState.CANCELLING else TaskState.FAILED
        error = Error(
            "child", f"The child run {event.child} was cancelled.", reason="child_cancelled", retryable=False
        )
        row = board.finish(block, slot, state, "child_cancelled", error=error)
    else:
        error = Error(
            "child",
            f"The child run {event.child} failed" + (f": {event.error}" if event.error else "."),
            reason="child_failed",
            retryable=False,
        )
        row = board.finish(block, slot, TaskState.FAILED, "child_failed", error=error)
    row.child = event.child
    return True


def child_refused(board: Board, event: ChildRefused) -> bool:
    spot = board.locate(event.key)
    if spot is None or spot[0].state[spot[1]] != TaskState.WAITING:
        return False
    board.finish(*spot, TaskState.FAILED, event.error.reason or "child_refused", error=event.error)
    return True
