"""What the tests of this folder share: documents with one task, and problems as short text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.dsl.document import examine, read_document
from headrace.engine.core.problems import Problem
from headrace.engine.core.workflow import Task, Workflow

Document = dict[str, Any]


def document(task: Mapping[str, Any] | None = None, **top: Any) -> Document:
    """A workflow `w` with the task `t` and these top-level keys."""
    return {"workflow": "w", "tasks": {"t": {"noop": {}} if task is None else task}, **top}


def workflow(task: Mapping[str, Any] | None = None, **top: Any) -> Workflow:
    return read_document(document(task, **top))


def task(**keys: Any) -> Task:
    """The task that these keys say; a noop unless they say a kind."""
    kinds = {
        "python",
        "shell",
        "http",
        "container",
        "workflow",
        "sleep",
        "signal",
        "approval",
        "switch",
        "gate",
        "noop",
    }
    spec = keys if kinds & keys.keys() or "tasks" in keys else {"noop": {}, **keys}
    [found] = workflow(spec).tasks
    return found


def problems(task: Mapping[str, Any] | None = None, **top: Any) -> list[Problem]:
    return list(examine(document(task, **top)).problems)


def told(task: Mapping[str, Any] | None = None, **top: Any) -> str:
    """The only problem: `code at path: message hint`."""
    found = problems(task, **top)
    assert len(found) == 1, [str(problem) for problem in found]
    return line(found[0])


def line(problem: Problem) -> str:
    where = ".".join(map(str, problem.path))
    return f"{problem.code} at {where}: {problem}"
