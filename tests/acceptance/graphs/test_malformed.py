"""Graphs that must be refused, and odd ones that must not: told apart by one command over all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.terminal import Terminal
from tests.support import graphs

OK = frozenset(("ok", "ok_dedup", "ok_strings"))
"""Outcomes of the data that mean: accepted."""


def file_of(path: Path, data: dict[str, Any]) -> tuple[str, str]:
    """The name and text of the file that says this graph; a task that is there twice stands in it twice."""
    name = path.name.split(".")[0]
    raw = data.get("raw")
    if isinstance(raw, str):
        return f"{name}.{'json' if raw.startswith('{') else 'yaml'}", raw
    listed = data["tasks"] if raw is None else raw["tasks"]
    if not isinstance(listed, list):
        return f"{name}.json", json.dumps({"workflow": "w", "tasks": listed})
    ids = [task["id"] for task in listed]
    if data["expected"].get("error") == "cycle":  # not about names: what peers allow in them is made harmless
        safe = graphs.safe_ids(ids)
        listed = [
            {**task, "id": safe[task["id"]], "depends_on": [safe[up] for up in task["depends_on"]]}
            for task in listed
        ]
    entries = [f"{json.dumps(str(task['id']))}: {json.dumps(told(task))}" for task in listed]
    return f"{name}.json", '{"workflow": "w",\n"tasks": {' + ",\n".join(entries) + "}}"


def told(task: dict[str, Any]) -> dict[str, Any]:
    rule = {"trigger_rule": task["trigger_rule"]} if task.get("trigger_rule") else {}
    return {"noop": {}, "depends_on": task["depends_on"], **rule}


@pytest.fixture(scope="module")
def judged(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every malformed graph with its problems, from one `validate --json`."""
    headrace = Terminal(tmp_path_factory.mktemp("malformed"))
    cases: dict[str, dict[str, Any]] = {}
    for path in graphs.files("malformed"):
        data = graphs.read(path)
        name, text = file_of(path, data)
        headrace.write(name, text)
        cases[name] = data
    done = headrace("validate", *cases, "--json", timeout=110)
    assert done.status == 2
    assert done.err == ""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for problem in done.document["problems"]:
        found[problem["file"]].append(problem)
    return {name.rpartition(".")[0]: (cases[name], found[name]) for name in cases}


@pytest.mark.parametrize("name", [path.name.split(".")[0] for path in graphs.files("malformed")])
def test_a_malformed_graph_is_told_as_what_it_is(
    name: str, judged: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
) -> None:
    data, problems = judged[name]
    expected = data["expected"]
    accept = set(expected.get("accept") or [expected.get("error", "ok")])
    if expected.get("valid"):
        accept.add("ok")
    codes = {problem["code"] for problem in problems}
    if not codes:
        assert accept & OK, accept
        return
    assert codes <= accept, problems
    assert all(problem["line"] is not None for problem in problems)
    if "cycle" in codes:
        assert all(" → " in problem["message"] for problem in problems)
