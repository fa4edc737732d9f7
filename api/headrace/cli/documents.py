"""What commands print for programs, from the API's shapes: every key, in this order (docs/cli.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from headrace.api.shapes.operations import LetterEntry, PoisonEntry
    from headrace.api.shapes.runs import RunEntry, RunStatus
    from headrace.api.shapes.tasks import TaskWhy
    from headrace.api.shapes.workflows import VersionEntry, WorkflowEntry
    from headrace.cli.station import Seen

_RUN = (
    *("run", "workflow", "version", "plan", "state", "reason", "params", "trigger"),
    *("created_at", "started_at", "finished_at", "duration_seconds"),
)
_TASK = (
    *("id", "map_index", "map_path", "kind", "state", "reason", "attempts", "generation"),
    *("started_at", "finished_at", "duration_seconds", "error", "child_run"),
)
_VERSION = ("name", "version", "plan", "description", "tags", "created_at")
_ASIDE = frozenset(("upstreams", "sentences"))


def run_document(seen: Seen) -> dict[str, Any]:
    """The object of `run --json` and `runs show --json`."""
    return {
        **run_entry(seen.run),
        "output": seen.run.output,
        **({} if seen.aside is None else {"set_aside": seen.aside}),
        "tasks": [_picked(task, _TASK) for task in seen.tasks],
    }


def run_entry(run: RunEntry) -> dict[str, Any]:
    """A run without its tasks and output, as in `runs list --json`."""
    return {"schema": 1, **_picked(run, _RUN)}


def status_document(status: RunStatus) -> dict[str, Any]:
    """The object of `runs show --status --json`."""
    return {"schema": 1, **msgspec.to_builtins(status)}


def why_document(task: TaskWhy) -> dict[str, Any]:
    """The task run with what it waits for, or what decided it: the object of `why --json`."""
    told: dict[str, Any] = msgspec.to_builtins(task)
    return {name: value for name, value in told.items() if name not in _ASIDE}


def version_document(version: VersionEntry | WorkflowEntry) -> dict[str, Any]:
    """A version of a workflow."""
    return _picked(version, _VERSION)


def letter_document(letter: LetterEntry | PoisonEntry) -> dict[str, Any]:
    """A dead letter, or all of one."""
    told: dict[str, Any] = msgspec.to_builtins(letter)
    told.pop("redacted", None)
    return told


def _picked(shape: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(shape, name)) for name in names}
