"""Attempts as history tells them: given, taken back, lost, stopped from outside, and read on from where one was."""

from __future__ import annotations

from typing import Any

from headrace.api.showing.attempts import Attempts
from headrace.engine.core import events as e
from headrace.engine.core.decision import Decision, Transition
from headrace.engine.core.keys import Key
from headrace.engine.core.states import TaskState as S
from headrace.engine.ports.store import HistoryRow
from headrace.engine.shell import history

A, B = Key(0), Key(1)
LOST = e.Error("exit", "it broke")


def row(seq: int, events: list[Any], *moves: tuple[int, Key, S, S, int], generation: int = 1) -> HistoryRow:
    """A row in which event number `moves[i][0]` moved a task run."""
    transitions = [Transition(at, key, int(a), int(b), None, attempt) for at, key, a, b, attempt in moves]
    decision = Decision(events=events, transitions=transitions, generation=generation)
    return HistoryRow(1, seq, float(seq), history.encode(decision, [len(events)]))


def told(attempts: Attempts, key: Key) -> list[tuple[Any, ...]]:
    return [
        (one.generation, one.attempt, one.state, one.worker, one.started_at, one.finished_at)
        for one in attempts.of(key)
    ]


def test_an_attempt_that_fails_and_the_one_after_it() -> None:
    attempts = Attempts()
    attempts.read(
        [
            row(1, [e.Picked(1.0, A, "w1", 1, 1)], (0, A, S.PENDING, S.DISPATCHED, 1)),
            row(2, [e.AttemptStarted(2.0, A, 1, 1, 1)], (0, A, S.DISPATCHED, S.RUNNING, 1)),
        ]
    )
    assert told(attempts, A) == [(1, 1, "running", "w1", 2.0, None)]
    failed = e.AttemptFailed(3.5, A, 1, 1, 1, 2.1, 3.0, LOST, None, 0.5)
    attempts.read(
        [
            row(3, [failed], (0, A, S.RUNNING, S.RETRYING, 1)),
            row(4, [e.Picked(4.0, A, "w2", 1, 2)], (0, A, S.RETRYING, S.DISPATCHED, 2)),
            row(
                5,
                [failed, e.AttemptSucceeded(6.0, A, 2, 1, 2, 5.0, 5.5, None)],
                (1, A, S.DISPATCHED, S.SUCCEEDED, 2),
            ),
        ]
    )
    assert told(attempts, A) == [
        (1, 1, "failed", "w1", 2.1, 3.0),
        (1, 2, "succeeded", "w2", 5.0, 5.5),
    ]
    assert attempts.of(A)[0].error == LOST
    assert (attempts.seq, attempts.count, attempts.of(B)) == (5, 2, [])


def test_what_was_picked_together_knows_its_own_worker() -> None:
    attempts = Attempts()
    picked = [e.Picked(1.0, A, "w1", 1, 1), e.Picked(1.0, B, "w2", 1, 2)]
    moves = ((1, A, S.PENDING, S.DISPATCHED, 1), (1, B, S.PENDING, S.DISPATCHED, 1))
    attempts.read([row(1, picked, *moves), row(2, [e.Redelivered(2.0, A, "w3", 1, 3)])])
    assert (told(attempts, A)[0][3], told(attempts, B)[0][3]) == ("w3", "w2")


def test_an_attempt_that_is_handed_back_was_none() -> None:
    attempts = Attempts()
    attempts.read(
        [
            row(1, [e.Picked(1.0, A, "w1", 1, 1)], (0, A, S.PENDING, S.DISPATCHED, 1)),
            row(2, [e.HandedBack(2.0, A, 1, 1, 1)], (0, A, S.DISPATCHED, S.QUEUED, 1)),
        ]
    )
    assert (attempts.of(A), attempts.count) == ([], 0)


def test_lost_with_its_worker_or_stopped_by_somebody() -> None:
    attempts = Attempts()
    begun = [e.Picked(1.0, A, "w1", 1, 1), e.Picked(1.0, B, "w1", 1, 2)]
    attempts.read(
        [
            row(1, begun, (0, A, S.PENDING, S.DISPATCHED, 1), (1, B, S.PENDING, S.DISPATCHED, 1)),
            row(2, [e.WorkerLost(9.0, A, 1, 0.5)], (0, A, S.DISPATCHED, S.RETRYING, 1)),
            row(3, [e.CancelAsked(10.0, "ann", True)], (0, B, S.DISPATCHED, S.CANCELLED, 1)),
            row(4, [e.AttemptSucceeded(11.0, B, 1, 1, 2, 2.0, 3.0, None)]),  # late: it moved nothing
        ]
    )
    assert told(attempts, A) == [(1, 1, "lost", "w1", None, 9.0)]
    assert told(attempts, B) == [(1, 1, "cancelled", "w1", None, 10.0)]


def test_a_rerun_begins_another_generation() -> None:
    attempts = Attempts()
    first = row(1, [e.Picked(1.0, A, "w1", 1, 1)], (0, A, S.PENDING, S.DISPATCHED, 1))
    done = row(2, [e.AttemptSucceeded(2.0, A, 1, 1, 1, 1.1, 1.9, None)], (0, A, S.DISPATCHED, S.SUCCEEDED, 1))
    again = row(3, [e.Picked(5.0, A, "w2", 2, 1)], (0, A, S.PENDING, S.DISPATCHED, 1), generation=2)
    attempts.read([first, done, again])
    assert [one[:3] for one in told(attempts, A)] == [(1, 1, "succeeded"), (2, 1, "dispatched")]


def test_a_poll_is_an_attempt_that_succeeded() -> None:
    attempts = Attempts()
    attempts.read(
        [
            row(1, [e.Picked(1.0, A, "w1", 1, 1)], (0, A, S.PENDING, S.DISPATCHED, 1)),
            row(
                2,
                [e.AttemptSucceeded(3.0, A, 1, 1, 1, 2.0, 2.5, b"1")],
                (0, A, S.DISPATCHED, S.WAITING, 1),
            ),
            row(3, [e.TimerFired(60.0, A, "poll", 60.0), e.Picked(60.0, A, "w2", 1, 2)]),
            row(4, [e.Continued(61.0)], (0, A, S.WAITING, S.DISPATCHED, 2)),
        ]
    )
    assert told(attempts, A) == [
        (1, 1, "succeeded", "w1", 2.0, 2.5),
        (1, 2, "dispatched", "w2", None, None),
    ]
