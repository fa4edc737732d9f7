"""The real graphs under tests/data/graphs as workflows. Their format is told in tests/data/graphs/README.md.

A graph becomes a workflow document (what a YAML file would hold). Ids that the language does not allow are given
safe names; `Graph.ids` leads from the graph's id to the workflow's.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "graphs"
_GOOD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,249}\Z")
_RESERVED = frozenset(("in", "true", "false", "null"))

STATES = {
    "success": "succeeded",
    "failed": "failed",
    "skipped": "skipped",
    "upstream_failed": "upstream_failed",
}
"""The peers' words for final states, in ours."""


@dataclass
class Graph:
    """One file: its parsed content, the workflow document, and the names of its tasks in it."""

    path: Path
    data: dict[str, Any]
    document: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name.split(".")[0]

    @property
    def expected(self) -> dict[str, Any]:
        return dict(self.data["expected"])


def files(*folders: str) -> list[Path]:
    """The graph files of these folders, sorted."""
    return sorted(
        path for folder in folders for path in (DATA / folder).iterdir() if ".json" in path.suffixes
    )


def read(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    return dict(json.loads(raw))


def load(path: Path) -> Graph:
    """A valid graph with its workflow document."""
    graph = Graph(path, read(path))
    graph.ids = safe_ids(task["id"] for task in graph.data["tasks"])
    graph.document = document(graph)
    return graph


def safe_ids(ids: Iterator[str] | list[str] | Any) -> dict[str, str]:
    """Each id, or a safe name made from it; never two the same."""
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for given in ids:
        name = given if _GOOD.match(given) and given not in _RESERVED else ""
        if not name:
            name = "t_" + re.sub(r"[^A-Za-z0-9_-]", "_", given)[:200]
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        chosen[given] = unique
    return chosen


def document(graph: Graph) -> dict[str, Any]:
    """The workflow: bodies are the Python function `bodies:body`, told by `with` what to do; traces run noops."""
    scenario = graph.expected.get("scenario")
    ids = graph.ids
    setups = {task["id"] for task in graph.data["tasks"] if task.get("setup")}
    tasks = {
        ids[task["id"]]: (
            scripted(task, ids, scenario, setups) if scenario is not None else structural(task, ids)
        )
        for task in graph.data["tasks"]
    }
    name = re.sub(r"[^A-Za-z0-9_-]", "_", graph.name)[:90]
    return {"workflow": f"g_{name}", "tasks": tasks}


def structural(task: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {"noop": {}}
    upstream = [ids[up] for up in dict.fromkeys(task["depends_on"])]
    if upstream:
        spec["depends_on"] = upstream
    if task.get("trigger_rule"):
        spec["trigger_rule"] = task["trigger_rule"]
    return spec


def scripted(
    task: Mapping[str, Any], ids: Mapping[str, str], scenario: Mapping[str, Any], setups: set[str]
) -> dict[str, Any]:
    """One task of a semantic case."""
    spec = structural(task, ids)
    del spec["noop"]
    kind, name = task.get("kind"), task["id"]
    outcomes = scenario["outcomes"]
    if kind in ("branch", "latest_only") and outcomes.get(name) is None:
        spec["switch"] = {
            "cases": [],
            "default": [ids[child] for child in scenario["branch_choice"].get(name, [])],
        }
    elif kind == "short_circuit" and outcomes.get(name) is None:
        told = scenario["short_circuit"][name]
        spec["gate"] = {
            "when": "true" if told["value"] else "false",
            "respect_trigger_rules": not told.get("ignore_downstream_trigger_rules", True),
        }
    else:
        spec["python"] = "bodies:body"
        spec["retry"] = {"attempts": task.get("retries", 0) + 1, "delay": "0s", "jitter": "none"}
        spec["with"] = {"fail_times": task.get("fail_times", 0), "outcome": outcomes.get(name, "success")}
        if task.get("map") is not None:
            wanted = [
                outcomes.get(f"{name}[{index}]", outcomes.get(name, "success"))
                for index in range(task["map"])
            ]
            spec["map"] = wanted
            spec["with"]["outcome"] = "${{ item }}"
    if task.get("teardown"):
        spec["teardown_of"] = [ids[up] for up in task["depends_on"] if up in setups]
        spec["depends_on"] = [ids[up] for up in task["depends_on"] if up not in setups]
        spec.pop("trigger_rule", None)
    return spec


BODIES = '''"""Scripted task bodies."""
from headrace.dsl import Fail, Skip, current

tries = {}


def body(outcome="success", fail_times=0):
    here = current()
    key = (here.run, here.task, tuple(here.map_path or ()))
    tries[key] = tries.get(key, 0) + 1
    if outcome == "skipped":
        raise Skip("scripted")
    if outcome == "failed":
        raise Fail("scripted")
    if tries[key] <= fail_times:
        raise RuntimeError("scripted")
'''
"""The module `bodies` that the documents name, to be written beside the workflow file."""
