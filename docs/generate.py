"""Writes the pages of docs/ that are made from the code: python docs/generate.py. A test fails when they are stale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from headrace.engine.broker import asyncapi
from headrace.engine.broker.kafka import schema
from headrace.engine.core.states import MOVES, RUN_MOVES, RunState, TaskState

State = TypeVar("State", TaskState, RunState)
HERE = Path(__file__).parent

TASK_MEANING = {
    TaskState.PENDING: "Waits for its upstreams, or is ready and stands in the line.",
    TaskState.QUEUED: "Ready; has asked for slots of a pool, or was handed back by a worker.",
    TaskState.DISPATCHED: "An attempt was sent to a worker, which has not said yet that it started.",
    TaskState.RUNNING: "The worker said that the attempt started.",
    TaskState.RETRYING: "An attempt failed; the next one starts when its delay has passed.",
    TaskState.WAITING: "Waits without a worker: a timer, the next poll, a child run, the items of a map, the tasks of a group.",
    TaskState.SUCCEEDED: "Done; its output is kept.",
    TaskState.FAILED: "Failed for good, with a reason and an error.",
    TaskState.SKIPPED: "Did not run, and that is fine: a condition, a rule, a switch, a gate, or the task itself said so.",
    TaskState.UPSTREAM_FAILED: "Did not run because something that it needs failed.",
    TaskState.CANCELLED: "Stopped, or never started, because somebody or a limit said so.",
    TaskState.REMOVED: "A rerun's map became shorter than this item.",
}
RUN_MEANING = {
    RunState.QUEUED: "Accepted; no engine has begun it, or `limits.active_runs` holds it back.",
    RunState.RUNNING: "Tasks are decided and dispatched.",
    RunState.PAUSED: "Nothing more is dispatched; what runs goes on.",
    RunState.CANCELLING: "Being stopped: running tasks end, then teardowns and `finally`.",
    RunState.SUCCEEDED: "All that decides the outcome succeeded or was skipped.",
    RunState.FAILED: "A deciding task failed, or the deadline passed.",
    RunState.CANCELLED: "Stopped because somebody said so.",
}


def states() -> str:
    """docs/states.md."""
    parts = [
        "# States\n",
        "*Made from the table in `headrace.engine.core.states` by `python docs/generate.py`; do not edit.*\n",
        "Final states never move. A rerun begins a new generation and keeps the old one.\n",
        "## Of a task run\n",
        _table(TASK_MEANING, MOVES),
        "From `queued` and `retrying`, `succeeded` and `skipped` are reached only when a person says so.\n",
        _diagram(MOVES),
        "## Of a run\n",
        _table(RUN_MEANING, RUN_MOVES),
        _diagram(RUN_MOVES),
    ]
    return "\n".join(parts)


def api_roles() -> str:
    """docs/api-roles.md."""
    from headrace.api.access.listing import routes_of
    from headrace.engine.ports.access import Role

    parts = [
        "# Who may call what\n",
        "*Made from the routes by `python docs/generate.py`; do not edit.*\n",
        "Each role may do what those before it may. A route that names no role answers nobody; everybody else than those marked is "
        "answered 403, and who says not who they are 401. What belongs to another project is 404. Users belong to the "
        "whole installation: to make one, or to change more than a role in one project, takes an admin of every project.\n",
        "| route | public | " + " | ".join(role.word for role in Role) + " |",
        "| --- | --- |" + " --- |" * len(Role),
    ]
    for route in routes_of():
        marks = ["✓" if route.role is None else ""]
        marks += ["✓" if route.role is None or role >= route.role else "" for role in Role]
        parts.append(f"| `{route.method} {route.path}` | " + " | ".join(marks) + " |")
    return "\n".join(parts) + "\n"


def _table(meaning: Mapping[State, str], moves: Mapping[State, frozenset[State]]) -> str:
    lines = ["| state | meaning | moves to |", "| --- | --- | --- |"]
    for state, text in meaning.items():
        after = " ".join(f"`{each.name.lower()}`" for each in sorted(moves[state])) or "final"
        lines.append(f"| `{state.name.lower()}` | {text} | {after} |")
    return "\n".join(lines) + "\n"


def _diagram(moves: Mapping[State, frozenset[State]]) -> str:
    lines: list[str] = ["```mermaid", "stateDiagram-v2"]
    for before, after in moves.items():
        lines += [f"  {before.name.lower()} --> {each.name.lower()}" for each in sorted(after)]
    return "\n".join([*lines, "```", ""])


PAGES = {
    "api-roles.md": api_roles,
    "asyncapi.yaml": asyncapi.text,
    "messages.schema.json": schema.text,
    "states.md": states,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
