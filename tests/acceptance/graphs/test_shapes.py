"""Graphs that people really wrote: drawn with the facts known of them, and run to their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.dsl.source import Planned, plan, read_text
from headrace.engine.core.drawing import graph_document
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.shell.views import run_view
from headrace.runners.embedded import Embedded
from tests.acceptance.terminal import Terminal
from tests.support import graphs

LARGEST = 2_000
FACTS = {"tasks": "n_tasks", "edges": "n_edges", "depth": "depth", "width": "width"}
THROUGH_THE_COMMAND = (
    "helloworld-forkjoin-10-chameleon",
    "montage-chameleon-2mass-005d-001",
    "gha_argo_release",
)


def usual(path: Path) -> bool:
    return int(graphs.read(path)["expected"]["n_tasks"]) <= LARGEST


SHAPES = [path for path in graphs.files("traces", "graphs") if usual(path)]


def planned(graph: graphs.Graph) -> Planned:
    return plan(read_text(json.dumps(graph.document), f"{graph.name}.json"))


def agree(graph: graphs.Graph, facts: dict[str, Any]) -> None:
    """Headrace's facts are those that were computed of the graph without it."""
    expected = graph.expected
    assert {key: facts[key] for key in FACTS} == {key: expected[name] for key, name in FACTS.items()}
    assert len(facts["roots"]) == expected["n_roots"]
    assert len(facts["leaves"]) == expected["n_leaves"]
    for key in ("roots", "leaves"):
        if key in expected:
            assert sorted(facts[key]) == sorted(graph.ids[task] for task in expected[key])
    if "level_sizes" in expected:
        levels = [0] * expected["depth"]
        for node in facts["nodes"]:
            levels[node["level"] - min(other["level"] for other in facts["nodes"])] += 1
        assert levels == expected["level_sizes"]


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.name.split(".")[0])
async def test_a_real_graph_runs_to_its_end(path: Path, tmp_path: Path) -> None:
    """Every task without a rule of its own succeeds, each after all that it waits for."""
    graph = graphs.load(path)
    made = planned(graph)
    agree(graph, graph_document(made.plan, made.warnings))
    async with Embedded.open(tmp_path) as home:
        row = await home.submit(made.plan, {}, trigger={"kind": "manual"})
        order = [
            change.task async for change in home.watch(row) if change.task and change.after == "succeeded"
        ]
        view = await run_view(home.store, row.no)
    states = {task.id: task.state for task in view.tasks}
    assert RunState(view.run.state).final
    if not any(task.get("trigger_rule") for task in graph.data["tasks"]):
        assert set(states.values()) == {TaskState.SUCCEEDED.word}
    place = {task: number for number, task in enumerate(order)}
    for task in graph.data["tasks"]:
        for upstream in task["depends_on"]:
            before, after = graph.ids[upstream], graph.ids[task["id"]]
            assert before not in place or after not in place or place[before] < place[after]


@pytest.mark.parametrize("name", THROUGH_THE_COMMAND)
def test_a_real_graph_through_the_command(name: str, headrace: Terminal) -> None:
    (path,) = (path for path in SHAPES if path.name.startswith(name))
    graph = graphs.load(path)
    headrace.write("w.json", json.dumps(graph.document))
    agree(graph, headrace("graph", "w.json", "--format", "json").document)
    done = headrace("run", "w.json", "--json")
    assert done.status == 0, done.err
    assert len(done.states) == graph.expected["n_tasks"]
    assert set(done.states.values()) == {"succeeded"}
