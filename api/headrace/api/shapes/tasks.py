"""Task runs, their attempts and their graph, as the API shows them and as it is asked to act on them. No Litestar here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headrace.api.shapes.runs import Reason, RunStateWord
from headrace.api.showing.attempts import Tried
from headrace.api.showing.reasons import sentence, sentences
from headrace.api.showing.times import instant
from headrace.engine.core.machine.explaining import Explanation
from headrace.engine.core.plan import Plan
from headrace.engine.ports.messages import Log
from headrace.engine.shell.views import TaskView

TaskStateWord = Literal[
    "pending",
    "queued",
    "dispatched",
    "running",
    "retrying",
    "waiting",
    "succeeded",
    "failed",
    "skipped",
    "upstream_failed",
    "cancelled",
    "removed",
]
Verdict = Literal["ready", "waiting", "will_skip", "will_fail", "final"]
AttemptState = Literal["dispatched", "running", "succeeded", "failed", "skipped", "cancelled", "lost"]
TaskName = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
INDEXES = r"^[0-9]{1,7}(,[0-9]{1,7}){0,2}$"


class ErrorEntry(msgspec.Struct, kw_only=True):
    """Why it failed: an exception's class, or exit, http, timeout, lost; and what it said."""

    kind: str
    message: str


class TaskRun(msgspec.Struct, kw_only=True):
    """One task in one run, the same object as on the command line. `map_path`: the indexes of the maps around it, outermost first;
    `map_index`: the innermost, null outside a map and for a map that has not expanded, is empty or was never entered."""

    id: str
    map_index: int | None
    map_path: list[int]
    kind: str
    state: TaskStateWord
    reason: str | None
    attempts: int
    generation: int
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    error: ErrorEntry | None
    child_run: str | None


class UpstreamEntry(msgspec.Struct, kw_only=True):
    """A direct upstream over all its task runs that count here. `satisfied`: its end is known and lets the task run."""

    id: str
    state: TaskStateWord
    counts: dict[str, int]
    satisfied: bool


class BlockerEntry(msgspec.Struct, kw_only=True):
    """One thing in the way, or one that decided: a code, the same in words, and what it rests on."""

    code: str
    message: str
    evidence: dict[str, Any]


class TaskState(TaskRun, kw_only=True):
    """A task run with what it waits for. `verdict`: ready (a worker may take it), waiting, will_skip or will_fail whatever its
    upstreams still do, or final. `upstreams`: how many it has; where there are many, a list tells those that matter most."""

    trigger_rule: str
    upstreams: int
    upstream: list[UpstreamEntry]
    verdict: Verdict
    blockers: list[BlockerEntry]


class TaskWhy(TaskState, kw_only=True):
    """The same, and why in sentences, the most telling first."""

    sentences: list[str]


class AttemptEntry(msgspec.Struct, kw_only=True):
    """One attempt. `state` lost: its worker vanished. `reason`: why it ended so, where that is not the task's own doing."""

    attempt: int
    generation: int
    state: AttemptState
    reason: str | None
    worker: str | None
    dispatched_at: str | None
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    error: ErrorEntry | None


class TimelineEntry(msgspec.Struct, kw_only=True):
    """A task run in time: each attempt is a bar of a chart. `ready_at`: when the last upstream ended that it had waited for when it
    began; the run's start for one that waits for none; null until it begins."""

    id: str
    map_index: int | None
    map_path: list[int]
    kind: str
    state: TaskStateWord
    ready_at: str | None
    started_at: str | None
    finished_at: str | None
    due_at: str | None
    attempts: list[AttemptEntry]


class GraphNode(msgspec.Struct, kw_only=True):
    """A task or group of the graph. `state`: of its one task run, or of the map or group as a whole; null inside a map, where
    `counts` tells how many of its task runs are in each state. A group's counts are those of its tasks."""

    id: str
    kind: str
    group: str | None
    level: int
    section: Literal["main", "on_failure", "finally"]
    trigger_rule: str
    mapped: bool
    state: TaskStateWord | None
    counts: dict[str, int]


class RunGraph(msgspec.Struct, kw_only=True):
    """The graph of a run with its states. `edges`: pairs of places in `nodes`, upstream first; groups stand for their roots and
    leaves."""

    run: str
    workflow: str
    version: int
    plan: str
    state: RunStateWord
    tasks: int
    depth: int
    width: int
    critical_path: list[str]
    nodes: list[GraphNode]
    edges: list[tuple[int, int]]


class LogLine(msgspec.Struct, kw_only=True):
    """One line that an attempt wrote; `number` counts from 0. `stream`: stdout, stderr, log."""

    number: int
    at: str
    stream: str
    text: str


class LogPage(msgspec.Struct, kw_only=True):
    """Lines in the order of writing. `next`: what to give as `after` for those that follow, also for those still to be written;
    `more`: whether there are some now."""

    items: list[LogLine]
    next: int
    more: bool


class HoleEntry(msgspec.Struct, kw_only=True):
    """A place in the inputs that only the worker fills: where, and with what; a secret is told by its name alone."""

    path: list[str | int]
    parts: list[Any]


class TaskInputs(msgspec.Struct, kw_only=True):
    """What a task run was given. `holes`: places that stand as null because only the worker fills them."""

    value: Any
    holes: list[HoleEntry]


class ArtifactEntry(msgspec.Struct, kw_only=True):
    """A value too large to stand in the database. `name`: its SHA-256; `task`: whose output it is, null for the run's own."""

    name: str
    size: int
    task: str | None
    generation: int


class TaskBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept with the decision."""

    reason: Reason | None = None


class SucceedBody(TaskBody, kw_only=True, forbid_unknown_fields=True):
    """`output`: what downstream tasks read as the task's output."""

    output: Any = None


class TaskCommanded(msgspec.Struct, kw_only=True):
    """What was asked of the engine. `decided`: it has done so; else it will, within a second where one lives."""

    run: str
    task: str
    action: Literal["retry", "cancel", "skip", "succeed"]
    decided: bool


def task_run(task: TaskView) -> dict[str, Any]:
    """The fields of a TaskRun."""
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
        "error": None if task.error is None else ErrorEntry(**task.error),
        "child_run": task.child_run,
    }


def task_state(plan: Plan, task: TaskView, told: Explanation | None) -> TaskState:
    """A task run with its explanation; None: it lies in a map that has not expanded."""
    return TaskState(**task_run(task), **_explained(plan, task, told))


def task_why(plan: Plan, task: TaskView, told: Explanation | None) -> TaskWhy:
    """The same with sentences."""
    node = plan.index[task.id]
    return TaskWhy(
        **task_run(task),
        **_explained(plan, task, told),
        sentences=list(sentences(task, told, plan.tasks[node].when)),
    )


def _explained(plan: Plan, task: TaskView, told: Explanation | None) -> dict[str, Any]:
    from headrace.engine.core.drawing.document import (
        rule_text,
    )  # draws graphs too: a command that only lists does not pay

    node = plan.index[task.id]
    rule = rule_text(plan, node)
    if told is None:
        count = len(plan.upstream(node))
        return {
            "trigger_rule": rule,
            "upstreams": count,
            "upstream": [],
            "verdict": "waiting",
            "blockers": [],
        }
    final = told.verdict == "final"
    return {
        "trigger_rule": rule,
        "upstreams": told.upstreams,
        "upstream": [
            UpstreamEntry(id=one.id, state=_any(one.state), counts=one.counts, satisfied=one.satisfied)
            for one in told.upstream
        ],
        "verdict": told.verdict,
        "blockers": [
            BlockerEntry(code=one.code, message=sentence(one, final), evidence=dict(one.evidence))
            for one in told.blockers
        ],
    }


def attempt_entry(tried: Tried) -> AttemptEntry:
    """An attempt as history tells it."""
    began, ended = tried.started_at, tried.finished_at
    error = tried.error
    return AttemptEntry(
        attempt=tried.attempt,
        generation=tried.generation,
        state=_any(tried.state),
        reason=tried.reason,
        worker=tried.worker,
        dispatched_at=instant(tried.dispatched_at),
        started_at=instant(began),
        finished_at=instant(ended),
        duration_seconds=None if began is None or ended is None else round(max(0.0, ended - began), 6),
        error=None if error is None else ErrorEntry(kind=error.kind, message=error.message),
    )


def timeline_entry(task: TaskView, ready_at: float | None, attempts: Iterable[Tried]) -> TimelineEntry:
    """A task run in time."""
    return TimelineEntry(
        id=task.id,
        map_index=task.map_index,
        map_path=list(task.map_path),
        kind=task.kind,
        state=_any(task.state),
        ready_at=instant(ready_at),
        started_at=instant(task.started_at),
        finished_at=instant(task.finished_at),
        due_at=instant(task.due_at),
        attempts=[attempt_entry(one) for one in attempts],
    )


def log_page(lines: Sequence[Log], after: int, limit: int) -> LogPage:
    """`lines`: those from number `after` on, one more than `limit` where there are more."""
    items = [
        LogLine(number=after + place, at=_any(instant(line.at)), stream=line.stream, text=line.text)
        for place, line in enumerate(lines[:limit])
    ]
    return LogPage(items=items, next=after + len(items), more=len(lines) > limit)


def error_of(error: Mapping[str, str] | None) -> ErrorEntry | None:
    """An error as kept."""
    return None if error is None else ErrorEntry(**error)


def _any(value: Any) -> Any:
    """A word of the core, where a model lists them."""
    return value
