"""Commands on their way into the inboxes of PostgreSQL, and out of them in the order of their ids.

Ids are counted before they are committed. Whoever inserts holds a lock of the part in shared mode from before it draws its id
until it has ended; a reader waits for that lock once, and what was there before it waited is in order then.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Connection,
    Integer,
    Select,
    bindparam,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from headrace.engine.ports.acts import Act
from headrace.engine.ports.store import InboxRow, NewRun
from headrace.engine.store import auditing, reads, rows, tables
from headrace.engine.store.checksums import checksum
from headrace.engine.store.writes import EMPTY, INBOX_LOCK, START


def settled(connection: Connection, after: Mapping[int, int], limit: int) -> list[InboxRow]:
    """As `reads.inboxes`, after everybody has ended who was inserting into these parts. Each lock is taken and given back at
    once: a reader that held two could stand in a ring with those who insert."""
    parts = func.unnest(bindparam("parts", list(after), type_=ARRAY(Integer))).column_valued("part")
    key = (INBOX_LOCK, parts)
    connection.execute(select(func.pg_advisory_lock(*key), func.pg_advisory_unlock(*key)))
    return reads.inboxes(connection, after, limit)


def begin(connection: Connection, run: NewRun, act: Act | None = None) -> int | None:
    """Write a run that claims no unique key but its id, with its `start` command, and the line and the key of the act, by one
    statement, which is a transaction of its own. Answers with the number of the run; None when its id, or whatever else is unique
    of it or of the act, exists. No run was written then."""
    given = {f"given_{name}": value for name, value in rows.run_values(run).items()}
    once = None if act is None else act.once
    if act is not None:
        given |= {f"act_{name}": getattr(act, name) for name in auditing.SAID}
    if once is not None:
        given |= {f"once_{name}": value for name, value in once._asdict().items()}
    return connection.execute(_statement(act is not None, once is not None), given).scalar()


@cache
def _statement(noted: bool, keyed: bool) -> Select[int]:
    r, i = tables.runs.c, tables.inbox.c
    values = {name: bindparam(f"given_{name}", type_=r[name].type) for name in rows.RUN_BEGUN}
    new = select(*values.values())
    if keyed:
        new = new.where(exists(_claimed()))
    run = postgresql.insert(tables.runs).from_select(list(values), new).on_conflict_do_nothing()
    begun = run.returning(r.no, r.part, r.created_at).cte("begun")
    # The lock of the inbox is held before the command gets its id (`writes.post`): a condition on no row is evaluated first.
    lock = select(func.pg_advisory_xact_lock_shared(INBOX_LOCK, values["part"]).label("held")).cte("lock")
    held = select(func.count(lock.c.held)).scalar_subquery() >= 0
    start = select(
        begun.c.part,
        begun.c.no,
        literal(START),
        literal(EMPTY),
        literal(checksum(EMPTY), BigInteger),
        begun.c.created_at,
    ).where(held)
    columns = [i.part, i.run, i.kind, i.body, i.body_crc, i.at]
    started = postgresql.insert(tables.inbox).from_select(columns, start).cte("started")
    statement = select(begun.c.no).add_cte(started)
    return statement.add_cte(_noted(begun)) if noted else statement


def _said(name: str) -> BindParameter[Any]:
    return bindparam(f"act_{name}", type_=tables.audit.c[name].type)


def _claimed() -> Select[Any]:
    """The act's key, when it was free or had expired (`auditing.claim`)."""
    o = tables.once.c
    key = {name: bindparam(f"once_{name}", type_=o[name].type) for name in ("key", "digest", "until")}
    into = postgresql.insert(tables.once).values({**key, "object": _said("object")})
    into = into.on_conflict_do_update(
        index_elements=["key"],
        set_={name: into.excluded[name] for name in ("digest", "object", "until")},
        where=o.until <= _said("at"),
    )
    return select(into.returning(o.key).cte("claimed").c.key)


def _noted(begun: CTE) -> CTE:
    """The act's line, when there is a new run to tell of."""
    line = select(*(_said(name) for name in auditing.SAID)).select_from(begun)
    return postgresql.insert(tables.audit).from_select(list(auditing.SAID), line).cte("noted")
