"""Workflows and their versions, as the API shows them. No Litestar here."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.api.shapes.runs import PriorityWord
from headrace.api.showing.times import instant
from headrace.engine.ports.store import VersionNote, VersionRow
from headrace.engine.ports.workflow_settings import WorkflowSettings


class WorkflowEntry(msgspec.Struct, kw_only=True):
    """A workflow in its newest version. `paused`: nothing starts it. `priority`: of its runs when neither trigger nor caller
    says one; null: as the workflow says."""

    name: str
    version: int
    plan: str
    description: str | None
    tags: list[str]
    created_at: str
    paused: bool
    priority: PriorityWord | None


class WorkflowChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be otherwise; what is left out stays. `priority` null: as the workflow says."""

    paused: bool | msgspec.UnsetType = msgspec.UNSET
    priority: PriorityWord | msgspec.UnsetType | None = msgspec.UNSET


class VersionEntry(msgspec.Struct, kw_only=True):
    """One version; `plan` is the hash of its document."""

    name: str
    version: int
    plan: str
    description: str | None
    tags: list[str]
    created_at: str


class VersionDetail(VersionEntry, kw_only=True):
    """One version whole: the document in the words of the language, defaults left out."""

    document: dict[str, Any]


class Warned(msgspec.Struct, kw_only=True):
    """A warning of `headrace validate`, with its place in the text."""

    code: str
    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: list[str | int] = []
    task: str | None = None


class Registered(VersionEntry, kw_only=True):
    """The version that the text is; `warnings` say what is valid and yet surprising."""

    warnings: list[Warned]


class Verdict(msgspec.Struct, kw_only=True):
    """What `headrace validate --json` prints; nothing was registered. `workflow` and `plan` are null when it is not valid."""

    schema: int
    valid: bool
    workflow: str | None
    plan: str | None
    problems: list[Warned]
    warnings: list[Warned]


class VersionDiff(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """Two versions beside each other, as a unified diff of their YAML."""

    workflow: str
    from_: int
    to: int
    diff: list[str]


class PlanDetail(msgspec.Struct, kw_only=True):
    """The plan that a run goes by."""

    run: str
    workflow: str
    version: int
    plan: str
    document: dict[str, Any]


def workflow_entry(row: VersionRow | VersionNote, settings: WorkflowSettings | None) -> WorkflowEntry:
    """The workflow whose newest version that is; `settings` None: nothing was ever set."""
    priority: Any = None if settings is None else settings.priority
    return WorkflowEntry(**_fields(row), paused=settings is not None and settings.paused, priority=priority)


def version_entry(row: VersionRow | VersionNote) -> VersionEntry:
    """The version as lists show it."""
    return VersionEntry(**_fields(row))


def version_detail(row: VersionRow) -> VersionDetail:
    """The version with its document."""
    return VersionDetail(**_fields(row), document=msgspec.json.decode(row.document))


def registered(row: VersionRow, warnings: list[Warned]) -> Registered:
    """The answer to an upload."""
    return Registered(**_fields(row), warnings=warnings)


def _fields(row: VersionRow | VersionNote) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "plan": row.plan,
        "description": row.description,
        "tags": list(row.tags),
        "created_at": instant(row.created_at),
    }
