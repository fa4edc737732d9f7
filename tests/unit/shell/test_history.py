"""History bodies: reading is the exact inverse of writing, payloads apart, which are found again by their hash."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core import events as e
from headrace.engine.core.decision import Decision, RunChange, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState
from headrace.engine.shell import history

ARTIFACT = Artifact("file:x", "sha256:1", 40_000)
KEY = Key(3, 1 << 42)
ERROR = e.Error("KeyError", "x", ("KeyError", "LookupError"), None, 404, "task_failed", False)
ONE_OF_EACH: list[e.Event] = [
    e.Started(1.0),
    e.Resumed(1.5),
    e.Continued(2.0),
    e.Picked(2.0, KEY, "w1", 3, 9),
    e.Redelivered(2.0, KEY, "w1", 3, 10),
    e.AttemptStarted(2.0, KEY, 1, 3, 9),
    e.AttemptSucceeded(2.0, KEY, 1, 3, 9, 1.0, 2.0, b'{"a":1}'),
    e.AttemptSucceeded(2.0, KEY, 1, 3, 9, 1.0, 2.0, None, ARTIFACT),
    e.AttemptFailed(2.0, KEY, 1, 3, 9, None, 2.0, ERROR, 1.5, 0.25),
    e.AttemptSkipped(2.0, KEY, 1, 3, 9, 1.0, 2.0, "nothing to do"),
    e.AttemptCancelled(2.0, KEY, 1, 3, 9, None, 2.0),
    e.HandedBack(2.0, KEY, 1, 3, 9),
    e.WorkerLost(2.0, KEY, 1, 0.5),
    e.TimerFired(2.0, None, "deadline", 1.9),
    e.TimerFired(2.0, KEY, "retry", 1.9),
    e.SlotsGranted(2.0, KEY),
    e.SlotsGranted(2.0, KEY, 2),
    e.ChildEnded(2.0, KEY, "child", "succeeded", b"[1]", None, None),
    e.ChildEnded(2.0, KEY, "child", "failed", None, ARTIFACT, "it failed"),
    e.ChildRefused(2.0, KEY, ERROR),
    e.CancelAsked(2.0, "ann", True, "why not"),
    e.PauseAsked(2.0, "ann"),
    e.ResumeAsked(2.0, "ann"),
    e.RerunAsked(2.0, "ann", (KEY, Key(1)), {"a": [1, None]}),
    e.RerunAsked(2.0, "ann", None),
    e.TaskAsked(2.0, "ann", KEY, "succeed", "by hand", {"rows": 3}),
    e.Decided(2.0, "ann", KEY, True, {"note": "fine"}, "why not"),
    e.SignalArrived(2.0, KEY, 1, 7, "paid", "k", 1.5, "ann", {"sum": [1, None]}),
]


class Shelf:
    """Everything that was ever put on it, by hash."""

    def __init__(self, *payloads: bytes) -> None:
        self.payloads = {history.digest_of(payload): payload for payload in payloads}

    def output(self, digest: bytes) -> bytes | None:
        return self.payloads.get(digest)

    def artifact(self, digest: str) -> Artifact | None:
        return ARTIFACT if digest == ARTIFACT.digest else None


def test_there_is_one_of_each_kind_of_event() -> None:
    assert {type(event).__name__ for event in ONE_OF_EACH} == set(e.EVENTS)


def test_every_event_and_transition_comes_back_as_it_was() -> None:
    moved = [Transition(0, KEY, 0, 2, None, 1), Transition(5, Key(0), 2, 7, "timed_out", 3)]
    decision = Decision(list(ONE_OF_EACH), moved, generation=4)
    read = history.decode(history.encode(decision, [7, len(ONE_OF_EACH)]), Shelf(b'{"a":1}', b"[1]"))
    assert read.events == ONE_OF_EACH
    assert [type(event) for event in read.events] == [type(event) for event in ONE_OF_EACH]
    assert (read.transitions, read.generation, read.rounds) == (moved, 4, [7, len(ONE_OF_EACH)])
    keys = [key for event in read.events if (key := getattr(event, "key", None)) is not None]
    assert {type(key) for key in keys} == {Key}
    assert (read.run, read.cache, read.refused) == (None, {}, [])


def test_a_run_change_cache_answers_and_refusals_are_kept() -> None:
    change = RunChange(RunState.FAILED, "tasks_failed", 2, 1.0, 3.0, b"7", ARTIFACT, False)
    body = history.encode(
        Decision(run=change),
        [],
        cache={"k": b"[1]", "m": None},
        refused=[history.Refusal("cancel", "ann", "It is final.")],
    )
    read = history.decode(body, Shelf())
    assert read.run is not None
    assert (read.run["state"], read.run["reason"], read.run["generation"]) == (7, "tasks_failed", 2)
    assert read.cache == {"k": history.digest_of(b"[1]"), "m": None}
    assert read.refused == [history.Refusal("cancel", "ann", "It is final.")]


def test_a_body_holds_no_payload() -> None:
    """I11: what a task returned lies in its row alone."""
    output = b'"canary-4711"'
    events: list[e.Event] = [
        e.AttemptSucceeded(2.0, KEY, 1, 3, 9, 1.0, 2.0, output),
        e.ChildEnded(2.0, KEY, "child", "succeeded", output),
    ]
    change = RunChange(RunState.SUCCEEDED, None, 1, 1.0, 3.0, output, None, False)
    body = history.encode(Decision(events, run=change), [2], cache={"k": output})
    assert b"canary" not in body


def test_a_payload_that_is_nowhere_reads_as_none() -> None:
    event = e.AttemptSucceeded(2.0, KEY, 1, 3, 9, 1.0, 2.0, b"1")
    assert history.decode(history.encode(Decision([event]), [1]), Shelf()).events == [
        event._replace(output=None)
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[2,1,[],[],[],null,null]", "version 2"),
        (b'{"no": "list"}', "not in a form"),
        (b'[1,1,[["Exploded",1.0]],[1],[],null,null]', '"Exploded"'),
    ],
)
def test_what_a_later_release_wrote_is_named(body: bytes, says: str) -> None:
    with pytest.raises(history.UnknownHistory, match=says):
        history.decode(body, Shelf())


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    output=json,
    by=st.text(),
    task=st.integers(0, 2**31 - 1),
    map_=st.integers(0, 2**63 - 1),
    at=st.floats(0, 4e9),
)
def test_any_value_survives(output: Any, by: str, task: int, map_: int, at: float) -> None:
    event = e.TaskAsked(at, by, Key(task, map_), "succeed", by, output)
    body = history.encode(Decision([event]), [1])
    assert history.decode(body, Shelf()).events == [event]
    msgspec.json.decode(body)
