"""The audit: lines that are appended in the transaction of what they tell of, and chained afterwards, off everybody's path.

A line gets its place when it is chained, not when it is written: ids are counted before they are committed, and a chain that
followed them would have to wait for whoever is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Insert, bindparam, func, insert, select, update

from headrace.engine.ports.acts import GENESIS, Act, AuditLine, ChainHead, Once, Repeated, linked
from headrace.engine.store import tables

T = TypeVar("T")
LOCK = 0x4845414441554449  # of the advisory lock under which PostgreSQL's lines are chained

_A, _H, _O = tables.audit.c, tables.audit_heads.c, tables.once.c
_USED = select(_O.digest, _O.object).where(_O.key == bindparam("key"))
_IN_FORCE = _USED.where(_O.until > bindparam("now"))
_LINE = select(*(_A[name] for name in AuditLine._fields))


SAID = ("project", "at", "actor", "address", "action", "object", "detail")
"""The columns of a line that its act gives."""


class Wanted(NamedTuple):
    """Which lines: those of the project that fit everything that is given."""

    project: str
    actor: str | None = None
    action: str | None = None
    object: str | None = None


def noted(connection: Connection, act: Act, what: Callable[..., T], *args: Any) -> T:
    """What `what` does, with the act's key before it and its line behind it. Raises Repeated."""
    claim(connection, act)
    result = what(connection, *args)
    note(connection, act)
    return result


def claim(connection: Connection, act: Act) -> None:
    """Use the act's key, if it has one. Two at once are told apart by the row: the second waits for the first to end. Raises
    Repeated when the key was used and has not expired."""
    if act.once is None:
        return
    key, digest, until = act.once
    values = {"key": key, "digest": digest, "object": act.object, "until": until}
    if connection.scalar(_claim(connection.dialect.name), {**values, "now": act.at}) is None:
        used = connection.execute(_USED, {"key": key}).one()
        raise Repeated(used.object, used.digest == digest)


def recall(connection: Connection, once: Once, now: float) -> None:
    """Raises Repeated when the key was used and has not expired."""
    used = connection.execute(_IN_FORCE, {"key": once.key, "now": now}).first()
    if used is not None:
        raise Repeated(used.object, used.digest == once.digest)


@cache
def _claim(dialect: str) -> Insert:
    """Answers with the key when it was free or had expired."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        into: Any = sqlite.insert(tables.once)
    else:
        from sqlalchemy.dialects import postgresql

        into = postgresql.insert(tables.once)
    into = into.values({name: bindparam(name) for name in ("key", "digest", "object", "until")})
    statement: Insert = into.on_conflict_do_update(
        index_elements=["key"],
        set_={name: into.excluded[name] for name in ("digest", "object", "until")},
        where=_O.until <= bindparam("now"),
    ).returning(_O.key)
    return statement


def note(connection: Connection, act: Act, object: str | None = None) -> None:
    """Append the act's line; with `object`, about that one, which is also what the act's key will answer with."""
    about = act.object if object is None else object
    if act.once is not None and about != act.object:
        connection.execute(update(tables.once).where(_O.key == act.once.key).values(object=about))
    line = {name: getattr(act, name) for name in SAID}
    connection.execute(insert(tables.audit), {**line, "object": about})


def listed(connection: Connection, wanted: Wanted, before: int | None, limit: int) -> list[AuditLine]:
    """Newest first, below the id `before`. `action` may be the beginning of one: the lines of each that begins so are found by
    themselves, so that the index gives them in order."""
    query = _LINE.where(_A.project == wanted.project)
    if wanted.actor is not None:
        query = query.where(_A.actor == wanted.actor)
    if wanted.object is not None:
        query = query.where(_A.object == wanted.object)
    if before is not None:
        query = query.where(_A.id < before)
    query = query.order_by(_A.id.desc()).limit(limit)
    if wanted.action is None:
        return _lines(connection, query)
    beginning = [
        action for action in _actions(connection, wanted.project) if action.startswith(wanted.action)
    ]
    found = [line for action in beginning for line in _lines(connection, query.where(_A.action == action))]
    return sorted(found, key=lambda line: line.id, reverse=True)[:limit]


def chained(connection: Connection, project: str, after: int, limit: int) -> list[AuditLine]:
    """Chained lines above the place `after`, in order."""
    query = _LINE.where(_A.project == project, _A.place.is_not(None), _A.place > after)
    return _lines(connection, query.order_by(_A.place).limit(limit))


def _lines(connection: Connection, query: Any) -> list[AuditLine]:
    return [AuditLine._make(row) for row in connection.execute(query)]


def head(connection: Connection, project: str) -> ChainHead | None:
    """Where the project's chain ends."""
    row = connection.execute(select(_H.place, _H.hash).where(_H.project == project)).first()
    return None if row is None else ChainHead(row.place, row.hash)


def projects(connection: Connection) -> Sequence[str]:
    """Every project that has a line."""
    return _each(connection, _A.project)


def _actions(connection: Connection, project: str) -> Sequence[str]:
    """Every action that the project has a line of."""
    return _each(connection, _A.action, _A.project == project)


def _each(connection: Connection, column: Column[str], *where: ColumnElement[bool]) -> Sequence[str]:
    """Every value of the column. Hops from one to the next in the index, however many lines each has."""
    found: list[str] = []
    query = select(column).where(*where).order_by(column).limit(1)
    name = connection.scalar(query)
    while name is not None:
        found.append(name)
        name = connection.scalar(query.where(column > name))
    return found


def chain(connection: Connection, limit: int) -> int:
    """Link at most `limit` lines that are not yet, oldest first; returns how many. When another does it already: none."""
    if connection.dialect.name != "sqlite" and not connection.scalar(
        select(func.pg_try_advisory_xact_lock(LOCK))
    ):
        return 0
    lines = _lines(connection, _LINE.where(_A.place.is_(None)).order_by(_A.id).limit(limit))
    heads: dict[str, ChainHead] = {}
    links: list[dict[str, Any]] = []
    for line in lines:
        last = heads.get(line.project) or head(connection, line.project) or ChainHead(0, GENESIS)
        placed = line._replace(place=last.place + 1)
        hash = linked(placed, last.hash)
        heads[line.project] = ChainHead(last.place + 1, hash)
        links.append({"line": line.id, "place": placed.place, "before": last.hash, "hash": hash})
    if links:
        names = ("place", "before", "hash")
        query = update(tables.audit).where(_A.id == bindparam("line"))
        connection.execute(query.values({name: bindparam(name) for name in names}), links)
    for project, last in heads.items():
        if (
            last.place
            and not connection.execute(
                update(tables.audit_heads).where(_H.project == project).values(last._asdict())
            ).rowcount
        ):
            connection.execute(insert(tables.audit_heads), {"project": project, **last._asdict()})
    return len(links)
