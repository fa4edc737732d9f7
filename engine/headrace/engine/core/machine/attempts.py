"""Attempts: picked from the line, dispatched, reported on, retried. A report counts only when its attempt and
delivery are the current ones and the task run is in flight; any other is stale and changes nothing."""

from __future__ import annotations

from headrace.engine.core.decision import DeadLetter, ReleaseSlots, Row, Send, SetTimer, StoreCache
from headrace.engine.core.evaluation import Filled
from headrace.engine.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Error,
    HandedBack,
    Picked,
    Redelivered,
    SlotsGranted,
    WorkerLost,
)
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import branching, line, polls, readiness, stopping
from headrace.engine.core.machine.block import JUDGING, READY, Block, Live
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.static import templates_of
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import PythonCall, Retry, RetryRule

_IN_FLIGHT = bytes((TaskState.DISPATCHED, TaskState.RUNNING))
_MOST_RETRY_AFTER = 3600.0
_NONE = Filled({})
_new = tuple.__new__


# plain integers, as the board holds them; to look a member up in its enumeration takes longer than to compare it
_SUCCEEDED, _DISPATCHED = int(TaskState.SUCCEEDED), int(TaskState.DISPATCHED)
_BETWEEN = readiness.BETWEEN


def constant_inputs(board: Board, node: int) -> Filled | None:
    """The inputs of a task whose templates hold no expression: the same for every run, never stored. None: they are judged."""
    known = board.static.inputs
    try:
        return known[node]
    except KeyError:
        return known.setdefault(node, _constant_inputs(board.plan, node))


def _constant_inputs(plan: Plan, node: int) -> Filled | None:
    task = plan.tasks[node]
    if not task.with_ and not task.env and isinstance(task.work, PythonCall):
        return _NONE
    inputs = templates_of(plan, node).inputs
    return Filled(inputs.value) if inputs.constant else None


def picked(board: Board, event: Picked) -> bool:
    """The line gave a ready task run to a worker. False when it is no longer ready."""
    key = event.key
    spot = board.locate(key)
    if spot is None:
        return False
    block, slot = spot
    if not block.mark[slot] & READY:
        return False
    line.picked(board, block, slot)
    live = board.live.get(key)
    if not board.replaced or board.replacement(key) is None:
        constant = constant_inputs(board, key.task)
        if constant is not None and board.plan.tasks[key.task].cache is None:
            _dispatch(board, block, slot, event, constant, live)
            return True
    readiness.judge(board, "again" if live is not None and live.attempt else "inputs", block, slot, event)
    return True


def unpicked(board: Board, block: Block, slot: int) -> None:
    """It was picked but never dispatched: it ends without an attempt."""
    release_slots(board, block.key(slot))
    line.leave_room(board)


def dispatch(board: Board, block: Block, slot: int, event: Picked, inputs: Filled, *, keep: bool) -> None:
    """An attempt is sent. A task run that was handed back repeats its attempt; any other begins the next."""
    row = _dispatch(board, block, slot, event, inputs, board.live.get(event.key))
    if keep:
        row.inputs = inputs


def _dispatch(board: Board, block: Block, slot: int, event: Picked, inputs: Filled, live: Live | None) -> Row:
    _, key, worker, epoch, n = event
    if live is None:
        live = board.live[key] = Live()
    if live.attempt == 0 or block.state[slot] in _BETWEEN:
        live.attempt += 1
    if board.since:
        since = board.since.pop(key, None)
        if since is not None:
            live.ready_at, live.timed = since, True
    live.epoch, live.n, live.worker = epoch, n, worker
    live.started_at = live.due_at = None
    row = board.move(block, slot, _DISPATCHED, None, key, live)
    board.decision.effects.append(_new(Send, (key, live.attempt, epoch, n, worker, inputs)))
    return row


def current(board: Board, key: Key, attempt: int, epoch: int, n: int) -> tuple[Block, int, Live] | None:
    """The slot and its Live when a report is current; None when it is stale, and while an expression is judged on another."""
    live = board.live.get(key)
    if live is None or live.attempt != attempt or live.n != n or live.epoch != epoch:
        return None
    spot = board.locate(key)
    if spot is None:
        return None
    block, slot = spot
    if block.state[slot] not in _IN_FLIGHT or block.mark[slot] & JUDGING:
        return None
    return block, slot, live


def started(board: Board, event: AttemptStarted) -> bool:
    found = current(board, event.key, event.attempt, event.epoch, event.n)
    if found is None or found[0].state[found[1]] != TaskState.DISPATCHED:
        return False
    block, slot, live = found
    live.started_at = event.at
    board.move(block, slot, TaskState.RUNNING)
    if live.aborted is not None:
        stopping.keep(board, block, slot)
    return True


def succeeded(board: Board, event: AttemptSucceeded, *, judged: bool = False) -> bool:
    """`judged`: the condition of its poll has been looked at, and holds."""
    at, key, attempt, epoch, n, started_at, finished_at, output, artifact = event
    found = current(board, key, attempt, epoch, n)
    if found is None:
        return False
    block, slot, live = found
    live.started_at = started_at
    static = board.static
    if not static.lone[key.task]:
        if not judged and board.plan.tasks[key.task].poll is not None:
            stopping.keep(board, block, slot)  # and with it what it gave, which may be no task run's output
            readiness.judge(board, "poll", block, slot, (event, board.cause))
            return True
        release_slots(board, key)
        if static.switch[key.task]:
            row = _choose(board, block, slot, output)
            row.finished_at = finished_at
            if row.state is TaskState.FAILED and row.error is not None:
                board.decision.effects.append(DeadLetter(key, attempt, row.error))
            return True
        cache = board.plan.tasks[key.task].cache
        if cache is not None and live.cache_key is not None:
            expires = at + cache.ttl.total_seconds()
            board.decision.effects.append(StoreCache(live.cache_key, output, artifact, expires))
    row = board.finish(block, slot, _SUCCEEDED, output=output, key=key, live=live)
    row.finished_at = finished_at
    if artifact is not None:
        row.artifact = artifact
        if static.read[key.task]:
            board.fresh[key] = artifact
    return True


def _choose(board: Board, block: Block, slot: int, output: bytes | None) -> Row:
    """A switch's function has returned what it chooses. What is no choice has failed for good, as if it had raised."""
    chosen = branching.chosen_of(output)
    if chosen is not None:
        return branching.switch(board, block, slot, chosen)
    why = "A switch function returns an id or a list of ids."
    error = Error("switch", why, reason="invalid_output", retryable=False)
    return board.finish(block, slot, TaskState.FAILED, "invalid_output", error=error)


def skipped(board: Board, event: AttemptSkipped) -> bool:
    found = current(board, event.key, event.attempt, event.epoch, event.n)
    if found is None:
        return False
    block, slot, live = found
    live.started_at = event.started_at
    release_slots(board, event.key)
    error = Error("Skip", event.message) if event.message else None
    row = board.finish(block, slot, TaskState.SKIPPED, "task_skipped", error=error)
    row.finished_at = event.finished_at
    return True


def cancelled(board: Board, event: AttemptCancelled) -> bool:
    found = current(board, event.key, event.attempt, event.epoch, event.n)
    if found is None:
        return False
    block, slot, live = found
    if live.aborted is None:  # the worker gave it up by itself: as good as lost
        error = Error("lost", "The worker stopped before the attempt had ended.", reason="lease_lost")
        return failed(
            board,
            AttemptFailed(
                event.at,
                event.key,
                event.attempt,
                event.epoch,
                event.n,
                event.started_at,
                event.finished_at,
                error,
                None,
                0.5,
            ),
        )
    live.started_at = event.started_at
    release_slots(board, event.key)
    stopping.stopped(board, block, slot, live).finished_at = event.finished_at
    return True


def failed(board: Board, event: AttemptFailed) -> bool:
    found = current(board, event.key, event.attempt, event.epoch, event.n)
    if found is None:
        return False
    block, slot, live = found
    if event.started_at is not None:
        live.started_at = event.started_at
    if board.plan.tasks[event.key.task].retry.rules:
        readiness.judge(board, "retry", block, slot, (event, board.cause))
    else:
        settle_failure(board, block, slot, event, None)
    return True


def settle_failure(
    board: Board, block: Block, slot: int, event: AttemptFailed, rule: RetryRule | None
) -> None:
    """Retry, skip or fail for good, by the first matching rule and the policy."""
    key, error = event.key, event.error
    live = board.live[key]
    task = board.plan.tasks[key.task]
    release_slots(board, key)
    cancelling = board.status.state is RunState.CANCELLING and not readiness.spared(board, key.task)
    told = live.aborted is not None or cancelling
    if rule is not None and rule.then == "skip" and not told:
        row = board.finish(block, slot, TaskState.SKIPPED, "retry_rule", error=error)
        row.finished_at = event.finished_at
        return
    tries = polls.tries(board, key, live.attempt)
    left = error.retryable and tries < task.retry.attempts and (rule is None or rule.then != "fail")
    if told or not left:
        # It failed by itself before it had heard: where only its time stands between it and another try, that is why it ends.
        late = left and live.aborted in stopping.TIMED_OUT
        if told and (late or error.reason == "lease_lost"):
            stopping.stopped(board, block, slot, live, error).finished_at = event.finished_at
            return
        attempt = live.attempt
        row = board.finish(block, slot, TaskState.FAILED, error.reason or "task_failed", error=error)
        row.finished_at = event.finished_at
        board.decision.effects.append(DeadLetter(key, attempt, error))
        return
    due_at = event.at + delay(task.retry, tries, rule, event.retry_after, event.draw)
    line.leave_room(board)
    live.worker, live.due_at, live.timed = None, due_at, True
    row = board.move(block, slot, TaskState.RETRYING, error.reason or "task_failed")
    row.error = error
    row.finished_at = event.finished_at
    board.decision.effects.append(SetTimer(key, "retry", due_at))


def delay(
    retry: Retry, attempt: int, rule: RetryRule | None, retry_after: float | None, draw: float
) -> float:
    """Seconds until the next attempt (language.md, section 8). `draw` in [0, 1)."""
    if rule is not None and rule.delay is not None:
        wait = rule.delay.total_seconds()
    else:
        most = retry.max_delay.total_seconds()
        try:
            wait = min(most, retry.delay.total_seconds() * retry.factor ** (attempt - 1))
        except OverflowError:
            wait = most
        if retry.jitter == "full":
            wait *= draw
    if retry_after is not None:
        wait = max(wait, min(retry_after, _MOST_RETRY_AFTER))
    return wait


def lost(board: Board, event: WorkerLost) -> bool:
    """Nothing proves that the attempt is alive: it has failed, with a retry where the policy has one left."""
    live = board.live.get(event.key)
    spot = board.locate(event.key)
    if (
        live is None
        or live.attempt != event.attempt
        or spot is None
        or spot[0].state[spot[1]] not in _IN_FLIGHT
    ):
        return False
    error = Error("lost", f"Worker {live.worker} was lost while it held the attempt.", reason="lease_lost")
    return failed(
        board,
        AttemptFailed(
            event.at,
            event.key,
            event.attempt,
            live.epoch,
            live.n,
            live.started_at,
            event.at,
            error,
            None,
            event.draw,
        ),
    )


def handed_back(board: Board, event: HandedBack) -> bool:
    found = current(board, event.key, event.attempt, event.epoch, event.n)
    if found is None or found[0].state[found[1]] != TaskState.DISPATCHED:
        return False
    block, slot, live = found
    line.leave_room(board)
    live.worker = None
    if live.aborted is not None:
        release_slots(board, event.key)
        stopping.stopped(board, block, slot, live)
        return True
    board.move(block, slot, TaskState.QUEUED, "handed_back")
    around: Block | None = block
    while around is not None:  # it has not started after all: fail_fast may concern it
        if around.stopped:
            around.stopped = False
            board.releases.append(around)
        around = around.parent
    line.ready(board, block, slot)
    return True


def redelivered(board: Board, event: Redelivered) -> bool:
    """The same attempt again, with a new delivery; or its end, where the task says `on_lost: fail`."""
    live = board.live.get(event.key)
    spot = board.locate(event.key)
    if live is None or spot is None or spot[0].state[spot[1]] != TaskState.DISPATCHED:
        return False
    block, slot = spot
    if block.mark[slot] & JUDGING:
        return False  # its failure came in the same batch
    if board.plan.tasks[event.key.task].on_lost == "fail":
        return lost(board, WorkerLost(event.at, event.key, live.attempt, 0.5))
    live.epoch, live.n, live.worker = event.epoch, event.n, event.worker
    constant = constant_inputs(board, event.key.task)
    if constant is not None and board.replacement(event.key) is None:
        send_again(board, block, slot, constant)
    else:
        board.judgements.append(("again", block, slot, None))
    return True


def send_again(board: Board, block: Block, slot: int, inputs: Filled) -> None:
    live = stopping.keep(board, block, slot)
    key = block.key(slot)
    board.decision.effects.append(Send(key, live.attempt, live.epoch, live.n, live.worker or "", inputs))


def granted(board: Board, event: SlotsGranted) -> bool:
    spot = board.locate(event.key)
    if spot is None or spot[0].state[spot[1]] != TaskState.QUEUED:
        return False
    live = board.live.get(event.key)
    if event.attempt is not None and live is not None and event.attempt != live.attempt:
        return False  # told twice, and what was held has been given back since
    line.ready(board, *spot)
    return True


def release_slots(board: Board, key: Key) -> None:
    pool = board.plan.tasks[key.task].pool
    if pool is not None and board.grants:
        board.decision.effects.append(ReleaseSlots(key, pool.name, pool.cost))
