"""Pools: kept, changed, and who uses them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Integer, and_, delete, func, literal_column, select, update

from headrace.engine.core.states import TaskState
from headrace.engine.ports.pools import PoolRow, TaskUse
from headrace.engine.ports.store import InboxRow
from headrace.engine.store import tables, writes

_P, _R, _T, _V, _D = tables.pools.c, tables.runs.c, tables.task_runs.c, tables.versions.c, tables.plans.c
_ROW = select(*(_P[name] for name in PoolRow._fields))
_KEY = b'"pool"'
_IN_USE = (TaskState.QUEUED, TaskState.DISPATCHED, TaskState.RUNNING)


def listed(connection: Connection, project: str | None, after: str, limit: int | None) -> list[PoolRow]:
    query = _ROW.where(_P.name > after).order_by(_P.name).limit(limit)
    if project is not None:
        query = query.where(_P.project == project)
    return [PoolRow._make(row) for row in connection.execute(query)]


def one(connection: Connection, project: str, name: str) -> PoolRow | None:
    row = connection.execute(_ROW.where(_P.project == project, _P.name == name)).first()
    return None if row is None else PoolRow._make(row)


def put(connection: Connection, row: PoolRow, told: InboxRow) -> PoolRow:
    """Two at once change one row after the other."""
    values = row._asdict()
    connection.execute(writes.insert_absent(connection.dialect.name, tables.pools), values)
    same = _P.project == row.project, _P.name == row.name
    connection.execute(update(tables.pools).where(*same).values(values))
    writes.post_all(connection, [told])
    return row


def drop(connection: Connection, project: str, name: str, told: InboxRow) -> PoolRow | None:
    same = _P.project == project, _P.name == name
    gone = connection.execute(
        delete(tables.pools).where(*same).returning(*(_P[field] for field in PoolRow._fields))
    ).first()
    if gone is None:
        return None
    writes.post_all(connection, [told])
    return PoolRow._make(gone)


def live_plans(connection: Connection, project: str) -> list[str]:
    query = select(_R.plan).distinct().join_from(tables.runs, tables.plans, _D.plan == _R.plan)
    query = query.where(_R.project == project, _R.finished_at.is_(None), _names_pools(connection))
    return list(connection.scalars(query))


def newest_plans(connection: Connection, project: str) -> list[tuple[str, str]]:
    newest = (
        select(_V.name, func.max(_V.version).label("version"))
        .where(_V.project == project)
        .group_by(_V.name)
        .subquery()
    )
    same = and_(_V.name == newest.c.name, _V.version == newest.c.version, _V.project == project)
    query = (
        select(_V.name, _V.plan)
        .join_from(newest, tables.versions, same)
        .join(tables.plans, _D.plan == _V.plan)
        .where(_names_pools(connection))
        .order_by(_V.name)
    )
    return [(row.name, row.plan) for row in connection.execute(query)]


def _names_pools(connection: Connection) -> ColumnElement[bool]:
    """Whether the text of a plan has the key at all: most have not, and need not be built."""
    if connection.dialect.name == "sqlite":
        return func.instr(_D.document, _KEY) > 0
    return literal_column(f"position('\\x{_KEY.hex()}'::bytea IN plans.document)", Integer) > 0


def in_use(connection: Connection, project: str, plans: Collection[str]) -> list[TaskUse]:
    query = (
        select(_R.plan, _T.task, _T.state, func.count())
        .join_from(tables.runs, tables.task_runs, _T.run == _R.no)
        .where(_R.project == project, _R.finished_at.is_(None), _R.plan.in_(plans), _T.state.in_(_IN_USE))
        .group_by(_R.plan, _T.task, _T.state)
    )
    return [TaskUse._make(row) for row in connection.execute(query)]
