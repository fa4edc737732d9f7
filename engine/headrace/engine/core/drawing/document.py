"""The graph as a document that programs may rely on: `headrace graph --format json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.planning.edges import edges_between_tasks
from headrace.engine.core.problems import Problem
from headrace.engine.core.workflow import Group

_LATE = {Section.ON_FAILURE: "on_failure", Section.FINALLY: "finally"}


def graph_document(plan: Plan, warnings: Iterable[Problem] = ()) -> dict[str, Any]:
    """Facts and nodes. Groups are nodes too, but only tasks are counted, and the `upstream` of a task names tasks:
    groups stand for their roots and leaves. A node of `on_failure` or `finally` says so in `section`."""
    facts = plan.facts
    return {
        "tasks": facts.tasks,
        "edges": facts.edges,
        "depth": facts.depth,
        "width": facts.width,
        "roots": list(facts.roots),
        "leaves": list(facts.leaves),
        "critical_path": list(facts.critical_path),
        "nodes": _nodes(plan),
        "warnings": [problem_document(warning) for warning in warnings],
    }


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem or warning as `validate --json` prints it."""
    place = problem.place
    return {
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": list(problem.path),
        "task": problem.task,
    }


def _nodes(plan: Plan) -> list[dict[str, Any]]:
    between = edges_between_tasks(plan)
    ids = plan.ids
    found = []
    for node, task in enumerate(plan.tasks):
        upstream = plan.upstream(node) if isinstance(task.work, Group) else between.row(node)
        entry: dict[str, Any] = {
            "id": ids[node],
            "kind": plan.kinds[node].value,
            "group": ids[plan.group[node]] if plan.group[node] >= 0 else None,
            "level": plan.level[node],
            "upstream": [ids[source] for source in upstream],
            "trigger_rule": rule_text(plan, node),
            "mapped": task.map is not None,
        }
        if plan.sections[node]:
            entry["section"] = _LATE[Section(plan.sections[node])]
        found.append(entry)
    return found


def rule_text(plan: Plan, node: int) -> str:
    """The rule's name, or its expression as written."""
    if node in plan.teardowns and plan.tasks[node].trigger_rule == "all_success":
        return "all_done_setup_success"
    return plan.tasks[node].trigger_rule
