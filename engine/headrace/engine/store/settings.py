"""What people set of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.store import tables
from headrace.engine.store.writes import insert_absent

_S = tables.workflow_settings.c
_SETTINGS = select(*(_S[name] for name in WorkflowSettings._fields))


def of_workflows(
    connection: Connection, project: str, names: Sequence[str] | None
) -> dict[str, WorkflowSettings]:
    """By name, those of all workflows or of these."""
    query = _SETTINGS.where(_S.project == project)
    if names is not None:
        query = query.where(_S.name.in_(names))
    return {row.name: WorkflowSettings._make(row) for row in connection.execute(query)}


def change(
    connection: Connection, project: str, name: str, at: float, paused: bool | None, priority: str | None
) -> WorkflowSettings:
    """Set what is given, leave the rest; the priority "" becomes none. Two at once change one row after the other."""
    row = {"project": project, **WorkflowSettings(name, changed_at=at)._asdict()}
    connection.execute(insert_absent(connection.dialect.name, tables.workflow_settings), row)
    changed: dict[str, Any] = {"changed_at": at}
    if paused is not None:
        changed["paused"] = paused
    if priority is not None:
        changed["priority"] = priority or None
    query = update(tables.workflow_settings).where(_S.project == project, _S.name == name).values(changed)
    returned = query.returning(*(_S[field] for field in WorkflowSettings._fields))
    return WorkflowSettings._make(connection.execute(returned).one())
