"""Schedules: kept beside the versions of their workflows, found by when they are due, advanced by one of all who look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from headrace.engine.ports.schedules import (
    TIMING,
    DueSchedule,
    NewSchedule,
    RunEnd,
    ScheduleRow,
    ScheduleStep,
)
from headrace.engine.ports.store import VersionRow
from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.store import auditing, tables, writes

_S, _R, _V, _W = tables.schedules.c, tables.runs.c, tables.versions.c, tables.workflow_settings.c
_NOW: BindParameter[float] = bindparam("now")
_LIMIT = bindparam("most", type_=Integer)
_ROW = select(*(_S[name] for name in ScheduleRow._fields))
_ONE = _ROW.where(_S.project == bindparam("project"), _S.id == bindparam("id"))
_DUE = _ROW.where(_S.due_at <= _NOW).order_by(_S.due_at).limit(_LIMIT)
_GOES_ON = exists().where(_R.id == _S.waits_for, _R.finished_at.is_(None))
FREED = select(_S.no).where(_S.waits_for.is_not(None), ~_GOES_ON)
"""Those that wait for a run which has ended."""
_FREED = _ROW.where(_S.waits_for.is_not(None), ~_GOES_ON).order_by(_S.no).limit(_LIMIT)
_ENDS = select(*(_R[name] for name in RunEnd._fields)).where(_R.id.in_(bindparam("runs", expanding=True)))
_SEEN = (
    select(_S.no, _S.revision)
    .where(_S.no.in_(bindparam("numbers", expanding=True)))
    .order_by(_S.no)
    .with_for_update(skip_locked=True)
)
_FIXED = frozenset(("no", "project", "id", "workflow", "trigger", "revision", "created_at"))
_MOVING = tuple(name for name in ScheduleRow._fields if name not in _FIXED)
_ADVANCE = (
    update(tables.schedules)
    .where(_S.no == bindparam("number"))
    .values({name: bindparam(f"new_{name}") for name in _MOVING} | {"revision": _S.revision + 1})
)
_CHUNK = 1000  # values bound by one statement


def register(connection: Connection, version: VersionRow, wanted: Sequence[NewSchedule] | None) -> VersionRow:
    """The version; `wanted`: the schedules that its workflow has from now on, None leaves them."""
    kept = writes.register(connection, version)
    if wanted is not None:
        _keep(connection, version.project, version.name, wanted, version.created_at)
    return kept


def listed(
    connection: Connection, project: str, workflow: str | None, after: str | None, limit: int | None
) -> list[ScheduleRow]:
    """By id."""
    query = _ROW.where(_S.project == project).order_by(_S.id).limit(limit)
    if workflow is not None:
        query = query.where(_S.workflow == workflow)
    if after is not None:
        query = query.where(_S.id > after)
    return [_row(row) for row in connection.execute(query)]


def one(connection: Connection, project: str, id: str) -> ScheduleRow | None:
    """That schedule."""
    row = connection.execute(_ONE, {"project": project, "id": id}).first()
    return None if row is None else _row(row)


def _keep(
    connection: Connection, project: str, workflow: str, wanted: Sequence[NewSchedule], at: float
) -> None:
    """Make these the schedules of the workflow, whose row is locked. One that says when as before goes on from where it
    stands; what is new or says otherwise begins now."""
    known = {row.id: row for row in listed(connection, project, workflow, None, None)}
    gone = known.keys() - {new.id for new in wanted}
    if gone:
        connection.execute(delete(tables.schedules).where(_S.no.in_([known[id].no for id in gone])))
    begun = [_begun(project, workflow, new, at) for new in wanted if new.id not in known]
    if begun:
        connection.execute(insert(tables.schedules), begun)
    for new in wanted:
        row = known.get(new.id)
        if row is not None and row.trigger != new.trigger:
            changed: dict[Any, Any] = {
                "trigger": new.trigger,
                "revision": _S.revision + 1,
                "changed_at": at,
                "problem": None,
                "due_at": None if row.paused else at,
            }
            if _timing(row.trigger) != _timing(new.trigger):
                changed |= {"cursor": at, "waiting": "[]", "waits_for": None}
            connection.execute(update(tables.schedules).where(_S.no == row.no).values(changed))


def _begun(project: str, workflow: str, new: NewSchedule, at: float) -> dict[str, Any]:
    return {
        "project": project,
        "id": new.id,
        "workflow": workflow,
        "trigger": new.trigger,
        "revision": 1,
        "paused": False,
        "cursor": at,
        "due_at": at,
        "waiting": "[]",
        "running": "[]",
        "failures": 0,
        "skipped": 0,
        "created_at": at,
        "changed_at": at,
    }


def _timing(trigger: bytes) -> list[Any]:
    written = json.loads(trigger)
    return [written.get(name) for name in TIMING]


def set_paused(
    connection: Connection, project: str, id: str, at: float, paused: bool, by: str, why: str | None
) -> ScheduleRow | None:
    """Pause or resume it, unless it stands so already."""
    changed = {
        "paused": paused,
        "paused_by": by if paused else None,
        "paused_why": why if paused else None,
        "revision": _S.revision + 1,
        "changed_at": at,
        "waiting": "[]",
        "waits_for": None,
        "due_at": None if paused else at,
    }
    if not paused:
        changed |= {"cursor": at, "failures": 0, "problem": None}
    stands = (_S.project == project, _S.id == id, _S.paused != paused)
    connection.execute(update(tables.schedules).where(*stands).values(changed))
    return one(connection, project, id)


def due(connection: Connection, now: float, limit: int) -> list[DueSchedule]:
    """What is to be looked at, with what deciding about it takes."""
    asked = {"now": now, "most": limit}
    rows = [_row(row) for query in (_DUE, _FREED) for row in connection.execute(query, asked)]
    found = list({row.no: row for row in rows}.values())
    if not found:
        return []
    workflows = sorted({(row.project, row.workflow) for row in found})
    versions, settings = newest_versions(connection, workflows), settings_of(connection, workflows)
    ends = ends_of(connection, [run for row in found for run in row.running])
    return [
        DueSchedule(
            row,
            versions.get((row.project, row.workflow)),
            settings.get((row.project, row.workflow)),
            {run: ends[run] for run in row.running if run in ends},
        )
        for row in found
    ]


def newest_versions(
    connection: Connection, workflows: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], VersionRow]:
    """The newest versions, without their documents."""
    newest = (
        select(_V.project, _V.name, func.max(_V.version).label("version"))
        .where(tuple_(_V.project, _V.name).in_(workflows))
        .group_by(_V.project, _V.name)
        .subquery()
    )
    same = (_V.project == newest.c.project, _V.name == newest.c.name, _V.version == newest.c.version)
    columns = [_V[name] for name in VersionRow._fields if name != "document"]
    found = connection.execute(select(*columns).join(newest, same[0] & same[1] & same[2])).mappings()
    return {
        (row["project"], row["name"]): VersionRow(
            **{**row, "document": b"", "tags": tuple(json.loads(row["tags"]))}
        )
        for row in found
    }


def settings_of(
    connection: Connection, workflows: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], WorkflowSettings]:
    """What was set of them, where anything was."""
    columns = (_W.project, *(_W[name] for name in WorkflowSettings._fields))
    found = connection.execute(select(*columns).where(tuple_(_W.project, _W.name).in_(workflows)))
    return {(project, name): WorkflowSettings(name, *rest) for project, name, *rest in found}


def ends_of(connection: Connection, runs: Sequence[str]) -> dict[str, RunEnd]:
    """How those of the runs stand that there are."""
    return {
        row.id: RunEnd._make(row)
        for some in _chunks(runs)
        for row in connection.execute(_ENDS, {"runs": some})
    }


def advance(connection: Connection, steps: Sequence[ScheduleStep]) -> list[ScheduleStep]:
    """Those that still stand as they were seen; one that somebody else is advancing does not."""
    seen: dict[int, int] = {}
    for some in _chunks(sorted(step.schedule.no for step in steps)):
        seen.update({row.no: row.revision for row in connection.execute(_SEEN, {"numbers": some})})
    taken = [step for step in steps if seen.get(step.schedule.no) == step.schedule.revision]
    if not taken:
        return []
    connection.execute(_ADVANCE, [_moved(step.schedule) for step in taken])
    runs = [run for step in taken for run in step.runs]
    if runs:
        writes.create_runs(connection, runs)
    commands = [command for step in taken for command in step.commands]
    if commands:
        writes.post_all(connection, commands)
    for step in taken:
        if step.act is not None:
            auditing.note(connection, step.act)
    return taken


def _moved(row: ScheduleRow) -> Mapping[str, Any]:
    values = row._asdict() | {"waiting": json.dumps(row.waiting), "running": json.dumps(row.running)}
    return {"number": row.no} | {f"new_{name}": values[name] for name in _MOVING}


def _row(row: Any) -> ScheduleRow:
    found = ScheduleRow._make(row)
    return found._replace(
        waiting=() if row.waiting == "[]" else tuple(json.loads(row.waiting)),
        running=() if row.running == "[]" else tuple(json.loads(row.running)),
    )


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(values)
    for first in range(0, len(whole), _CHUNK):
        yield whole[first : first + _CHUNK]
