"""Dead letters that job-dlq has not been told of: taken for a while by one engine, and settled when the topic has them.

`publish_at` is when a letter is to be published; taking it sets that to later, publishing it to null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, select, update

from headrace.engine.ports.letters import DeadLetter, Outgoing, OutgoingLetter, PoisonLetter, PoisonRow
from headrace.engine.store import letters, tables, writes

_D, _T, _P = tables.dead_letters.c, tables.task_runs.c, tables.poison.c
_KEY = and_(*(_D[name] == _T[name] for name in ("run", "generation", "task", "map")))
_LETTER = letters.LETTER.add_columns(_T.inputs).outerjoin(tables.task_runs, _KEY)
_POISON = select(*(_P[name] for name in PoisonLetter._fields))


def park(connection: Connection, rows: Sequence[PoisonRow]) -> None:
    """Messages that are not there yet."""
    given = [row._asdict() for row in rows]
    connection.execute(writes.insert_absent(connection.dialect.name, tables.poison), given)


def take(connection: Connection, limit: int, at: float, until: float) -> Outgoing:
    """What is due, for the caller alone until `until`."""
    taken = _taken(connection, tables.dead_letters, limit, at, until)
    unread = _taken(connection, tables.poison, limit, at, until)
    found = connection.execute(_LETTER.where(_D.id.in_(taken)).order_by(_D.id)) if taken else ()
    bad = connection.execute(_POISON.where(_P.id.in_(unread)).order_by(_P.id)) if unread else ()
    return Outgoing(
        [OutgoingLetter(DeadLetter._make(fields), inputs) for *fields, inputs in found],
        [PoisonLetter._make(row) for row in bad],
    )


def settle(connection: Connection, letters_: Sequence[int], poison: Sequence[int]) -> None:
    """The topic has them."""
    for table, ids in ((tables.dead_letters, letters_), (tables.poison, poison)):
        if ids:
            connection.execute(update(table).where(table.c.id.in_(ids)).values(publish_at=None))


def _taken(connection: Connection, table: Table, limit: int, at: float, until: float) -> list[int]:
    c: Any = table.c
    due = select(c.id).where(c.publish_at <= at).order_by(c.publish_at, c.id).limit(limit)
    due = due.with_for_update(skip_locked=True)
    query = update(table).where(c.id.in_(due.scalar_subquery())).values(publish_at=until).returning(c.id)
    return sorted(connection.scalars(query))
