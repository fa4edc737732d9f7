"""Waits for people and for signals: who may end them, what they give, and what a crash must not change."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import Await, Awaited
from headrace.engine.core.keys import Key
from headrace.engine.core.waiting import Asked, Listening
from headrace.engine.core.workflow import Approval, Json, Signal, Task, Timeouts
from tests.support.flows import flow, over, py
from tests.support.pilot import Pilot

A = Key(0)


def approval(id: str = "a", *after: str, keys: dict[str, Any] | None = None, **work: Any) -> Task:
    return Task(id, Approval(**work), depends_on=after, **(keys or {}))


def signal(id: str = "a", *after: str, keys: dict[str, Any] | None = None, **work: Any) -> Task:
    return Task(id, Signal(**work), depends_on=after, **(keys or {}))


def begun(*tasks: Task, params: dict[str, Json] | None = None) -> Pilot:
    pilot = Pilot(flow(*tasks, params={name: {} for name in params or {}}), params=params or {})
    pilot.feed(e.Started(0.0))
    return pilot


def sent(
    place: int = 0, payload: Json = None, *, id: int = 1, key: Key = A, name: str = "paid"
) -> e.SignalArrived:
    return e.SignalArrived(5.0, key, place, id, name, "k", 4.0, "ada", payload)


def agreed(by: str, form: Json = None, approved: bool = True) -> e.Decided:
    return e.Decided(5.0, by, A, approved, form)


def output(pilot: Pilot, key: Key = A) -> Any:
    data = pilot.rows[1, key].output
    return None if data is None else json.loads(data)


def awaits(pilot: Pilot) -> list[Await]:
    return [effect for batch in pilot.history for effect in batch.effects if isinstance(effect, Await)]


def over_is_told(pilot: Pilot) -> bool:
    return any(isinstance(effect, Awaited) for batch in pilot.history for effect in batch.effects)


@pytest.mark.parametrize("crash", [False, True], ids=["", "an engine dies"])
def test_an_approval_takes_as_many_people_as_it_says(crash: bool) -> None:
    pilot = begun(approval(title="Pay ${{ params.sum }}?", approvers=2), py("b", "a"), params={"sum": 7})
    assert pilot.states() == {"a": "waiting", "b": "pending"}
    assert awaits(pilot) == [Await(A, Asked("Pay 7?", 0.0, None))]
    pilot.feed(agreed("ada"))
    if crash:
        pilot.crash()
        told = awaits(pilot)[-1].wait
        assert isinstance(told, Asked)
        assert [vote.by for vote in told.votes] == ["ada"]
    assert pilot.feed(agreed("ada")).stale == 1
    assert not over_is_told(pilot)
    pilot.feed(agreed("bob", {"note": "fine"}))
    assert over_is_told(pilot)
    pilot.fly()
    assert pilot.state == "succeeded"
    assert output(pilot) == {
        "approved": True,
        "by": "ada, bob",
        "at": "1970-01-01T00:00:05Z",
        "form": {"note": "fine"},
        "comment": None,
        "expired": False,
    }
    assert pilot.feed(agreed("cyd")).stale == 1
    pilot.replayed()


@pytest.mark.parametrize(
    ("how", "state", "gives"),
    [("fail", "failed", None), ("skip", "skipped", None), ("continue", "succeeded", False)],
)
def test_what_a_rejection_does(how: str, state: str, gives: Json) -> None:
    pilot = begun(approval(approvers=3, on_reject=how))
    pilot.feed(agreed("ada"))
    pilot.feed(e.Decided(5.0, "bob", A, False, None, "too much"))
    assert pilot.states() == {"a": state}
    row = pilot.rows[1, A]
    assert (row.reason, row.by) == ("rejected", "bob")
    if state == "failed":
        assert row.error is not None
        assert row.error.message == "bob rejected it: too much"
    assert (output(pilot) or {}).get("approved") == gives
    assert over_is_told(pilot)
    pilot.replayed()


@pytest.mark.parametrize("crash", [False, True], ids=["", "an engine dies"])
@pytest.mark.parametrize("task", [approval, signal])
@pytest.mark.parametrize(
    ("how", "state"), [("fail", "failed"), ("skip", "skipped"), ("continue", "succeeded")]
)
def test_nobody_comes_in_time(task: Any, how: str, state: str, crash: bool) -> None:
    name = {"name": "paid"} if task is signal else {}
    pilot = begun(task(expires=timedelta(seconds=60), on_expiry=how, **name))
    if crash:
        pilot.crash()
    pilot.fire()
    assert pilot.now == 60
    assert pilot.states() == {"a": state}
    assert pilot.rows[1, A].reason == "expired"
    if how == "continue" and task is approval:
        assert (output(pilot)["approved"], output(pilot)["expired"]) == (False, True)
    assert over_is_told(pilot)
    assert pilot.feed(sent() if task is signal else agreed("ada")).stale == 1
    pilot.replayed()


def test_a_signal_gives_its_payload() -> None:
    pilot = begun(signal(name="paid", key="params.order", lookback=timedelta(hours=1)), params={"order": 42})
    told = awaits(pilot)[0].wait
    assert isinstance(told, Listening)
    assert told.sought == (("paid", "42", -3600.0),)
    pilot.feed(sent(payload={"sum": 3}))
    assert pilot.state == "succeeded"
    assert output(pilot) == {"sum": 3}
    assert over_is_told(pilot)
    pilot.replayed()


@pytest.mark.parametrize(("value", "says"), [(None, "null"), ([1], "a list"), ({}, "a map")])
def test_a_key_is_text(value: Json, says: str) -> None:
    pilot = begun(signal(name="paid", key="params.order"), params={"order": value})
    error = pilot.rows[1, A].error
    assert error is not None
    assert (error.reason, says in error.message) == ("expression_error", True)


def test_only_a_signal_that_was_meant_counts() -> None:
    pilot = begun(signal(name="paid", match="payload.sum > 10 && signal.by == 'ada'"))
    for payload in ({"sum": 3}, {}, None, "text", {"sum": "12"}):
        pilot.feed(sent(payload=payload))
        assert pilot.states() == {"a": "waiting"}
    pilot.feed(sent(payload={"sum": 11}, id=2), sent(payload={"sum": 12}, id=3))
    assert output(pilot) == {"sum": 11}
    pilot.replayed()


@pytest.mark.parametrize("crash", [False, True], ids=["", "an engine dies"])
def test_all_of_several(crash: bool) -> None:
    pilot = begun(signal(all=(Signal("paid"), Signal("packed"))))
    assert pilot.feed(sent(2)).stale == 1
    pilot.feed(sent(1, "second"))
    if crash:
        pilot.crash()
    assert pilot.feed(sent(1, "again", id=2)).stale == 1
    assert pilot.states() == {"a": "waiting"}
    pilot.feed(sent(0, "first", id=3))
    assert output(pilot) == ["first", "second"]
    pilot.replayed()


def test_any_of_several_says_which() -> None:
    pilot = begun(signal(any=(Signal("paid"), Signal("gone"))))
    pilot.feed(sent(1, 5, name="gone"))
    assert output(pilot) == {"name": "gone", "key": "k", "payload": 5}
    pilot.replayed()


def test_each_item_waits_for_its_own() -> None:
    pilot = begun(signal(name="paid", key="item", keys={"map": over(["x", "y"])}))
    told = {effect.key: effect.wait for effect in awaits(pilot)}
    assert sorted(wait.sought[0].key or "" for wait in told.values() if isinstance(wait, Listening)) == [
        "x",
        "y",
    ]
    for number, key in enumerate(sorted(told)):
        pilot.feed(sent(payload=number, key=key))
    assert pilot.state == "succeeded"
    pilot.replayed()


@pytest.mark.parametrize("task", [approval(), signal(name="paid")], ids=["approval", "signal"])
@pytest.mark.parametrize(
    ("action", "state"), [("skip", "skipped"), ("succeed", "succeeded"), ("cancel", "cancelled")]
)
def test_a_person_may_settle_a_wait(task: Task, action: str, state: str) -> None:
    pilot = begun(task)
    pilot.feed(e.TaskAsked(3.0, "ada", A, action))
    assert pilot.states() == {"a": state}
    assert over_is_told(pilot)
    pilot.replayed()


@pytest.mark.parametrize("kill", [False, True])
def test_a_cancelled_run_waits_for_nobody(kill: bool) -> None:
    pilot = begun(approval("a"), signal("b", name="paid"))
    pilot.feed(e.CancelAsked(3.0, "ada", kill))
    assert pilot.state == "cancelled"
    gone = [effect.key for batch in pilot.history for effect in batch.effects if isinstance(effect, Awaited)]
    assert sorted(gone) == [Key(0), Key(1)]
    pilot.replayed()


def test_a_wait_is_bounded_by_its_total_timeout() -> None:
    pilot = begun(signal(name="paid", keys={"timeouts": Timeouts(total=timedelta(seconds=9))}))
    pilot.fire()
    assert (pilot.now, pilot.rows[1, A].reason) == (9, "timed_out")
    assert over_is_told(pilot)


def test_why_names_who_is_waited_for() -> None:
    pilot = begun(
        approval("a", title="Go?", approvers=2, roles=("admin",)), signal("b", all=(Signal("x"), Signal("y")))
    )
    pilot.feed(agreed("ada"))
    found = pilot.machine.explain(Key(0))
    assert found is not None
    assert [(blocker.code, blocker.evidence["agreed"]) for blocker in found.blockers] == [
        ("approval", ["ada"])
    ]
    pilot.feed(sent(1, key=Key(1)))
    found = pilot.machine.explain(Key(1))
    assert found is not None
    assert [blocker.evidence["all"] for blocker in found.blockers] == [[{"name": "x", "key": None}]]


def test_a_wait_goes_on_with_the_next_engine() -> None:
    pilot = begun(approval("a", title="Go?"), signal("b", name="paid", key="'k'"))
    pilot.crash()
    told = {effect.key: effect for effect in pilot.history[-1].effects if isinstance(effect, Await)}
    assert {key: (effect.known, len(effect.wait)) for key, effect in told.items()} == {
        Key(0): (True, 4),
        Key(1): (True, 4),
    }
    pilot.feed(agreed("ada"), sent(key=Key(1)))
    assert pilot.state == "succeeded"
    pilot.replayed()
