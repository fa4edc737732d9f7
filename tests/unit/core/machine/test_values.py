"""What expressions read and what follows from their values: fields of tasks, the cache, moments, and what cannot be judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import Decision, Need, StoreCache
from headrace.engine.core.evaluation import Artifact, Filled
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.counting import counts
from headrace.engine.core.run import Answers
from headrace.engine.core.workflow import (
    Approval,
    Cache,
    Case,
    Map,
    Noop,
    PythonCall,
    RetryRule,
    Shell,
    Sleep,
    Switch,
    Task,
    Timeouts,
)
from tests.support.flows import child, flow, gate, group, noop, over, py, switch, tries
from tests.support.pilot import Outcome, Pilot, script

FAILED = Outcome("failed")
HOUR = Cache(timedelta(hours=1))
LARGE = Artifact("file:///a", "sha256:0", 1 << 20)


@dataclass
class Stocked(Pilot):
    """A pilot whose store has a task cache."""

    cache: dict[str, bytes | Artifact] = field(default_factory=dict)

    def _answer(self, need: Need, decision: Decision) -> Answers:
        found = super()._answer(need, decision)
        hits = {key: self.cache[key] for key in need.cache if key in self.cache}
        return found._replace(cache=hits)

    def _commit(self, decision: Decision) -> None:
        super()._commit(decision)
        for effect in decision.effects:
            if isinstance(effect, StoreCache):
                self.cache[effect.cache_key] = effect.artifact or effect.output or b"null"
                assert effect.expires_at == self.now + 3600


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


def reason(pilot: Pilot, name: str) -> tuple[str, str | None]:
    row = pilot.rows[1, Key(pilot.plan.index[name])]
    return row.state.word, row.reason


# -- the cache -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_", [{}, {"n": 1}, {"n": "${{ params.n }}"}])
def test_a_cached_output_is_used_in_place_of_an_attempt(with_: Mapping[str, Any]) -> None:
    plan = flow(
        py("a", cache=HOUR, with_=with_), py("b", with_={"x": "${{ tasks.a.output }}"}), params={"n": {}}
    )
    first = Stocked(plan, script({"a": Outcome(output=7)}), {"n": 1})
    first.fly()
    assert first.started == ["a", "b"]
    again = Stocked(plan, script({"a": Outcome(output=8)}), {"n": 1})
    again.cache = dict(first.cache)
    again.fly()
    assert again.started == ["b"]
    assert reason(again, "a") == ("succeeded", "cached")
    assert again.rows[1, Key(0)].output == b"7"
    if "n" in with_ and with_["n"] != 1:
        other = Stocked(plan, script({}), {"n": 2})
        other.cache = dict(first.cache)
        assert other.fly().started == ["a", "b"]


def test_a_key_of_its_own_decides_what_is_the_same() -> None:
    plan = flow(
        py("a", cache=replace(HOUR, key="${{ params.k }}"), with_={"n": "${{ params.n }}"}),
        params={"n": {}, "k": {}},
    )
    first = Stocked(plan, params={"n": 1, "k": 1})
    first.fly()
    again = Stocked(plan, params={"n": 2, "k": 1})
    again.cache = first.cache
    assert again.fly().started == []


def test_a_cached_artifact_is_read_by_what_follows() -> None:
    plan = flow(py("a", cache=HOUR), py("b", with_={"x": "${{ tasks.a.output }}"}))
    first = Stocked(plan)
    begun(first)
    send = first.flying.pop()
    first.feed(e.AttemptSucceeded(0.0, send.key, 1, send.epoch, send.n, 0.0, 0.0, None, LARGE))
    first.fly()
    again = Stocked(plan)
    again.cache = first.cache
    again.fly()
    assert again.rows[1, Key(0)].artifact == LARGE
    assert again.started == ["b"]


def test_what_ended_while_the_cache_was_asked_stays_ended() -> None:
    plan = flow(py("a", cache=HOUR))
    pilot = Stocked(plan)
    decision = Decision()
    pilot._decide(decision, [e.Started(0.0)])
    pilot._decide(decision, [e.Picked(0.0, Key(0), "w1", 1, 1), e.TaskAsked(0.0, "ann", Key(0), "skip")])
    pilot._commit(decision)
    assert (pilot.states(), pilot.started, pilot.state) == ({"a": "skipped"}, [], "succeeded")


def test_a_cache_key_that_cannot_be_judged_fails_the_task_without_an_attempt() -> None:
    plan = flow(py("a", cache=replace(HOUR, key="${{ params.k.no }}")), params={"k": {}})
    pilot = Stocked(plan, params={"k": {}}).fly()
    assert (pilot.started, reason(pilot, "a")) == ([], ("failed", "expression_error"))


# -- moments -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "due"),
    [("1970-01-01T00:01:00Z", 60.0), ("1970-01-01T01:00:30+01:00", 30.0), ("1970-01-01T00:00:00.5Z", 0.5)],
)
def test_a_sleep_until_a_moment(at: str, due: float) -> None:
    plan = flow(Task("s", Sleep(until="${{ params.at }}")), params={"at": {}})
    pilot = begun(Pilot(plan, params={"at": at}))
    assert [(timer.kind, timer.due_at) for timer in pilot.timers] == [("sleep", due)]
    assert pilot.fly().state == "succeeded"


@pytest.mark.parametrize("at", ["tomorrow", "1970-01-01T00:01:00", 5, None])
def test_what_is_no_moment_fails_the_sleep_and_says_so(at: Any) -> None:
    plan = flow(Task("s", Sleep(until="${{ params.at }}")), params={"at": {}})
    pilot = Pilot(plan, params={"at": at}).fly()
    assert reason(pilot, "s") == ("failed", "expression_error")
    error = pilot.rows[1, Key(0)].error
    assert error is not None
    assert f"{at!r} is no RFC 3339 time with a zone" in error.message


# -- what cannot be judged -------------------------------------------------------------------------------------------------

BAD = "params.n.missing"


@pytest.mark.parametrize(
    "task",
    [
        py("a", when=BAD),
        py("a", map=over(f"${{{{ {BAD} }}}}")),
        py("a", with_={"x": f"${{{{ {BAD} }}}}"}),
        gate("a", BAD),
        Task("a", Switch((Case(BAD, ()),))),
        Task("a", Sleep(until=f"${{{{ {BAD} }}}}")),
        replace(child("a", "other"), with_={"x": f"${{{{ {BAD} }}}}"}),
        py("a", when="params.n"),
    ],
    ids=["when", "map", "with", "gate", "switch", "sleep", "child", "no boolean"],
)
def test_an_expression_that_fails_fails_its_task_loudly(task: Task) -> None:
    pilot = Pilot(flow(task, py("z", "a"), params={"n": {}}), params={"n": {}}).fly()
    assert reason(pilot, "a") == ("failed", "expression_error")
    error = pilot.rows[1, Key(pilot.plan.index["a"])].error
    assert error is not None
    assert not error.retryable
    assert "params.n" in error.message
    assert pilot.state == "failed"
    assert pilot.started == []


def test_an_output_of_a_group_that_cannot_be_judged_fails_the_group() -> None:
    pilot = Pilot(
        flow(group("a", noop("x"), output=f"${{{{ {BAD} }}}}"), params={"n": {}}), params={"n": {}}
    ).fly()
    assert reason(pilot, "a") == ("failed", "expression_error")
    assert reason(pilot, "a.x") == ("succeeded", None)


def test_a_group_that_fails_by_its_own_output_fails_the_run_and_is_told() -> None:
    """No task says so: its leaves succeeded, and so did whoever waits for them."""
    bad = group("a", noop("x"), output="${{ tasks.x.output.rows }}")
    alert = py("alert", with_={"failed": "${{ run.failed }}"})
    pilot = Pilot(flow(bad, noop("after", "a"), on_failure=[alert])).fly()
    assert pilot.state == "failed"
    assert reason(pilot, "after") == ("succeeded", None)
    assert reason(pilot, "alert") == ("succeeded", None)
    assert pilot.rows[1, Key(pilot.plan.index["alert"])].inputs == Filled({"with": {"failed": ["a"]}})
    assert counts(pilot.machine.board) == {"succeeded": 3, "failed": 1}


@pytest.mark.parametrize(("tolerate", "state"), [(0, "failed"), (1, "succeeded")])
def test_an_item_that_fails_by_its_groups_output_fails_the_run_beyond_what_is_tolerated(
    tolerate: int, state: str
) -> None:
    each = group("g", noop("x"), output="${{ 1 / item }}", map=over([1, 0]), tolerate=tolerate)
    pilot = Pilot(flow(each, noop("after", "g"))).fly()
    assert pilot.states()["after"] == "succeeded"
    assert pilot.state == state
    assert counts(pilot.machine.board) == {"succeeded": 3, "failed": 1}


def test_a_group_whose_leaf_failed_is_not_counted_beside_it() -> None:
    plan = flow(
        group("a", py("x"), output="${{ tasks.x.output }}"), noop("after", "a", trigger_rule="all_done")
    )
    pilot = Pilot(plan, script({"a.x": FAILED})).fly()
    assert reason(pilot, "a") == ("failed", "leaf_failed")
    assert pilot.state == "succeeded"  # `after` handles it
    assert counts(pilot.machine.board) == {"succeeded": 1, "failed": 1}


def test_a_handlers_groups_output_does_not_fail_the_run() -> None:
    close = group("close", noop("x"), output="${{ tasks.x.output.rows }}")
    pilot = Pilot(flow(noop("a"), finally_=[close])).fly()
    assert reason(pilot, "close") == ("failed", "expression_error")
    assert pilot.state == "succeeded"


def test_a_retry_rule_that_cannot_be_judged_does_not_match() -> None:
    rules = (RetryRule("error.exit_code > 3", "skip"), RetryRule("error.kind == 'ValueError'", "fail"))
    pilot = Pilot(flow(py("a", retry=tries(3, rules=rules))), script({"a": FAILED})).fly()
    assert (pilot.states(), pilot.attempts("a")) == ({"a": "failed"}, 1)


@pytest.mark.parametrize("what", ["when", "map", "gate", "switch", "sleep", "child"])
def test_what_ended_while_it_waited_to_be_judged_stays_ended(what: str) -> None:
    """A person skips it in the batch that made it ready."""
    task = {
        "when": py("a", when="1 < 2"),
        "map": py("a", map=over([1])),
        "gate": gate("a", "1 < 2"),
        "switch": switch("a", cases=(Case("1 < 2", ()),)),
        "sleep": Task("a", Sleep(until="${{ run.started_at }}")),
        "child": child("a", "other"),
    }[what]
    pilot = Pilot(flow(task))
    pilot.feed(e.Started(0.0), e.TaskAsked(0.0, "ann", Key(0), "skip"))
    assert (pilot.states(), pilot.state, pilot.children) == ({"a": "skipped"}, "succeeded", [])


def test_a_group_gives_an_artifact_as_it_is() -> None:
    plan = flow(
        group("g", py("x"), output="${{ tasks.x.output }}"),
        py("z", with_={"got": "${{ tasks.g.output }}"}),
        output="${{ tasks.g.output }}",
    )
    pilot = begun(Pilot(plan))
    send = pilot.flying.pop()
    pilot.feed(e.AttemptSucceeded(0.0, send.key, 1, send.epoch, send.n, 0.0, 0.0, None, LARGE))
    assert pilot.fly().state == "succeeded"


# -- fields --------------------------------------------------------------------------------------------------------------


def read(*tasks: Task, outcomes: Mapping[str, Outcome], paths: Mapping[str, str], crash: bool = False) -> Any:
    """What a handler of the end reads of the tasks."""
    got: dict[str, Any] = {}

    def body(name: str, inputs: Filled, attempt: int) -> Outcome:
        if name == "z":
            got.update(inputs.value["with"])
        return outcomes.get(name, Outcome())

    with_ = {name: f"${{{{ {path} }}}}" for name, path in paths.items()}
    pilot = begun(Pilot(flow(*tasks, finally_=(py("z", with_=with_),)), body))
    if crash:
        pilot.crash()
    pilot.fly()
    return got


@pytest.mark.parametrize("crash", [False, True])
def test_every_field_of_a_task_can_be_read(crash: bool) -> None:
    found = read(
        py("a"),
        py("bad"),
        py("skip", "bad"),
        py("m", map=over([1, 2, 3, 4]), tolerate=1),
        outcomes={"a": Outcome(output=[7]), "bad": FAILED, "m[1]": FAILED, "m[2]": Outcome("skipped")},
        paths={
            "output": "tasks.a.output[0]",
            "state": "tasks.a.state",
            "no_error": "tasks.a.error",
            "no_run": "tasks.a.run",
            "no_counts": "tasks.a.counts",
            "reason": "tasks.bad.reason",
            "kind": "tasks.bad.error.kind",
            "settled": "tasks.skip.reason",
            "counts": "tasks.m.counts",
            "items": "tasks.m.output",
            "whole": "tasks.bad",
            "failed": "run.failed",
        },
        crash=crash,
    )
    whole = found.pop("whole")
    assert (whole["state"], whole["reason"], whole["output"]) == ("failed", "task_failed", None)
    assert found == {
        "output": 7,
        "state": "succeeded",
        "no_error": None,
        "no_run": None,
        "no_counts": None,
        "reason": "task_failed",
        "kind": "ValueError",
        "settled": "trigger_rule",
        "counts": {"total": 4, "succeeded": 2, "failed": 1, "skipped": 1, "cancelled": 0},
        "items": [None, None, None, None],
        "failed": ["bad", "m[1]"],
    }


def test_the_run_of_a_child_can_be_read_while_it_goes_on() -> None:
    plan = flow(child("c", "other"), py("z", "c", trigger_rule="always", with_={"run": "${{ tasks.c.run }}"}))
    pilot = begun(Pilot(plan))
    assert pilot.states() == {"c": "waiting", "z": "dispatched"}
    pilot.feed(e.ChildEnded(1.0, Key(0), "run-2", "succeeded", b"1"))
    assert pilot.fly().state == "succeeded"


def test_loops_of_items_are_seen_by_their_names_after_a_crash() -> None:
    got: dict[str, Any] = {}

    def body(name: str, inputs: Filled, attempt: int) -> Outcome:
        got[name] = inputs.value["with"]
        return Outcome()

    inner = py(
        "x",
        map=Map(over="${{ row }}", as_="cell"),
        with_={"at": "${{ [row_index, cell_index] }}", "is": "${{ cell }}", "item": "${{ item }}"},
        max_parallel=1,
    )
    pilot = begun(Pilot(flow(group("g", inner, map=Map(over=[[1], [2, 3]], as_="row"))), body))
    while not pilot.machine.final:
        pilot.land()
        if not pilot.machine.final:
            pilot.crash()
    assert got == {
        "g.x[0,0]": {"at": [0, 0], "is": 1, "item": 1},
        "g.x[1,0]": {"at": [1, 0], "is": 2, "item": 2},
        "g.x[1,1]": {"at": [1, 1], "is": 3, "item": 3},
    }


# -- children ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "state", "said"),
    [
        ("succeeded", "succeeded", None),
        ("failed", "failed", "The child run r failed: boom"),
        ("cancelled", "failed", "The child run r was cancelled."),
    ],
)
def test_a_child_gives_its_end_to_its_task(ends: str, state: str, said: str | None) -> None:
    pilot = begun(Pilot(flow(child("c", "other"), output="${{ tasks.c.output }}")))
    error = "boom" if ends == "failed" else None
    pilot.feed(e.ChildEnded(1.0, Key(0), "r", ends, b"5" if ends == "succeeded" else None, None, error))
    row = pilot.rows[1, Key(0)]
    assert (row.state.word, row.child, row.error and row.error.message) == (state, "r", said)
    assert pilot.output == (b"5" if state == "succeeded" else None)
    assert pilot.feed(e.ChildEnded(2.0, Key(0), "r", "failed", None)).stale == 1


def test_a_child_that_is_refused_fails_its_task_once() -> None:
    pilot = begun(Pilot(flow(child("c", "other"))))
    refused = e.ChildRefused(1.0, Key(0), e.Error("child", "there is none", reason="child_unknown"))
    pilot.feed(refused)
    assert reason(pilot, "c") == ("failed", "child_unknown")
    assert pilot.feed(refused).stale == 1


def test_events_about_what_is_not_there_change_nothing() -> None:
    pilot = begun(Pilot(flow(py("a"), group("g", noop("x"), map=over([1])))))
    gone = Key(99)
    for event in (
        e.Picked(1.0, gone, "w1", 1, 1),
        e.Picked(1.0, Key(0), "w1", 1, 1),  # it is dispatched already
        e.TimerFired(1.0, gone, "retry", 1.0),
        e.TimerFired(1.0, Key(0), "nonsense", 1.0),
        e.TaskAsked(1.0, "ann", gone, "skip"),
        e.TaskAsked(1.0, "ann", Key(0), "retry"),  # nothing waits for a next attempt
        e.TaskAsked(1.0, "ann", Key(pilot.plan.index["g"]), "skip"),
        e.ChildEnded(1.0, gone, "r", "succeeded", None),
        e.ChildEnded(1.0, Key(0), "r", "succeeded", None),
        e.ChildRefused(1.0, gone, e.Error("child", "no")),
        e.SlotsGranted(1.0, gone),
        e.Redelivered(1.0, gone, "w2", 1, 9),
        e.WorkerLost(1.0, gone, 1, 0.5),
        e.AttemptSucceeded(1.0, Key(0, 5 << 42), 1, 1, 1, 0.0, 1.0, None),
        e.Started(1.0),
        e.RerunAsked(1.0, "ann", None),
    ):
        decision = pilot.feed(event)
        assert (decision.stale, decision.transitions) == (1, []), event
    assert pilot.fly().state == "succeeded"


def test_a_person_who_succeeds_a_task_gives_its_output() -> None:
    plan = flow(py("a"), py("b", with_={"x": "${{ tasks.a.output.n }}"}), output="${{ tasks.a.output }}")
    pilot = begun(Pilot(plan))
    pilot.feed(e.TaskAsked(1.0, "ann", Key(0), "succeed", None, {"n": "é"}))
    assert pilot.fly().state == "succeeded"
    assert json.loads(pilot.output or b"") == {"n": "é"}
    assert pilot.aborts[0].key == Key(0)


@pytest.mark.parametrize("work", [Approval(), Shell(run="true"), PythonCall("m:f"), Noop()])
def test_total_timeouts_bound_whatever_waits(work: Any) -> None:
    plan = flow(Task("a", work, timeouts=Timeouts(total=timedelta(seconds=5))))
    pilot = Pilot(plan)
    decision = Decision()
    pilot._decide(decision, [e.Started(0.0)])
    pilot._commit(decision)
    if isinstance(work, Noop):
        assert pilot.state == "succeeded"
        return
    assert [timer.due_at for timer in pilot.timers] == [5.0]
    pilot.fire()
    assert reason(pilot, "a") == ("failed", "timed_out")
