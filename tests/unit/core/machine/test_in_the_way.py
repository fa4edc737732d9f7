"""Everything that may be in the way of a task run, by its code; and what was judged too late to count."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.engine.core import events as e
from headrace.engine.core.decision import Decision
from headrace.engine.core.keys import Key, pack
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.machine.explaining import Explanation, outlook
from headrace.engine.core.plan import Rule
from headrace.engine.core.verdicts import FAILED, SKIPPED, SUCCEEDED, Verdict
from headrace.engine.core.workflow import Case, Limits, Pool, Sleep, Switch, Task
from tests.support.flows import child, flow, gate, group, noop, over, py, tries
from tests.support.pilot import Outcome, Pilot, script


def begun(pilot: Pilot) -> Pilot:
    pilot.feed(e.Started(0.0))
    return pilot


def why(pilot: Pilot, name: str, *map_: int, most: int | None = None) -> Explanation:
    found = pilot.machine.explain(Key(pilot.plan.index[name], pack(map_)), most)
    assert found is not None
    return found


def told(pilot: Pilot, name: str, *map_: int) -> list[tuple[str, object]]:
    return [(one.code, one.evidence) for one in why(pilot, name, *map_).blockers]


def test_of_many_upstreams_those_are_told_that_are_in_the_way() -> None:
    names = [f"t{n}" for n in range(9)]
    pilot = begun(
        Pilot(flow(*(py(name) for name in names), py("z", *names)), script({"t3": Outcome("failed")}))
    )
    for _ in range(7):
        pilot.land()
    found = why(pilot, "z", most=2)  # upstream_failed since t3
    assert ([one.id for one in found.upstream], found.upstreams) == (["t3", "t7"], 9)
    pilot.fly()
    assert [one.id for one in why(pilot, "z", most=3).upstream] == ["t0", "t1", "t3"]
    waiting = begun(Pilot(flow(*(py(name) for name in names), py("z", *names))))
    for _ in range(7):
        waiting.land()
    found = why(waiting, "z", most=3)
    assert [one.id for one in found.upstream] == ["t0", "t7", "t8"]
    assert [one.evidence["id"] for one in found.blockers] == ["t7", "t8"]
    assert [one.id for one in why(waiting, "z", most=1).upstream] == ["t7"]
    assert len(why(waiting, "z", most=9).upstream) == 9


def test_handlers_wait_for_their_section_and_a_cancel_is_named() -> None:
    pilot = begun(Pilot(flow(py("a"), finally_=(py("z"),)), deaf=True))
    assert told(pilot, "z") == [("section", {"section": 2})]
    pilot.feed(e.CancelAsked(1.0, "ann", reason="enough"))
    assert told(pilot, "a")[0] == ("cancelling", {"reason": "enough"})


def test_what_is_ready_stands_in_the_line_of_its_queue() -> None:
    pilot = Pilot(flow(py("a", queue="gpu", labels={"zone": "eu"}), py("p", map=over([1, 2]))))
    decision = Decision()
    pilot._decide(decision, [e.Started(0.0)])
    assert told(pilot, "a") == [("line", {"queue": "gpu", "labels": {"zone": "eu"}})]
    assert (why(pilot, "a").verdict, told(pilot, "p", 0)) == (
        "ready",
        [("line", {"queue": "default", "labels": {}})],
    )


def test_a_pool_a_hand_back_a_child_a_moment_and_members_are_named() -> None:
    plan = flow(
        py("a", pool=Pool("db", 2)),
        child("c", "other"),
        Task("s", Sleep(timedelta(seconds=9))),
        group("g", py("x"), noop("n")),
    )
    pilot = Pilot(plan)
    pilot.machine = RunMachine(plan, pilot.info, pilot.evaluator, grants=True)
    begun(pilot)
    assert told(pilot, "a") == [("pool", {"pool": "db", "cost": 2})]
    assert told(pilot, "s") == [("timer", {"due_at": 9.0})]
    assert told(pilot, "g") == [("members", {"open": ["g.x"]})]
    assert told(pilot, "c") == [("timer", {"due_at": None})]
    pilot.machine.board.live[Key(plan.index["c"])].child = "run-2"
    assert told(pilot, "c") == [("child", {"run": "run-2"})]
    key = Key(plan.index["a"])
    pilot.machine.board.live[key].attempt = 2  # its first has failed, and it asks again
    assert told(pilot, "a") == [("line", {})]
    pilot.machine.reasons = {key: "pool"}
    assert told(pilot, "a") == [("pool", {"pool": "db", "cost": 2})]
    pilot.machine.reasons = {key: "handed_back"}
    assert told(pilot, "a") == [("line", {})]
    back = Pilot(flow(py("a")))
    begun(back)
    send = back.flying.pop()
    back.feed(e.PauseAsked(0.0, "ann"), e.HandedBack(1.0, send.key, 1, send.epoch, send.n))
    assert told(back, "a") == [("paused", {}), ("line", {})]


def test_what_a_rule_may_still_come_to() -> None:
    assert outlook(Rule.ALL_SUCCESS, SUCCEEDED, True) == {Verdict.RUN}
    assert outlook(Rule.ALL_SUCCESS, FAILED, False) == {Verdict.FAIL}
    assert outlook(Rule.ALL_SUCCESS, 0, False) == {Verdict.RUN, Verdict.SKIP, Verdict.FAIL}
    assert outlook(Rule.ALL_FAILED, SKIPPED, False) == {Verdict.SKIP}
    pilot = begun(Pilot(flow(py("a"), py("b"), py("z", "a", "b", trigger_rule="all_failed"))))
    pilot.land()
    assert why(pilot, "z").state == "skipped"
    pilot = begun(Pilot(flow(py("a"), py("z", trigger_rule="success(a)"))))
    assert why(pilot, "z").verdict == "waiting"


# -- judged too late -----------------------------------------------------------------------------------------------------

MOMENT = "${{ run.started_at }}"


@pytest.mark.parametrize(
    "task",
    [
        py("a", "g", trigger_rule="always", when="1 < 2"),
        py("a", "g", trigger_rule="always", map=over([1])),
        Task("a", Switch((Case("1 < 2"),)), ("g",), trigger_rule="always"),
        Task("a", Sleep(until=MOMENT), ("g",), trigger_rule="always"),
        child("a", "other", "g", trigger_rule="always"),
        gate("a", "1 < 2", "g", trigger_rule="always"),
    ],
    ids=["when", "map", "switch", "sleep", "child", "gate"],
)
def test_a_gate_that_is_judged_first_ends_what_waits_beside_it(task: Task) -> None:
    pilot = Pilot(flow(gate("g", "1 > 2"), task)).fly()
    assert pilot.states()["a"] in ("skipped", "succeeded")
    if task.kind.value not in ("gate", "switch"):  # judged as early as the gate, in the order of the plan
        assert pilot.states()["a"] == "skipped"
    assert (pilot.started, pilot.children, pilot.state) == ([], [], "succeeded")


def test_inputs_that_were_lost_with_the_engine_are_judged_again() -> None:
    plan = flow(py("a", retry=tries(2, 1.0), with_={"n": "${{ params.n }}"}), params={"n": {}})
    pilot = begun(Pilot(plan, script({"a": Outcome(fails=1)}), {"n": 1}))
    pilot.land()
    for row in pilot.rows.values():
        row.inputs = None
    pilot.fire()
    assert pilot.flying[0].inputs.value["with"] == {"n": 1}
    assert pilot.fly().state == "succeeded"


def test_a_redelivery_gives_the_stored_inputs_and_none_where_there_are_none() -> None:
    plan = flow(py("a", with_={"n": "${{ params.n }}"}), params={"n": {}})
    pilot = begun(Pilot(plan, params={"n": 1}))
    (first,) = pilot.flying
    pilot.flying.clear()
    pilot.feed(e.Redelivered(1.0, first.key, "w2", 1, 7))
    assert (pilot.flying[0].inputs.value, pilot.flying[0].worker) == (first.inputs.value, "w2")
    for row in pilot.rows.values():
        row.inputs = None
    pilot.flying.clear()
    pilot.feed(e.Redelivered(2.0, first.key, "w3", 1, 8))
    assert pilot.flying[0].inputs.value == {}


@pytest.mark.parametrize("given", [None, {"n": 2}])
def test_a_redelivery_of_inputs_that_are_never_stored_gives_them_too(given: dict[str, int] | None) -> None:
    """As written, or as a rerun gave them in their place."""
    pilot = Pilot(flow(py("a", with_={"n": 1}))).fly()
    pilot.feed(e.RerunAsked(5.0, "ann", (Key(0),), given))
    (first,) = pilot.flying
    assert first.inputs.value["with"] == (given or {"n": 1})
    pilot.flying.clear()
    pilot.feed(e.Redelivered(6.0, first.key, "w2", 1, 99))
    assert pilot.flying[0].inputs.value == first.inputs.value


def test_what_a_person_ended_while_its_inputs_were_looked_up_is_not_sent() -> None:
    """And its place among `active_tasks` is free again."""
    task = py("a", retry=tries(2, 1.0), with_={"n": "${{ params.n }}"})
    plan = flow(task, params={"n": {}}, limits=Limits(active_tasks=1))
    for fails in (0, 1):
        pilot = Pilot(plan, script({"a": Outcome(fails=fails)}), {"n": 1})
        decision = Decision()
        pilot._decide(decision, [e.Started(0.0)])
        if fails:
            pilot._commit(decision)
            pilot.feed(e.Picked(0.0, Key(0), "w1", 1, 1))
            pilot.land()
            decision = Decision()
            pilot._decide(decision, [e.TaskAsked(pilot.now, "ann", Key(0), "retry")])
        sent = len(pilot.started)
        pilot._decide(decision, [e.Picked(9.0, Key(0), "w1", 1, 9), e.TaskAsked(9.0, "ann", Key(0), "skip")])
        pilot._commit(decision)
        assert (pilot.states(), len(pilot.started)) == ({"a": "skipped"}, sent)
        assert pilot.machine.board.busy == 0


@pytest.mark.parametrize(("rule", "state"), [("== 2", "succeeded"), ("== 3", "skipped"), ("> 2", "skipped")])
def test_a_group_counts_each_of_its_leaves_once(rule: str, state: str) -> None:
    plan = flow(group("g", noop("x"), noop("y")), py("z", trigger_rule=f'count(g, "succeeded") {rule}'))
    assert Pilot(plan).fly().states()["z"] == state


def test_a_person_cannot_change_what_has_ended() -> None:
    pilot = begun(Pilot(flow(py("a"), py("b"), py("c", "a"))))
    pilot.land()
    for action in ("skip", "succeed", "cancel", "retry"):
        assert pilot.feed(e.TaskAsked(1.0, "ann", Key(0), action)).stale == 1
    assert pilot.states()["a"] == "succeeded"


@pytest.mark.parametrize(("said", "reason"), [("too late", "too late"), (None, "asked")])
@pytest.mark.parametrize("action", ["skip", "succeed", "cancel"])
def test_what_a_person_says_is_the_reason(action: str, said: str | None, reason: str) -> None:
    pilot = begun(Pilot(flow(py("a"), py("b", "a"))))
    pilot.feed(e.TaskAsked(1.0, "ann", Key(1), action, said))
    row = pilot.newest(Key(1))
    assert row is not None
    assert (row.reason, row.by) == (reason, "ann")
