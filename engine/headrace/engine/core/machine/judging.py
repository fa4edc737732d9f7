"""What follows from the value of each expression.

All expressions that wait are judged together, so one request to the store serves them all. A judgement is
(what, block, slot, extra); its slot is marked JUDGING until it has been judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from datetime import datetime

from headrace.engine.core.canonical import canonical_json
from headrace.engine.core.decision import DeadLetter, Need, Row
from headrace.engine.core.evaluation import (
    Artifact,
    EvaluationError,
    Evaluator,
    Filled,
    Hole,
)
from headrace.engine.core.events import AttemptFailed, AttemptSucceeded, Picked, SignalArrived
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import attempts, branching, ending, maps, polls, readiness, waits
from headrace.engine.core.machine.block import JUDGING, Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.needs import collect, run_output
from headrace.engine.core.machine.scopes import Judge, error_scope
from headrace.engine.core.run import Answers
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json, RetryRule

_DECIDERS = ("gate", "switch")
"""Judged before all else that is due, so that what they skip is not looked at any more."""


def judge_all(board: Board, evaluator: Evaluator) -> Generator[Need, Answers, None]:
    """Judge everything that waits now. Yields once when values are needed that are not at hand."""
    batch = list(board.judgements)
    board.judgements.clear()
    outputs: set[Key] = set()
    load: set[Key] = set()
    inputs: set[Key] = set()
    cache: set[str] = set()
    contents: set[Artifact] = set()
    for judgement in batch:
        collect(board, judgement, outputs, load, inputs, cache, contents)
    answers = Answers()
    if outputs or inputs or cache or contents:
        answers = yield Need(
            frozenset(outputs),
            frozenset(load),
            frozenset(inputs),
            frozenset(cache),
            contents=frozenset(contents),
        )
    batch.sort(key=lambda judgement: judgement[0] not in _DECIDERS)
    for what, block, slot, extra in batch:
        if slot >= 0:
            block.mark[slot] &= ~JUDGING
        JUDGES[what](Judge(board, evaluator, answers, block, slot), extra)


# -- what follows from each kind of judgement ---------------------------------------------------------------------------


def _when(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    board, block, slot = judge.board, judge.block, judge.slot
    try:
        holds = judge.condition(judge.templates.when)
    except EvaluationError as error:
        judge.fail(error)
        return
    if not holds:
        board.finish(block, slot, TaskState.SKIPPED, "when")
    else:
        readiness.act(board, block, slot, block.node(slot))


def _map(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        value = judge.fill(judge.templates.map)
    except EvaluationError as error:
        judge.fail(error)
        return
    maps.expand(judge.board, judge.block, judge.slot, value.value)


def _gate(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        opened = judge.condition(judge.templates.gate)
    except EvaluationError as error:
        judge.fail(error)
        return
    branching.gate(judge.board, judge.block, judge.slot, opened)


def _switch(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        for case, then in judge.templates.cases:
            if judge.condition(case):
                chosen = then
                break
        else:
            chosen = judge.board.plan.tasks[judge.block.node(judge.slot)].work.default  # type: ignore[union-attr]
    except EvaluationError as error:
        judge.fail(error)
        return
    branching.switch(judge.board, judge.block, judge.slot, list(chosen))


def _sleep(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    board, block, slot = judge.board, judge.block, judge.slot
    try:
        text = judge.fill(judge.templates.sleep_until).value
        until = datetime.fromisoformat(text.replace("Z", "+00:00")) if isinstance(text, str) else None
    except EvaluationError as error:
        judge.fail(error)
        return
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        judge.fail(
            EvaluationError(
                "sleep.until", f"{text!r} is no RFC 3339 time with a zone, like 2026-01-31T06:00:00Z."
            )
        )
        return
    readiness.wait_until(board, block, slot, until.timestamp())


def _child(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        filled = judge.inputs()
    except EvaluationError as error:
        judge.fail(error)
        return
    readiness.start_child(judge.board, judge.block, judge.slot, filled)


def _wait(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        waits.begin(judge)
    except EvaluationError as error:
        judge.fail(error)


def _match(judge: Judge, extra: object) -> None:
    assert isinstance(extra, SignalArrived)
    waits.match(judge, extra)


def _inputs(judge: Judge, extra: object) -> None:
    assert isinstance(extra, Picked)
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        attempts.unpicked(board, block, slot)
        return
    try:
        filled = judge.inputs()
        cache = board.plan.tasks[block.node(slot)].cache
        if cache is not None:
            key = filled if cache.key is None else judge.fill(judge.templates.cache_key)
            readiness.judge(
                board, "cache", block, slot, (extra, filled, cache_key(board, block.node(slot), key))
            )
            return
    except EvaluationError as error:
        attempts.unpicked(board, block, slot)
        judge.fail(error)
        return
    keep = not judge.templates.inputs.constant or board.replacement(extra.key) is not None
    attempts.dispatch(board, block, slot, extra, filled, keep=keep)


def cache_key(board: Board, node: int, key: Filled) -> str:
    """SHA-256 over the work itself, the cache's version and the key (by default the inputs)."""
    task = board.plan.tasks[node]
    assert task.cache is not None
    holes = [[list(hole.path), [str(part) for part in hole.parts]] for hole in key.holes]
    what = [board.plan.kinds[node].value, repr(task.work), task.cache.version, key.value, holes]
    return hashlib.sha256(canonical_json(what)).hexdigest()


def _cache(judge: Judge, extra: object) -> None:
    assert isinstance(extra, tuple)
    event, filled, key = extra
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        attempts.unpicked(board, block, slot)
        return
    if key in judge.answers.cache:
        attempts.unpicked(board, block, slot)
        hit = judge.answers.cache[key]
        if isinstance(hit, Artifact):
            row = finish_with(board, block, slot, hit, "cached")
        else:
            row = board.finish(block, slot, TaskState.SUCCEEDED, "cached", output=hit)
        row.inputs = filled
        return
    attempts.dispatch(board, block, slot, event, filled, keep=True)
    board.live[block.key(slot)].cache_key = key


def _again(judge: Judge, extra: object) -> None:
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        if isinstance(extra, Picked):
            attempts.unpicked(board, block, slot)
        return
    stored = judge.answers.values.get(block.key(slot))
    filled = stored.inputs if stored is not None and stored.inputs is not None else None
    if filled is None:  # judged, but lost before it was stored: judge again
        if isinstance(extra, Picked):
            readiness.judge(board, "inputs", block, slot, extra)
            return
        filled = Filled({})
    if isinstance(extra, Picked):
        attempts.dispatch(board, block, slot, extra, filled, keep=False)
    else:
        attempts.send_again(board, block, slot, filled)


def _retry(judge: Judge, extra: object) -> None:
    assert isinstance(extra, tuple)
    event, cause = extra
    assert isinstance(event, AttemptFailed)
    board = judge.board
    live = board.live.get(event.key)
    if live is None or judge.block.state[judge.slot] not in (TaskState.DISPATCHED, TaskState.RUNNING):
        return
    last, board.cause = board.cause, cause  # others came after it in the batch, and did not do this
    attempts.settle_failure(board, judge.block, judge.slot, event, _matching(judge, event))
    board.cause = last


def _matching(judge: Judge, event: AttemptFailed) -> RetryRule | None:
    """The first rule that the failure matches."""
    rules = judge.board.plan.tasks[event.key.task].retry.rules
    scope = error_scope(event.error, polls.tries(judge.board, event.key, event.attempt))
    for rule, expression in zip(rules, judge.templates.retry, strict=True):
        try:
            if expression is None or judge.condition(expression, error=scope):
                return rule
        except EvaluationError:
            pass
    return None


def _poll(judge: Judge, extra: object) -> None:
    """An attempt has succeeded: does what it gave end the poll?"""
    assert isinstance(extra, tuple)
    event, cause = extra
    assert isinstance(event, AttemptSucceeded)
    board, block, slot = judge.board, judge.block, judge.slot
    if attempts.current(board, event.key, event.attempt, event.epoch, event.n) is None:
        return  # something else ended it
    last, board.cause = board.cause, cause  # others came after it in the batch, and did not do this
    try:
        if judge.condition(judge.templates.poll, output=_given(judge, event)):
            attempts.succeeded(board, event, judged=True)
        else:
            attempts.release_slots(board, event.key)
            polls.wait(board, block, slot, event)
    except EvaluationError as wrong:
        attempts.release_slots(board, event.key)
        error = judge.fail(wrong)
        board.row(event.key).finished_at = event.finished_at
        board.decision.effects.append(DeadLetter(event.key, event.attempt, error))
    board.cause = last


def _given(judge: Judge, event: AttemptSucceeded) -> Json | Artifact:
    """The output of an attempt; one that cannot be loaded stays a reference, which no condition can read."""
    if event.artifact is not None:
        return judge.answers.contents.get(event.artifact.digest, event.artifact)
    return None if event.output is None else json.loads(event.output)


def _exit(judge: Judge, _: object) -> None:
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] != TaskState.WAITING:
        return
    try:
        output, artifact = result_of(judge.fill(judge.templates.output))
    except EvaluationError as error:
        judge.fail(error)
        return
    if artifact is not None:
        finish_with(board, block, slot, artifact)
    else:
        board.finish(block, slot, TaskState.SUCCEEDED, output=output)


def finish_with(board: Board, block: Block, slot: int, artifact: Artifact, reason: str | None = None) -> Row:
    """It succeeded, and its output lies in the artifact store."""
    row = board.finish(block, slot, TaskState.SUCCEEDED, reason)
    row.artifact = artifact
    if board.static.read[block.node(slot)]:
        board.fresh[block.key(slot)] = artifact
    return row


def result_of(filled: Filled) -> tuple[bytes | None, Artifact | None]:
    """A filled output: its JSON text, or the reference that it is. Raises EvaluationError."""
    match filled.holes:
        case ():
            value = filled.value
            if value is None:
                return None, None
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), None
        case (Hole((), (Artifact() as artifact,)),):
            return None, artifact
    raise EvaluationError("output", "an output cannot hold a secret, or a value too large to be loaded.")


def _output(judge: Judge, _: object) -> None:
    try:
        output, artifact = result_of(judge.fill(run_output(judge.board)))
    except EvaluationError as error:
        ending.close(judge.board, wrong=str(error))
        return
    ending.close(judge.board, output, artifact)


JUDGES: dict[str, Callable[[Judge, object], None]] = {
    "when": _when,
    "map": _map,
    "gate": _gate,
    "switch": _switch,
    "sleep": _sleep,
    "child": _child,
    "wait": _wait,
    "match": _match,
    "inputs": _inputs,
    "cache": _cache,
    "again": _again,
    "retry": _retry,
    "poll": _poll,
    "exit": _exit,
    "output": _output,
}
