"""The history checker is itself checked: of a run that went well it says nothing, and each damage to it is told by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core.decision import Transition
from headrace.engine.core.events import (
    AttemptFailed,
    AttemptSucceeded,
    CancelAsked,
    Error,
    Event,
    Picked,
    Started,
    TimerFired,
)
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Poll, Retry
from headrace.engine.ports.messages import Report
from headrace.engine.ports.store import RunRow, TaskRow
from headrace.engine.shell.history import Recorded
from headrace.testing.simulation.shapes import planned
from tests.chaos.checking import check
from tests.chaos.evidence import Effect, Entry, Evidence, Letter, Sent, Told
from tests.support.scenes import body, flow

PLAN = planned(
    1, flow(body("a", retry=Retry(2, timedelta(0))), body("b", "a"), body("c", "b"), name="w1")
).plan
A, B, C = (Key(PLAN.index[name]) for name in "abc")
P, D, Y, S, F, U = (
    TaskState.PENDING,
    TaskState.DISPATCHED,
    TaskState.RETRYING,
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
)
ERROR = Error("ValueError", "scripted")
RUN = "0199-run"


def entry(seq: int, event: Event, *moves: tuple[Key, int, int, int], also: tuple[Event, ...] = ()) -> Entry:
    """One batch: an event, and what it moved."""
    transitions = [Transition(0, key, before, after, None, attempt) for key, before, after, attempt in moves]
    return Entry(seq, float(seq), Recorded(1, [event, *also], [1], transitions, None, {}, []))


def row(key: Key, state: int, attempt: int, reason: str | None, output: bytes | None = None) -> TaskRow:
    times = (1.0, 1.0, 2.0, None)
    return TaskRow(
        7, 1, *key, state, reason, attempt, 1, attempt, "w0", *times, output, *(None,) * 5, by=None
    )


def picked(key: Key, n: int, epoch: int = 1) -> Picked:
    return Picked(1.0, key, "w0", epoch, n)


def succeeded(key: Key, attempt: int) -> AttemptSucceeded:
    return AttemptSucceeded(2.0, key, attempt, 1, attempt, 1.0, 2.0, b"1")


def failed(key: Key, attempt: int) -> AttemptFailed:
    return AttemptFailed(2.0, key, attempt, 1, attempt, 1.0, 2.0, ERROR, None, 0.5)


def report(key: Key, attempt: int, kind: str) -> Report:
    return Report(7, 1, *key, attempt, 1, attempt, kind)


def effects(name: str, attempt: int, kind: str, pid: int = 1) -> list[Effect]:
    of = f"{RUN}/1/{name}", attempt, pid
    return [Effect(1.0, *of, "begin"), Effect(2.0, *of, kind, "1" if kind == "succeeded" else None)]


HISTORY = (
    entry(1, Started(1.0), also=(picked(A, 1),)),
    entry(2, picked(A, 1), (A, P, D, 1)),
    entry(3, failed(A, 1), (A, D, Y, 1)),
    entry(4, TimerFired(3.0, A, "retry", 3.0), (A, Y, D, 2)),
    entry(5, succeeded(A, 2), (A, D, S, 2)),
    entry(6, picked(B, 1), (B, P, D, 1)),
    entry(7, failed(B, 1), (B, D, F, 1), (C, P, U, 0)),
    entry(8, CancelAsked(9.0, "command 0")),
)
_GIVEN: tuple[Any, ...] = (7, RUN, "default", "w1", 1, PLAN.hash, 0, RunState.FAILED, None, 1, False, b"{}")
_MORE: tuple[Any, ...] = (b"{}", None, None, None, 0, "normal", 1.0, 1.0, 1.0, 9.0, *(None,) * 5, 8)
ROW = RunRow(*_GIVEN, *_MORE)
TOLD = Told(
    ROW,
    PLAN,
    (row(A, S, 2, None, b"1"), row(B, F, 1, "task_failed"), row(C, U, 0, "upstream_failed")),
    HISTORY,
)
SOUND = Evidence(
    accepted={"request 0": 7},
    runs={7: TOLD},
    epochs={0: 1},
    effects=[*effects("a", 1, "failed"), *effects("a", 2, "succeeded", 2), *effects("b", 1, "failed")],
    dispatches=[
        Sent((7, 1, *key, attempt), 0, 1, attempt, "w0") for key, attempt in ((A, 1), (A, 2), (B, 1))
    ],
    reports=[report(A, 1, "failed"), report(A, 2, "succeeded"), report(B, 1, "failed")],
    letters=[Letter(1, (7, 1, *B, 1))],
    published=frozenset({1}),
    commands={"command 0": 7},
    left={"inbox": 0, "timers": 0},
)


def in_run(**changes: Any) -> Evidence:
    """The evidence with another run in it."""
    return replace(SOUND, runs={7: TOLD._replace(**changes)})


def with_entry(place: int, changed: Entry) -> Evidence:
    """With one batch of history in place of another."""
    return in_run(history=(*HISTORY[:place], changed, *HISTORY[place + 1 :]))


def with_row(place: int, **changes: Any) -> Evidence:
    rows = list(TOLD.tasks)
    rows[place] = rows[place]._replace(**changes)
    return in_run(tasks=tuple(rows))


def early() -> Evidence:
    """b is dispatched while a waits for its second attempt."""
    moved = [HISTORY[0], HISTORY[1], HISTORY[2], HISTORY[5], HISTORY[3], HISTORY[4], *HISTORY[6:]]
    return in_run(history=tuple(each._replace(seq=place + 1) for place, each in enumerate(moved)))


def doubled() -> Evidence:
    """The same attempt ends once more."""
    again = entry(8, succeeded(A, 2), (A, D, S, 2))
    return in_run(history=(*HISTORY[:7], again, HISTORY[7]._replace(seq=9)))


def body_early() -> Evidence:
    """b's first line stands before the last one of a."""
    lines = list(SOUND.effects)
    lines.insert(3, lines.pop(4))
    return replace(SOUND, effects=lines)


DAMAGES: dict[str, tuple[str, Callable[[], Evidence]]] = {
    "a run is lost": ("I1: run 7, which request 0", lambda: replace(SOUND, runs={})),
    "a run comes from nowhere": ("I1: nobody", lambda: replace(SOUND, accepted={})),
    "a request is answered twice": (
        "I1: two requests",
        lambda: replace(SOUND, accepted={"request 0": 7, "request 1": 7}),
    ),
    "a child is begun twice": (
        "I1: (7, 1, 0, 0) has begun 2 runs",
        lambda: replace(
            SOUND,
            runs={no: TOLD._replace(row=ROW._replace(no=no, parent=(7, 1, 0, 0))) for no in (8, 9)}
            | {7: TOLD},
        ),
    ),
    "a run never ends": ("I9: run 7", lambda: in_run(row=ROW._replace(state=RunState.RUNNING))),
    "a task is left running": ("I5: run 7", lambda: with_row(1, state=TaskState.RUNNING)),
    "an inbox is not empty": ("I10: inbox", lambda: replace(SOUND, left={"inbox": 1})),
    "a command is lost": (
        "I3: what command 1 asked for in run 7 was answered 0 times",
        lambda: replace(SOUND, commands={"command 0": 7, "command 1": 7}),
    ),
    "a command is carried out twice": (
        "I3: what command 0 asked for in run 7 was answered 2 times",
        lambda: in_run(history=(*HISTORY, HISTORY[7]._replace(seq=9))),
    ),
    "a task is dispatched early": (
        "I2: b (run 7, generation 1) was dispatched, and upstream is retrying",
        early,
    ),
    "a body begins early": ("I2: b (run 7, generation 1) began before a had succeeded", body_early),
    "what nobody sent is executed": (
        "I2: attempt 1 of 0199-run/1/c was executed",
        lambda: replace(SOUND, effects=[*SOUND.effects, *effects("c", 1, "succeeded")]),
    ),
    "a result is accepted twice": ("I3: attempt 2 of a (run 7, generation 1) ended twice", doubled),
    "a result of nobody": (
        "I3: a (run 7, generation 1) succeeded in attempt 2, and no execution of that did",
        lambda: replace(SOUND, effects=[*SOUND.effects[:3], *SOUND.effects[4:]]),
    ),
    "a result of another": (
        "I3: a (run 7, generation 1) has the output 2",
        lambda: with_row(0, output=b"2"),
    ),
    "a result that nobody reported": (
        "I3: attempt 2 of a (run 7, generation 1) counts as succeeded",
        lambda: replace(SOUND, reports=SOUND.reports[:1]),
    ),
    "a report of another delivery counts": (
        "I3: attempt 2 of a (run 7, generation 1) counts as succeeded",
        lambda: with_entry(4, entry(5, succeeded(A, 2)._replace(n=3), (A, D, S, 2))),
    ),
    "an attempt too many": (
        "I3: b (run 7, generation 1) has come to try 2",
        lambda: with_row(1, attempt=2),
    ),
    "a try too many since the last poll": (
        "I3: a (run 7, generation 1) has come to try 3",
        lambda: polled(1),
    ),
    "a final state is left": (
        "I4: a (run 7, generation 1) moved from succeeded to dispatched",
        lambda: with_entry(5, entry(6, picked(A, 1), (A, S, D, 2), (B, P, D, 1))),
    ),
    "a move from what it was not": (
        "I4: b (run 7, generation 1) moved from running and was dispatched",
        lambda: with_entry(6, entry(7, failed(B, 1), (B, TaskState.RUNNING, F, 1), (C, P, U, 0))),
    ),
    "an entry of history is missing": ("I4: entry 3", lambda: in_run(history=(*HISTORY[:2], *HISTORY[3:]))),
    "a row that history does not lead to": (
        "I6: c (run 7, generation 1) is stored as skipped",
        lambda: with_row(2, state=TaskState.SKIPPED),
    ),
    "deciding again differs": ("I6: run 7: batch 3", lambda: replace(SOUND, differences=["run 7: batch 3"])),
    "a message is missing": (
        "I7: attempt 2 of 0199-run/1/a was executed, and no message",
        lambda: replace(SOUND, dispatches=[SOUND.dispatches[0], SOUND.dispatches[2]]),
    ),
    "an old owner decides": (
        "I8: run 7 was decided in epoch 1 after 2",
        lambda: with_entry(1, entry(2, picked(A, 1, epoch=2), (A, P, D, 1))),
    ),
    "an owner that never was": (
        "I8: part 0 was dispatched from in epoch 2",
        lambda: replace(SOUND, dispatches=[*SOUND.dispatches[1:], SOUND.dispatches[0]._replace(epoch=2)]),
    ),
    "a worker forgets what it has done": (
        "W3: process 1 executed attempt 1 of 0199-run/1/a 2 times",
        lambda: replace(SOUND, effects=[*effects("a", 1, "failed"), *SOUND.effects]),
    ),
    "executed twice while workers live": (
        "E9: attempt 1 of 0199-run/1/a was executed 2 times",
        lambda: replace(SOUND, only_engines=True, effects=[*effects("a", 1, "failed", 9), *SOUND.effects]),
    ),
    "a dead letter is lost": ("I1: (7, 1, 1, 0, 1) has failed for good", lambda: replace(SOUND, letters=())),
    "a dead letter comes twice": (
        "I3: (7, 1, 1, 0, 1) is a dead letter 2 times",
        lambda: replace(SOUND, letters=[*SOUND.letters, Letter(1, (7, 1, *B, 1))]),
    ),
    "what goes on is a dead letter": (
        "I3: (7, 1, 0, 0, 1) is a dead letter and has not failed for good",
        lambda: replace(SOUND, letters=[*SOUND.letters, Letter(1, (7, 1, *A, 1))]),
    ),
    "a dead letter is not published": (
        "I1: dead letter 1 was never published",
        lambda: replace(SOUND, published=frozenset()),
    ),
}


def polled(last: int) -> Evidence:
    """a has a poll, found wanting by one of its attempts, and has come to attempt 4 of 2."""
    task = PLAN.tasks[A.task]
    tasks = (replace(task, poll=Poll(timedelta(seconds=1), "output == 1")), *PLAN.tasks[1:])
    history = [*HISTORY]
    if last:
        found = entry(1, succeeded(A, last), (A, D, TaskState.WAITING, last))
        again = entry(2, TimerFired(3.0, A, "poll", 3.0), (A, TaskState.WAITING, P, last))
        history = [each._replace(seq=each.seq + 2) for each in HISTORY]
        history = [found._replace(seq=1), again._replace(seq=2), *history]
    rows = (TOLD.tasks[0]._replace(attempt=4), *TOLD.tasks[1:])
    return in_run(plan=replace(PLAN, tasks=tasks), tasks=rows, history=tuple(history))


def test_of_what_went_well_it_says_nothing() -> None:
    assert check(SOUND) == []


def test_tries_are_counted_since_the_last_poll() -> None:
    assert not any("has come to try" in line for line in check(polled(2)))
    assert any("has come to try 4" in line for line in check(polled(0)))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told(damage: str) -> None:
    told, damaged = DAMAGES[damage]
    found = check(damaged())
    assert any(line.startswith(told) for line in found), found
