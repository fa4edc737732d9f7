"""Waits for people and for other programs: approvals and signals. They hold no worker.

What a wait has come to so far is its progress (`Live.progress`): kept in its row, so that the next owner of the run goes on
from there. The shell keeps whom they wait for where others find it (`Await`), and tells what has come as events; one that
comes twice, or after the end, changes nothing.
"""

from __future__ import annotations

import json
from datetime import timedelta

from headrace.engine.core.decision import Await, Row, SetTimer
from headrace.engine.core.evaluation import EvaluationError
from headrace.engine.core.events import Decided, Error, SignalArrived
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import readiness
from headrace.engine.core.machine.block import Block, Live
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.scopes import Judge, rfc3339
from headrace.engine.core.planning.templates import signals
from headrace.engine.core.states import TaskState
from headrace.engine.core.waiting import Asked, Come, Listening, Sought, Vote, asked_of, listening_of
from headrace.engine.core.workflow import Approval, Json, Kind, Signal

_ENDS = {"fail": TaskState.FAILED, "skip": TaskState.SKIPPED, "continue": TaskState.SUCCEEDED}


def asked(live: Live) -> Asked:
    return asked_of(live.progress or b"")


def listening(live: Live) -> Listening:
    return listening_of(live.progress or b"")


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# -- beginning ----------------------------------------------------------------------------------------------------------


def begin(judge: Judge) -> None:
    """Rule and condition hold: ask, or listen. Raises EvaluationError."""
    board, block, slot = judge.board, judge.block, judge.slot
    work = board.plan.tasks[block.node(slot)].work
    if isinstance(work, Approval):
        title = judge.inputs().value.get("title")
        title = title if title is None or isinstance(title, str) else _text(title)
        _wait(board, block, slot, Asked(title, board.at, _expiry(board, work.expires)))
        return
    assert isinstance(work, Signal)
    sought = tuple(
        Sought(
            str(one.name),
            None if key is None else _key(judge.fill(key).value, one),
            board.at - one.lookback.total_seconds(),
        )
        for one, key in zip(
            signals(board.plan.tasks[block.node(slot)]), judge.templates.signal_keys, strict=True
        )
    )
    _wait(board, block, slot, Listening(sought, board.at, _expiry(board, work.expires)))


def _expiry(board: Board, expires: timedelta | None) -> float | None:
    return None if expires is None else board.at + expires.total_seconds()


def _key(value: Json, one: Signal) -> str:
    """A signal's key is text; numbers and booleans stand for how JSON writes them. Raises EvaluationError."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return _text(value)
    kind = {type(None): "null", list: "a list", dict: "a map"}.get(type(value), type(value).__name__)
    raise EvaluationError(one.key or "key", f"the key of signal {one.name} is {kind}, not text.")


def _text(value: Json) -> str:
    return _encode(value).decode()


def _wait(board: Board, block: Block, slot: int, state: Asked | Listening) -> None:
    key = block.key(slot)
    live = board.live[key] = Live()
    live.started_at, live.timed, live.due_at = board.at, True, state.expires_at
    live.progress = _encode(state)
    board.move(block, slot, TaskState.WAITING, board.plan.kinds[key.task].value, key, live)
    if state.expires_at is not None:
        board.decision.effects.append(SetTimer(key, "expiry", state.expires_at))
    readiness.bound(board, key, live)
    tell(board, key, live)


def tell(board: Board, key: Key, live: Live, *, known: bool = False) -> None:
    """Have it known whom the task waits for: when it begins to, when some of it has come, and by every new owner."""
    approval = board.plan.kinds[key.task] is Kind.APPROVAL
    board.decision.effects.append(Await(key, asked(live) if approval else listening(live), known))


# -- what comes ---------------------------------------------------------------------------------------------------------


def _spot(board: Board, key: Key, kind: Kind) -> tuple[Block, int, Live] | None:
    spot = board.locate(key)
    live = board.live.get(key)
    if (
        spot is None
        or live is None
        or live.progress is None
        or spot[0].state[spot[1]] != TaskState.WAITING
        or board.plan.kinds[key.task] is not kind
    ):
        return None
    return *spot, live


def decided(board: Board, event: Decided) -> bool:
    """A person agrees or rejects. One rejection decides; of those who agree each counts once."""
    found = _spot(board, event.key, Kind.APPROVAL)
    if found is None:
        return False
    block, slot, live = found
    work = board.plan.tasks[event.key.task].work
    assert isinstance(work, Approval)
    if not event.approved:
        said = f": {event.comment}" if event.comment else "."
        why = Error("approval", f"{event.by} rejected it{said}", reason="rejected", retryable=False)
        answer = _answer(False, event.by, event.at, event.form, event.comment)
        _end(board, block, slot, work.on_reject, "rejected", why, answer).by = event.by
        return True
    so_far = asked(live)
    if any(vote.by == event.by for vote in so_far.votes):
        return False
    votes = (*so_far.votes, Vote(event.by, event.at, event.form, event.comment))
    if len(votes) < work.approvers:
        live.progress = _encode(so_far._replace(votes=votes))
        _kept(board, block, slot, live)
        tell(board, event.key, live)
        return True
    by = ", ".join(vote.by for vote in votes)
    answer = _answer(True, by, event.at, event.form, event.comment)
    board.finish(block, slot, TaskState.SUCCEEDED, "approved", output=_encode(answer)).by = event.by
    return True


def _answer(approved: bool, by: str | None, at: float, form: Json, comment: str | None) -> dict[str, Json]:
    """What an approval gives (docs/language.md, section 4)."""
    told: dict[str, Json] = {"approved": approved, "by": by, "at": rfc3339(at), "form": form}
    return {**told, "comment": comment, "expired": by is None}


def arrived(board: Board, event: SignalArrived) -> bool:
    """A signal has come. Where a condition is to be looked at first, that is queued."""
    found = _spot(board, event.key, Kind.SIGNAL)
    if found is None:
        return False
    block, slot, live = found
    sought = signals(board.plan.tasks[event.key.task])
    if event.place >= len(sought) or _has_come(listening(live), event):
        return False
    if sought[event.place].match is not None:
        readiness.judge(board, "match", block, slot, event)
    else:
        take(board, block, slot, event)
    return True


def _has_come(so_far: Listening, event: SignalArrived) -> bool:
    return any(come.place == event.place for come in so_far.come)


def match(judge: Judge, event: SignalArrived) -> None:
    """Take the signal if it is one that was meant."""
    board, block, slot = judge.board, judge.block, judge.slot
    found = _spot(board, event.key, Kind.SIGNAL)
    if found is None or _has_come(listening(found[2]), event):
        return
    about: dict[str, Json] = {
        "id": event.signal,
        "name": event.name,
        "key": event.sent_key,
        "at": rfc3339(event.sent_at),
        "by": event.by,
    }
    condition = judge.templates.signal_matches[event.place]
    try:
        meant = judge.condition(condition, payload=event.payload, signal=about)
    except EvaluationError:
        meant = False  # anybody may send anything: what cannot be judged is not what was meant
    if meant:
        take(board, block, slot, event)
    else:
        board.decision.stale += 1


def take(board: Board, block: Block, slot: int, event: SignalArrived) -> None:
    """The signal counts: the task has what it waited for, or waits for the rest."""
    key = event.key
    live = board.live[key]
    so_far = listening(live)
    work = board.plan.tasks[key.task].work
    assert isinstance(work, Signal)
    come = (*so_far.come, Come(event.place, event.signal, event.payload))
    if work.all and len(come) < len(so_far.sought):
        live.progress = _encode(so_far._replace(come=come))
        _kept(board, block, slot, live)
        return
    output: Json = event.payload
    if work.any:
        output = {"name": event.name, "key": event.sent_key, "payload": event.payload}
    elif work.all:
        output = [one.payload for one in sorted(come, key=lambda one: one.place)]
    board.finish(block, slot, TaskState.SUCCEEDED, "signal", output=_encode(output))


def _kept(board: Board, block: Block, slot: int, live: Live) -> None:
    """Have the row written as it is now: it still waits, and has come further."""
    key = block.key(slot)
    row = board.row(key)
    row.state, row.reason = TaskState.WAITING, board.plan.kinds[key.task].value
    row.started_at, row.due_at, row.output = live.started_at, live.due_at, live.progress


# -- ends ---------------------------------------------------------------------------------------------------------------


def expired(board: Board, block: Block, slot: int) -> bool:
    """Nobody has come in time."""
    node = block.node(slot)
    work = board.plan.tasks[node].work
    if not isinstance(work, Approval | Signal):
        return False
    what = "Nobody decided" if isinstance(work, Approval) else "The signal did not come"
    why = Error("expired", f"{what} in time.", reason="expired", retryable=False)
    answer = _answer(False, None, board.at, None, None) if isinstance(work, Approval) else None
    _end(board, block, slot, work.on_expiry, "expired", why, answer)
    return True


def _end(
    board: Board, block: Block, slot: int, how: str, reason: str, why: Error, answer: dict[str, Json] | None
) -> Row:
    state = _ENDS[how]
    output = _encode(answer) if how == "continue" and answer is not None else None
    return board.finish(
        block, slot, state, reason, output=output, error=why if state is TaskState.FAILED else None
    )
