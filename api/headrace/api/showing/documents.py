"""Runs and task runs as objects for programs: `--json` prints these, and they hold what the API answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.api.showing.reasons import explained, sentence
from headrace.api.showing.times import instant
from headrace.engine.core.states import RunState, TaskState

if TYPE_CHECKING:
    from headrace.engine.core.machine.machine import RunMachine
    from headrace.engine.ports.cache import Degraded, Status
    from headrace.engine.ports.roster import WorkerRow
    from headrace.engine.ports.store import RunRow
    from headrace.engine.shell.views import RunView, TaskView

FINAL = frozenset(state.word for state in TaskState if state.final)


def run_document(view: RunView) -> dict[str, Any]:
    """The object of `run --json` and `runs show --json`."""
    return {
        **run_entry(view.run),
        "output": _json(view.run.output),
        "tasks": list(map(task_document, view.tasks)),
    }


def run_entry(row: RunRow) -> dict[str, Any]:
    """A run without its tasks and output, as in `runs list --json`."""
    ended, began = row.finished_at, row.started_at
    return {
        "schema": 1,
        "run": row.id,
        "workflow": row.workflow,
        "version": row.version,
        "plan": row.plan,
        "state": state_word(row),
        "reason": row.reason,
        "params": _json(row.params),
        "trigger": _json(row.trigger),
        "created_at": instant(row.created_at),
        "started_at": instant(began),
        "finished_at": instant(ended),
        "duration_seconds": None if ended is None or began is None else round(ended - began, 6),
    }


def status_document(status: Status, degraded: Degraded | None) -> dict[str, Any]:
    """The object of `runs show --status --json`."""
    return {
        "schema": 1,
        "run": status.run,
        "workflow": status.workflow,
        "version": status.version,
        "state": standing_word(status),
        "reason": status.reason,
        "generation": status.generation,
        "created_at": instant(status.created_at),
        "started_at": instant(status.started_at),
        "finished_at": instant(status.finished_at),
        "tasks": status.tasks,
        "degraded": None if degraded is None else {"why": degraded.why, "since": instant(degraded.since)},
    }


def task_document(task: TaskView) -> dict[str, Any]:
    """The task run of CLI and API."""
    return {
        "id": task.id,
        "map_index": task.map_index,
        "map_path": list(task.map_path),
        "kind": task.kind,
        "state": task.state,
        "reason": task.reason,
        "attempts": task.attempts,
        "generation": task.generation,
        "started_at": instant(task.started_at),
        "finished_at": instant(task.finished_at),
        "duration_seconds": task.duration_seconds,
        "error": task.error,
        "child_run": task.child_run,
    }


def why_document(machine: RunMachine, workers: Sequence[WorkerRow] | None, task: TaskView) -> dict[str, Any]:
    """The task run with what it waits for, or what decided it: the object of `why --json`."""
    from headrace.engine.core.drawing.document import rule_text

    explanation = explained(machine, task, workers)
    return {
        **task_document(task),
        "trigger_rule": rule_text(machine.plan, machine.plan.index[task.id]),
        "upstream": [
            {"id": one.id, "state": one.state, "counts": one.counts, "satisfied": one.satisfied}
            for one in (explanation.upstream if explanation else ())
        ],
        "verdict": explanation.verdict if explanation else "waiting",
        "blockers": [
            {
                "code": blocker.code,
                "message": sentence(blocker, task.state in FINAL),
                "evidence": dict(blocker.evidence),
            }
            for blocker in (explanation.blockers if explanation else ())
        ],
    }


def state_word(row: RunRow) -> str:
    """The state as people read it; a paused run that is not final is `paused`."""
    return _as_read(RunState(row.state), row.paused)


def standing_word(status: Status) -> str:
    """The same of a status."""
    return _as_read(RunState[status.state.upper()], status.paused)


def _as_read(state: RunState, paused: bool) -> str:
    return "paused" if paused and not state.final and state is not RunState.CANCELLING else state.word


def _json(data: bytes | None) -> Any:
    return None if data is None else json.loads(data)
