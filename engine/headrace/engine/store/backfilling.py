"""Backfills: kept with each of their moments, found when they are due or one of their runs has ended, advanced by one of all who
look."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, bindparam, func, insert, select, update

from headrace.engine.core.schedules.rules import key_of
from headrace.engine.ports.acts import Act
from headrace.engine.ports.backfills import (
    PASSED,
    STARTED,
    WAITING,
    BackfillMoment,
    BackfillRow,
    BackfillStep,
    ChangedBackfill,
    DueBackfill,
    NewBackfill,
)
from headrace.engine.ports.schedules import RunEnd
from headrace.engine.ports.store import InboxRow
from headrace.engine.store import auditing, scheduling, tables, writes

LOOKED_AT = 100
"""Moments that one look deals with."""
_CHUNK = 500  # values bound by one statement


_B, _M, _R = tables.backfills.c, tables.backfill_moments.c, tables.runs.c


def _is(state: str) -> ColumnElement[bool]:
    """Moments in that state. It stands in the text of the query: a partial index serves no parameter."""
    return _M.state == bindparam(None, state, type_=Text(), literal_execute=True)


_ROW = select(*(_B[name] for name in BackfillRow._fields))
_END = [_R[name] for name in RunEnd._fields]
_MOMENT = select(*(_M[name] for name in BackfillMoment._fields))
ENDED = (
    select(_M.backfill)
    .outerjoin_from(tables.backfill_moments, tables.runs, _R.id == _M.run)
    .where(_is(STARTED), _R.finished_at.is_not(None) | _R.id.is_(None))
)
_SEEN = select(_B.no, _B.revision).order_by(_B.no).with_for_update(skip_locked=True)
_MOVING = ("state", "problem", "due_at", "changed_at", "finished_at")
_ADVANCE = (
    update(tables.backfills)
    .where(_B.no == bindparam("number"))
    .values({name: bindparam(f"new_{name}") for name in _MOVING} | {"revision": _B.revision + 1})
)
_MOVE = (
    update(tables.backfill_moments)
    .where(_M.backfill == bindparam("number"), _M.place == bindparam("at_place"))
    .values(state=bindparam("new_state"), run=bindparam("new_run"))
)


def create(connection: Connection, new: NewBackfill, act: Act | None) -> BackfillRow:
    """The backfill with its moments, and the act's line about it."""
    values = new._asdict()
    del values["moments"]
    values |= {"state": "running", "revision": 1, "due_at": new.created_at, "changed_at": new.created_at}
    no = connection.execute(insert(tables.backfills).returning(_B.no), values).scalar_one()
    if act is not None:
        act = act._replace(object=f"backfill {no}")
        auditing.claim(connection, act)
    rows = [
        {"backfill": no, "place": place, "moment": moment, "state": WAITING, "run": None}
        for place, moment in enumerate(new.moments)
    ]
    if rows:
        connection.execute(insert(tables.backfill_moments), rows)
    if act is not None:
        auditing.note(connection, act)
    found = one(connection, new.project, no)
    assert found is not None
    return found


def listed(
    connection: Connection,
    project: str,
    workflow: str | None,
    state: str | None,
    before: int | None,
    limit: int | None,
) -> list[BackfillRow]:
    """Newest first."""
    query = _ROW.where(_B.project == project).order_by(_B.no.desc()).limit(limit)
    if workflow is not None:
        query = query.where(_B.workflow == workflow)
    if state is not None:
        query = query.where(_B.state == state)
    if before is not None:
        query = query.where(_B.no < before)
    return [BackfillRow._make(row) for row in connection.execute(query)]


def one(connection: Connection, project: str, no: int) -> BackfillRow | None:
    """That backfill."""
    row = connection.execute(_ROW.where(_B.project == project, _B.no == no)).first()
    return None if row is None else BackfillRow._make(row)


def counts(connection: Connection, numbers: Collection[int]) -> dict[int, dict[str, int]]:
    """How many moments of each are in which state."""
    query = select(_M.backfill, _M.state, func.count()).group_by(_M.backfill, _M.state)
    found: dict[int, dict[str, int]] = {number: {} for number in numbers}
    for number, state, count in connection.execute(query.where(_M.backfill.in_(list(numbers)))):
        found[number][state] = count
    return found


def moments(
    connection: Connection, no: int, state: str | None, after: int, limit: int | None
) -> list[BackfillMoment]:
    """In the order of their turns."""
    query = _MOMENT.where(_M.backfill == no).order_by(_M.place).limit(limit)
    if after >= 0:
        query = query.where(_M.place > after)
    if state is not None:
        query = query.where(_is(state))
    return [BackfillMoment._make(row) for row in connection.execute(query)]


def newest(
    connection: Connection, project: str, schedule: str, wanted: Sequence[float]
) -> dict[float, RunEnd]:
    """The newest run of each moment: the schedule's own, known by its key, or one that a backfill has begun."""
    found: dict[float, RunEnd] = {}

    def take(moment: float, row: Any) -> None:
        end = RunEnd._make(row)
        if moment not in found or found[moment].no < end.no:
            found[moment] = end

    for some in _chunks(wanted):
        keys = {key_of(schedule, moment): moment for moment in some}
        own = select(_R.idempotency, *_END).where(_R.project == project, _R.idempotency.in_(list(keys)))
        for key, *row in connection.execute(own):
            take(keys[key], row)
        again = (
            select(_M.moment, *_END)
            .join_from(tables.backfill_moments, tables.backfills, _B.no == _M.backfill)
            .join(tables.runs, _R.id == _M.run)
            .where(_M.run.is_not(None), _M.moment.in_(some), _B.project == project, _B.schedule == schedule)
        )
        for moment, *row in connection.execute(again):
            take(moment, row)
    return found


def change(
    connection: Connection,
    project: str,
    no: int,
    at: float,
    by: str,
    state: str | None,
    why: str | None,
    max_active: int | None,
    priority: str | None,
    stop: bytes | None,
) -> ChangedBackfill | None:
    """As it stands then. What is over keeps its state, and what a cancelled one has still going can be stopped afterwards."""
    which = [_B.project == project, _B.no == no, _B.state.in_(("running", "paused"))]
    values: dict[Any, Any] = {"revision": _B.revision + 1, "changed_at": at, "due_at": at}
    if max_active is not None:
        values["max_active"] = max_active
    if priority is not None:
        values["priority"] = priority
    if state is not None:
        values |= {"state": state, "paused_by": None, "paused_why": None}
        which.append(_B.state != state)
        if state == "paused":
            values |= {"paused_by": by, "paused_why": why}
    connection.execute(update(tables.backfills).where(*which).values(values))
    row = one(connection, project, no)
    if row is None or stop is None:
        return None if row is None else ChangedBackfill(row)
    live = (
        select(_R.no, _R.part)
        .join_from(tables.backfill_moments, tables.runs, _R.id == _M.run)
        .where(_M.backfill == no, _is(STARTED), _R.finished_at.is_(None))
    )
    commands = [InboxRow(0, run.part, run.no, "cancel", stop, at) for run in connection.execute(live).all()]
    if commands:
        writes.post_all(connection, commands)
    return ChangedBackfill(row, tuple(sorted({command.part for command in commands})))


def due(connection: Connection, now: float, limit: int) -> list[DueBackfill]:
    """What is to be looked at, with what deciding about it takes."""
    come = _ROW.where(_B.due_at.is_not(None), _B.due_at <= now).order_by(_B.due_at).limit(limit)
    freed = _ROW.where(_B.no.in_(ENDED)).order_by(_B.no).limit(limit)
    rows = {row.no: BackfillRow._make(row) for query in (come, freed) for row in connection.execute(query)}
    if not rows:
        return []
    workflows = sorted({(row.project, row.workflow) for row in rows.values()})
    versions = scheduling.newest_versions(connection, workflows)
    settings = scheduling.settings_of(connection, workflows)
    found = []
    for row in rows.values():
        started = moments(connection, row.no, STARTED, -1, None)
        coming = moments(connection, row.no, WAITING, -1, LOOKED_AT + 1)
        looked_at = tuple(coming[:LOOKED_AT])
        found.append(
            DueBackfill(
                row,
                versions.get((row.project, row.workflow)),
                settings.get((row.project, row.workflow)),
                tuple(started),
                scheduling.ends_of(connection, [each.run for each in started if each.run is not None]),
                looked_at,
                newest(connection, row.project, row.schedule, [each.moment for each in looked_at]),
                len(coming) > LOOKED_AT,
            )
        )
    return found


def advance(connection: Connection, steps: Sequence[BackfillStep]) -> list[BackfillStep]:
    """Those that still stand as they were seen; one that somebody else is advancing does not."""
    numbers = [step.backfill.no for step in steps]
    seen = {row.no: row.revision for row in connection.execute(_SEEN.where(_B.no.in_(numbers)))}
    taken = [step for step in steps if seen.get(step.backfill.no) == step.backfill.revision]
    if not taken:
        return []
    connection.execute(_ADVANCE, [_moved(step.backfill) for step in taken])
    runs = [run for step in taken for run in step.runs]
    begun = {created.id for created in writes.create_runs(connection, runs)} if runs else set()
    served = {
        run.id: _holder(connection, run.project, run.idempotency) for run in runs if run.id not in begun
    }
    moved = [
        {
            "number": step.backfill.no,
            "at_place": each.place,
            "new_state": PASSED if each.run in served else each.state,
            "new_run": None if each.run is None else served.get(each.run, each.run),
        }
        for step in taken
        for each in step.moved
    ]
    if moved:
        connection.execute(_MOVE, moved)
    return taken


def _holder(connection: Connection, project: str, idempotency: str | None) -> str | None:
    """The run that has the key."""
    found: str | None = connection.scalar(
        select(_R.id).where(_R.project == project, _R.idempotency == idempotency)
    )
    return found


def _moved(row: BackfillRow) -> dict[str, Any]:
    values = row._asdict()
    return {"number": row.no} | {f"new_{name}": values[name] for name in _MOVING}


def _chunks(values: Iterable[float]) -> Iterable[list[float]]:
    whole = list(values)
    for first in range(0, len(whole), _CHUNK):
        yield whole[first : first + _CHUNK]
