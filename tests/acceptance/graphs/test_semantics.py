"""The cases that were executed in Airflow itself, run here with real Python bodies: the same final states."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.dsl.source import plan, read_text
from headrace.engine.core.states import RunState
from headrace.engine.shell.views import run_view
from headrace.runners.embedded import Embedded
from tests.support import graphs

CASES = [path for path in graphs.files("semantic") if graphs.read(path)["dialect"] == "airflow"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.split(".")[0])
async def test_the_final_states_are_airflows(path: Path, tmp_path: Path) -> None:
    graph = graphs.load(path)
    (tmp_path / "bodies.py").write_text(graphs.BODIES)
    source = read_text(json.dumps(graph.document), str(tmp_path / "w.json"))
    sys.modules.pop("bodies", None)
    async with Embedded.open(tmp_path) as home:
        row = await home.submit(
            plan(source).plan, {}, trigger={"kind": "manual"}, folder=str(tmp_path), file="w.json"
        )
        order: list[tuple[str, str]] = [
            (change.task, change.after) async for change in home.watch(row) if change.task
        ]
        view = await run_view(home.store, row.no)
    expected = graph.expected
    states = {task.written: task.state for task in view.tasks}
    attempts = {task.written: task.attempts for task in view.tasks}
    any_of = expected.get("final_states_any_of") or {}
    for given, state in expected["final_states"].items():
        name = ours(graph, given)
        allowed = any_of.get(given, [state])
        assert states[name] in [graphs.STATES[word] for word in allowed], (name, states)
    if expected.get("run_state") is not None:
        assert RunState(view.run.state).word == graphs.STATES[expected["run_state"]]
    for given, count in (expected.get("attempts") or {}).items():
        assert attempts[ours(graph, given)] == count
    ends = {task: number for number, (task, after) in enumerate(order) if after in graphs.STATES.values()}
    for before, after in expected.get("order_constraints") or ():
        assert ends[ours(graph, before)] < ends[ours(graph, after)]
    for earlier, later in timing(expected, "starts_after_end_of"):
        starts = next(
            n for n, (task, after) in enumerate(order) if task == ours(graph, earlier) and after != "pending"
        )
        assert starts > ends[ours(graph, later)]


def timing(expected: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    told = (expected.get("timing") or {}).get(kind) or []
    return [(pair[0], pair[1]) for pair in told]


def ours(graph: graphs.Graph, given: str) -> str:
    """`work[2]` of the data by our id."""
    name, bracket, index = given.partition("[")
    return graph.ids[name] + bracket + index
