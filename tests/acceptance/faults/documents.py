"""Many small files judged by one command: the cost of starting it is paid once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.acceptance.terminal import Terminal


def problems(headrace: Terminal, files: Mapping[str, str | bytes]) -> dict[str, list[dict[str, Any]]]:
    """What `validate --json` says about each file."""
    for name, text in files.items():
        headrace.write(name, text)
    judged = headrace("validate", *files, "--json")
    assert judged.err == ""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in files}
    for problem in judged.document["problems"]:
        found[problem["file"]].append(problem)
    assert judged.status == (2 if any(found.values()) else 0)
    return found


def only(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """The one problem there is; with a place, or none was written down."""
    assert len(listed) == 1, listed
    return listed[0]


def flow(tasks: str, top: str = "") -> str:
    """A workflow of these lines of tasks."""
    return f"workflow: w\n{top}tasks:\n{tasks}"
