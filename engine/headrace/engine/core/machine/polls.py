"""Polls: a task whose success is looked at, and which runs again, later, while its condition does not hold.

In between it waits without a worker. A run that found nothing yet is no try of `retry`, which counts those since the last
such run; attempts are numbered on, because a worker knows one by its number. How often it was polled, and the number of the
last of these attempts, are kept in the row until the task ends.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from headrace.engine.core.decision import SetTimer
from headrace.engine.core.events import AttemptSucceeded
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import line, readiness, stopping
from headrace.engine.core.machine.block import Block, Live
from headrace.engine.core.machine.board import Board
from headrace.engine.core.states import RunState, TaskState


class Polled(NamedTuple):
    """How often the condition did not hold, and the number of the attempt on which it last did not."""

    times: int = 0
    attempt: int = 0


def polled(live: Live | None) -> Polled:
    return Polled() if live is None or live.progress is None else Polled(*json.loads(live.progress))


def tries(board: Board, key: Key, attempt: int) -> int:
    """Which try an attempt is, as `retry` counts them: since the last poll."""
    if board.plan.tasks[key.task].poll is None:
        return attempt
    return attempt - polled(board.live.get(key)).attempt


def waits(board: Board, block: Block, slot: int) -> bool:
    """Whether the task run waits for its next poll."""
    return (
        block.state[slot] == TaskState.WAITING
        and board.plan.tasks[block.node(slot)].poll is not None
        and slot not in block.children
    )


def wait(board: Board, block: Block, slot: int, event: AttemptSucceeded) -> None:
    """The condition does not hold yet: the task waits, or ends where it was told to. Its slots have been given back."""
    key = event.key
    live = board.live[key]
    poll = board.plan.tasks[key.task].poll
    assert poll is not None
    cancelling = board.status.state is RunState.CANCELLING and not readiness.spared(board, key.task)
    if live.aborted is not None or cancelling:
        stopping.stopped(board, block, slot, live).finished_at = event.finished_at
        return
    due_at = event.at + poll.every.total_seconds()
    line.leave_room(board)
    so_far = Polled(polled(live).times + 1, live.attempt)
    live.progress = json.dumps(so_far, separators=(",", ":")).encode()
    live.worker, live.due_at, live.timed = None, due_at, True
    board.move(block, slot, TaskState.WAITING, "polling").finished_at = event.finished_at
    board.decision.effects.append(SetTimer(key, "poll", due_at))
