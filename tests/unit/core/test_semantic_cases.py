"""Scenarios that were executed in another engine: here they must come to the same states, with and without crashes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from headrace.dsl.document import read_document
from headrace.dsl.source import plan, read_text
from headrace.engine.core.evaluation import Filled
from headrace.engine.core.events import Started
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.states import TaskState
from tests.support import graphs
from tests.support.pilot import Outcome, Pilot

CASES = [path for path in graphs.files("semantic") if graphs.read(path)["dialect"] == "airflow"]
ORDERS = (None, 1, 2, 3)


class Scenario:
    """One case, flown: when each task run started and ended, by the ids of the case."""

    def __init__(self, path: Path, order: int | None, crashes: bool) -> None:
        self.graph = graphs.load(path)
        self.plan: Plan = build_plan(read_document(self.graph.document))[0]
        self.pilot = Pilot(self.plan, self.body, seed=order)
        self.crashes = crashes
        self.started: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def body(self, name: str, inputs: Filled, attempt: int) -> Outcome:
        told = inputs.value["with"]
        return Outcome(graphs.STATES[told["outcome"]], fails=told["fail_times"])

    def fly(self, late: frozenset[str] = frozenset()) -> Scenario:
        """To the end. Attempts of the tasks in `late` (our names) end only when nothing else is under way."""
        pilot = self.pilot
        pilot.feed(Started(0.0))
        while not pilot.machine.final:
            if self.crashes:
                pilot.crash()
            if pilot.flying:
                pilot.flying.sort(key=lambda send: pilot.name(send.key) in late)
                pilot.land()
            elif not pilot.machine.final:
                pilot.fire()
        for position, move in enumerate(pilot.transitions):
            name, state = pilot.name(move.key), TaskState(move.after)
            if state is TaskState.DISPATCHED:
                self.started.setdefault(name, position)
            elif state.final:
                self.ended[name] = position
        return self

    def ours(self, id: str) -> str:
        """Our name of the case's task, or of `work[2]`."""
        if id in self.graph.ids:
            return self.graph.ids[id]
        task, index = re.fullmatch(r"(.*)(\[\d+\])", id).groups()  # type: ignore[union-attr]
        return f"{self.graph.ids[task]}{index}"


def flown(path: Path, order: int | None, crashes: bool) -> Scenario:
    return Scenario(path, order, crashes).fly()


@pytest.mark.parametrize("crashes", [False, True], ids=["calm", "crashes"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.split(".")[0])
def test_the_final_states_are_those_of_the_other_engine(path: Path, order: int | None, crashes: bool) -> None:
    case = flown(path, order, crashes)
    expected, states = case.graph.expected, case.pilot.states()
    open_to = expected.get("final_states_any_of", {})
    for id, state in expected["final_states"].items():
        allowed = {graphs.STATES[each] for each in open_to.get(id, [state])}
        assert states[case.ours(id)] in allowed, id
    if expected["run_state"] is not None:
        assert case.pilot.state == graphs.STATES[expected["run_state"]]
    for id, attempts in expected.get("attempts", {}).items():
        assert case.pilot.attempts(case.ours(id)) == attempts, id


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.split(".")[0])
def test_nothing_starts_before_what_it_waits_for(path: Path, order: int | None) -> None:
    case = flown(path, order, crashes=False)
    for before, after in case.graph.expected.get("order_constraints", []):
        if case.ours(after) in case.started:
            assert case.ended[case.ours(before)] < case.started[case.ours(after)], (before, after)


@pytest.mark.parametrize("path", [path for path in CASES if "timing" in graphs.read(path)["expected"]])
def test_eager_rules_start_at_once_and_patient_ones_wait(path: Path) -> None:
    timing = graphs.read(path)["expected"]["timing"]
    case = Scenario(path, None, crashes=False)
    case.fly(late=frozenset(case.ours(slow) for pairs in timing.values() for _, slow in pairs))
    for early, slow in timing["starts_before_end_of"]:
        assert case.started[case.ours(early)] < case.ended[case.ours(slow)], early
    for patient, slow in timing["starts_after_end_of"]:
        assert case.started[case.ours(patient)] > case.ended[case.ours(slow)], patient


# -- real graphs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", graphs.files("graphs", "traces"), ids=lambda path: path.name.split(".")[0])
def test_the_facts_of_a_real_graph_are_those_known_of_it(path: Path) -> None:
    graph = graphs.load(path)
    expected, plan = graph.expected, build_plan(read_document(graph.document))[0]
    facts = plan.facts
    names = {ours: given for given, ours in graph.ids.items()}
    for mine, theirs in (
        (facts.tasks, "n_tasks"),
        (facts.edges, "n_edges"),
        (facts.depth, "depth"),
        (facts.width, "width"),
    ):
        assert mine == expected[theirs], theirs
    for some, theirs in ((facts.roots, "roots"), (facts.leaves, "leaves")):
        assert len(some) == expected[f"n_{theirs}"]
        if theirs in expected:
            assert sorted(names[id] for id in some) == sorted(expected[theirs])
    levels = [list(plan.level).count(level) for level in range(facts.depth)]
    assert levels == expected.get("level_sizes", levels)
    for sample in expected["samples"]:
        node = plan.index[graph.ids[sample["task"]]]
        assert len(reached(plan.upstream, node)) == sample["n_ancestors"], sample
        assert len(reached(plan.downstream, node)) == sample["n_descendants"], sample
        assert plan.level[node] == sample["level"] - 1, sample


def reached(following: Callable[[int], Iterable[int]], start: int) -> set[int]:
    found: set[int] = set()
    front = [start]
    while front:
        fresh = set(following(front.pop())) - found
        found |= fresh
        front += fresh
    return found


@pytest.mark.parametrize("path", graphs.files("malformed"), ids=lambda path: path.name.split(".")[0])
def test_a_malformed_graph_is_answered_as_it_should_be(path: Path) -> None:
    """faults 1-4"""
    data = graphs.read(path)
    expected = data["expected"]
    accepted = expected.get("accept") or [expected.get("error", "ok")]
    try:
        plan(read_text(text_of(data), json=None if isinstance(data.get("raw"), str) else True))
    except InvalidWorkflow as refused:
        codes = {problem.code for problem in refused.problems}
    else:
        codes = {"ok"}
    assert codes <= {word.partition("_")[0] if word.startswith("ok_") else word for word in accepted}


def text_of(data: dict[str, Any]) -> str:
    """The file that a malformed graph stands for; what is given twice stays so. Only a cycle is told with safe ids."""
    raw = data.get("raw")
    if raw is not None:
        return raw if isinstance(raw, str) else json.dumps(raw)
    tasks = data["tasks"]
    known = {task["id"]: task["id"] for task in tasks}
    if data["expected"].get("error") == "cycle":
        known = graphs.safe_ids(known)
    told = []
    for task in tasks:
        spec: dict[str, Any] = {
            "noop": {},
            "depends_on": [known.get(up, up) for up in task["depends_on"] or ()],
        }
        if task.get("trigger_rule"):
            spec["trigger_rule"] = task["trigger_rule"]
        told.append(f"{json.dumps(known[task['id']])}: {json.dumps(spec)}")
    return f'{{"workflow": "w", "tasks": {{{", ".join(told)}}}}}'
