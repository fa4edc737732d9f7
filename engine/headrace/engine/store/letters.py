"""Dead letters: attempts that failed for good, and messages that nobody could read. Listed, grouped, handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, func, select, update

from headrace.engine.ports.letters import DeadLetter, LetterGroup, PoisonLetter, Requeue, Requeued
from headrace.engine.store import tables, writes
from headrace.engine.store.reads import CHUNK

OPEN, REQUEUED, DISCARDED = "open", "requeued", "discarded"

_D = tables.dead_letters.c
LETTER: Select[Any] = select(
    *(
        func.coalesce(tables.runs.c.id, "").label("run_id") if name == "run_id" else _D[name]
        for name in DeadLetter._fields
    )
).select_from(tables.dead_letters.outerjoin(tables.runs, tables.runs.c.no == _D.run))


class Wanted(NamedTuple):
    """Which letters: those of the project that fit everything that is given."""

    project: str
    workflow: str | None = None
    task: str | None = None
    fingerprint: str | None = None
    state: str | None = None

    def of(self, query: Select[Any]) -> Select[Any]:
        query = query.where(_D.project == self.project)
        for column, value in ((_D.workflow, self.workflow), (_D.task_id, self.task), (_D.state, self.state)):
            if value is not None:
                query = query.where(column == value)
        if self.fingerprint is not None:
            query = query.where(_D.fingerprint.startswith(self.fingerprint, autoescape=True))
        return query


def listed(connection: Connection, wanted: Wanted, before: int | None, limit: int) -> list[DeadLetter]:
    """Newest first, below the id `before`. Errors are for reading only and are not checked."""
    query = wanted.of(LETTER)
    if before is not None:
        query = query.where(_D.id < before)
    return [DeadLetter._make(row) for row in connection.execute(query.order_by(_D.id.desc()).limit(limit))]


def one(connection: Connection, project: str, letter: int) -> DeadLetter | None:
    """The letter of that id, when it is the project's."""
    row = connection.execute(LETTER.where(_D.project == project, _D.id == letter)).first()
    return None if row is None else DeadLetter._make(row)


def these(connection: Connection, project: str, ids: Sequence[int]) -> list[DeadLetter]:
    """Those of the ids that are the project's, oldest first."""
    query = LETTER.where(_D.project == project).order_by(_D.id)
    found: list[DeadLetter] = []
    for start in range(0, len(ids), CHUNK):
        some = connection.execute(query.where(_D.id.in_(ids[start : start + CHUNK])))
        found.extend(DeadLetter._make(row) for row in some)
    return sorted(found, key=lambda letter: letter.id)


def count(connection: Connection, project: str) -> int:
    """How many are open."""
    query = (
        select(func.count()).select_from(tables.dead_letters).where(_D.project == project, _D.state == OPEN)
    )
    return int(connection.scalar(query) or 0)


def groups(connection: Connection, wanted: Wanted, limit: int) -> list[LetterGroup]:
    """By fingerprint, the one with the newest letter first."""
    counted = wanted.of(
        select(
            _D.fingerprint,
            _D.workflow,
            _D.task_id,
            func.count().label("letters"),
            func.count().filter(_D.state == OPEN).label("open"),
            func.min(_D.at).label("first_at"),
            func.max(_D.at).label("newest_at"),
            func.max(_D.id).label("newest"),
        )
    )
    grouped = counted.group_by(_D.fingerprint, _D.workflow, _D.task_id)
    page = grouped.order_by(func.max(_D.id).desc()).limit(limit).subquery("page")
    query = select(*page.c, _D.error).join_from(page, tables.dead_letters, _D.id == page.c.newest)
    return [LetterGroup._make(row) for row in connection.execute(query.order_by(page.c.newest.desc()))]


def requeue(
    connection: Connection, wanted: Sequence[Requeue], by: str, at: float, project: str | None
) -> list[Requeued]:
    """Open letters, of the project if one is given, become requeued; the commands of those that have any are posted. In the order of parts, as everyone
    does who takes the locks of several inboxes."""
    done = []
    for letters, command in sorted(wanted, key=lambda one: (one.command.part, one.command.run or 0)):
        found = _handle(connection, tables.dead_letters, letters, REQUEUED, by, None, at, project)
        if found:
            posted = writes.post(connection, command)
            done.append(Requeued(tuple(found), command._replace(id=posted)))
    return done


def discard(
    connection: Connection, letters: Sequence[int], by: str, note: str, at: float, project: str | None
) -> list[int]:
    """Open letters, of the project if one is given, become discarded."""
    return _handle(connection, tables.dead_letters, letters, DISCARDED, by, note, at, project)


def reopen(connection: Connection, letters: Sequence[int], at: float, project: str | None) -> list[int]:
    """Handled letters, of the project if one is given, are open again."""
    values = {"state": OPEN, "handled_at": None, "by": None, "note": None}
    query = update(tables.dead_letters).where(_D.id.in_(letters), _D.state != OPEN, _D.handled_at <= at)
    if project is not None:
        query = query.where(_D.project == project)
    return sorted(connection.scalars(query.values(values).returning(_D.id)))


def _handle(
    connection: Connection,
    table: Table,
    letters: Sequence[int],
    state: str,
    by: str,
    note: str | None,
    at: float,
    project: str | None = None,
) -> list[int]:
    values = {"state": state, "handled_at": at, "by": by, "note": note}
    query = update(table).where(table.c.id.in_(letters), table.c.state == OPEN).values(values)
    if project is not None:
        query = query.where(table.c.project == project)
    return sorted(connection.scalars(query.returning(table.c.id)))


def poison(connection: Connection, state: str | None, before: int | None, limit: int) -> list[PoisonLetter]:
    """Messages that nobody could read, newest first, below the id `before`."""
    p = tables.poison.c
    query = select(*(p[name] for name in PoisonLetter._fields))
    if state is not None:
        query = query.where(p.state == state)
    if before is not None:
        query = query.where(p.id < before)
    return [PoisonLetter._make(row) for row in connection.execute(query.order_by(p.id.desc()).limit(limit))]


def discard_poison(
    connection: Connection, letters: Sequence[int], by: str, note: str, at: float
) -> list[int]:
    """Open ones become discarded."""
    return _handle(connection, tables.poison, letters, DISCARDED, by, note, at)
