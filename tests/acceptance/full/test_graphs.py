"""Real graphs, and the cases that were executed in Airflow, on a cluster: many runs at once, each ends as it must.

Where the embedded acceptance runs the traces as noops, every task here is an attempt that a worker makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.dsl.source import plan, read_text
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow
from tests.acceptance.graphs.test_semantics import CASES, ours
from tests.acceptance.graphs.test_shapes import SHAPES
from tests.support import graphs
from tests.support.deployment import Deployment, opened
from tests.support.servers import Servers

SCRIPTED = graphs.BODIES.replace("tries[key] <= fail_times", "here.attempt <= fail_times")
"""A retry may come to another worker, which has not counted the first."""


@pytest.fixture(scope="module")
def cluster(lab: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with opened(lab, tmp_path_factory.mktemp("graphs")) as made:
        made.write("bodies.py", SCRIPTED)
        made.team(("e1", "e2"), ("w1", "w2"))
        yield made


def given(path: Path) -> graphs.Graph:
    return graphs.load(path)


def started(cluster: Deployment, documents: Mapping[str, Mapping[str, Any]]) -> dict[str, RunRow]:
    """A run of each, all at once."""
    made = [plan(read_text(json.dumps(one), f"{name}.json")).plan for name, one in documents.items()]
    return dict(zip(documents, cluster.submit_all(made), strict=True))


def executed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same graph with Python bodies in place of noops."""
    tasks = {}
    for name, task in document["tasks"].items():
        body = {key: value for key, value in task.items() if key != "noop"}
        tasks[name] = body | ({"python": "bodies:body"} if "noop" in task else {})
    return {**document, "tasks": tasks}


def test_every_real_graph_ends_with_all_its_tasks(cluster: Deployment) -> None:
    """Up to 2,000 tasks, each after all that it waits for."""
    loaded = {path.name: given(path) for path in SHAPES}
    runs = started(cluster, {name: executed(graph.document) for name, graph in loaded.items()})
    cluster.wait(*runs.values(), within=180)
    wrong = {}
    for name, run in runs.items():
        view, graph = cluster.view(run), loaded[name]
        rules = any(task.get("trigger_rule") for task in graph.data["tasks"])
        if not RunState(view.run.state).final or (
            not rules and view.counts() != {"succeeded": len(graph.ids)}
        ):
            wrong[name] = view.counts()
        spans = {task.id: (task.started_at, task.finished_at) for task in view.tasks}
        for task in graph.data["tasks"]:
            began = spans[graph.ids[task["id"]]][0]
            for upstream in () if rules else task["depends_on"]:
                ended = spans[graph.ids[upstream]][1]
                if began is None or ended is None or began < ended:
                    wrong[f"{name}: {task['id']} after {upstream}"] = {}
    assert wrong == {}
    cluster.agree(*runs.values())


def test_every_case_of_airflow_ends_as_it_did_there(cluster: Deployment) -> None:
    loaded = {path.name: given(path) for path in CASES}
    runs = started(cluster, {name: graph.document for name, graph in loaded.items()})
    cluster.wait(*runs.values(), within=180)
    wrong = {}
    for name, run in runs.items():
        view, graph = cluster.view(run), loaded[name]
        expected = graph.expected
        states = {task.written: task.state for task in view.tasks}
        attempts = {task.written: task.attempts for task in view.tasks}
        any_of = expected.get("final_states_any_of") or {}
        for task, state in expected["final_states"].items():
            allowed = [graphs.STATES[word] for word in any_of.get(task, [state])]
            if states[ours(graph, task)] not in allowed:
                wrong[f"{name} {task}"] = (states[ours(graph, task)], allowed)
        ended = expected.get("run_state")
        if ended is not None and RunState(view.run.state).word != graphs.STATES[ended]:
            wrong[name] = (RunState(view.run.state).word, [ended])
        for task, count in (expected.get("attempts") or {}).items():
            if attempts[ours(graph, task)] != count:
                wrong[f"{name} {task} attempts"] = (str(attempts[ours(graph, task)]), [count])
    assert wrong == {}
    cluster.agree(*runs.values())
