"""Commands on their way into the inboxes of PostgreSQL, and out of them in the order of their ids.

Ids are counted before they are committed. Whoever inserts holds a lock of the part in shared mode from before it draws its id
until it has ended; a reader waits for that lock once, and what was there before it waited is in order then.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sqlalchemy import BigInteger, Connection, Integer, Select, bindparam, func, literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from headrace.engine.ports.store import InboxRow, NewRun
from headrace.engine.store import reads, rows, tables
from headrace.engine.store.checksums import checksum
from headrace.engine.store.writes import EMPTY, INBOX_LOCK, START


def settled(connection: Connection, after: Mapping[int, int], limit: int) -> list[InboxRow]:
    """As `reads.inboxes`, after everybody has ended who was inserting into these parts. Each lock is taken and given back at
    once: a reader that held two could stand in a ring with those who insert."""
    parts = func.unnest(bindparam("parts", list(after), type_=ARRAY(Integer))).column_valued("part")
    key = (INBOX_LOCK, parts)
    connection.execute(select(func.pg_advisory_lock(*key), func.pg_advisory_unlock(*key)))
    return reads.inboxes(connection, after, limit)


def begin(connection: Connection, run: NewRun) -> int | None:
    """Write a run that claims no unique key but its id, with its `start` command, by one statement, which is a transaction of its
    own. Answers with the number of the run; None when its id, or whatever else is unique of it, exists. Nothing was written then."""
    given = {f"given_{name}": value for name, value in rows.run_values(run).items()}
    return connection.execute(_statement(), given).scalar()


@cache
def _statement() -> Select[int]:
    r, i = tables.runs.c, tables.inbox.c
    values = {name: bindparam(f"given_{name}", type_=r[name].type) for name in rows.RUN_BEGUN}
    run = postgresql.insert(tables.runs).values(values).on_conflict_do_nothing()
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
    return select(begun.c.no).add_cte(started)
