"""Records for contract tests, each with defaults for what a test does not care about."""

from __future__ import annotations

import uuid
from typing import Any

from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.acts import Act
from headrace.engine.ports.store import Batch, HistoryRow, InboxRow, NewRun, RunUpdate, TaskRow, VersionRow

PROJECT = "default"


def new_run(**fields: Any) -> NewRun:
    given: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "project": PROJECT,
        "workflow": "etl",
        "version": 1,
        "plan": "plan-1",
        "part": 0,
        "params": b'{"day":"2026-01-01"}',
        "trigger": b'{"kind":"manual"}',
        "created_at": 100.0,
        "scheduled_at": 100.0,
        "priority": "normal",
    }
    return NewRun(**{**given, **fields})


def task_row(run: int, task: int = 0, state: TaskState = TaskState.SUCCEEDED, **fields: Any) -> TaskRow:
    given: dict[str, Any] = dict.fromkeys(TaskRow._fields)
    given.update(run=run, generation=1, task=task, map=0, state=int(state), attempt=1, epoch=1, n=1)
    return TaskRow(**{**given, **fields})


def run_update(no: int, state: RunState = RunState.RUNNING, **fields: Any) -> RunUpdate:
    given: dict[str, Any] = dict.fromkeys(RunUpdate._fields)
    given.update(no=no, state=int(state), generation=1, paused=False)
    if state.final:
        given["finished_at"] = 200.0
    return RunUpdate(**{**given, **fields})


def command(kind: str = "cancel", run: int | None = None, part: int = 0, body: bytes = b"{}") -> InboxRow:
    return InboxRow(0, part, run, kind, body, 100.0)


def version(name: str = "etl", plan: str = "plan-1", **fields: Any) -> VersionRow:
    given: dict[str, Any] = {
        "project": PROJECT,
        "version": 0,
        "document": b'{"workflow":"' + plan.encode() + b'"}',
        "description": None,
        "tags": (),
        "created_at": 100.0,
    }
    return VersionRow(**{"name": name, "plan": plan, **given, **fields})


def batch(epoch: int, seq: int, part: int = 0, **content: Any) -> Batch:
    return Batch(part=part, epoch=epoch, seq=seq, at=100.0 + seq, **content)


def history(run: int, seq: int, body: bytes = b"history") -> HistoryRow:
    return HistoryRow(run, seq, 100.0 + seq, body)


def act(action: str = "run.cancel", object: str = "run 1", **fields: Any) -> Act:
    given: dict[str, Any] = {"project": PROJECT, "at": 100.0, "actor": "user:ada", "address": "10.0.0.7"}
    return Act(**{**given, "action": action, "object": object, **fields})
