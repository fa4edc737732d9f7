"""What comes next of schedules and backfills, found by one statement: engines ask each second, and mostly nothing does."""

from __future__ import annotations

from sqlalchemy import Connection, func, literal, select

from headrace.engine.ports.schedules import Upcoming
from headrace.engine.store import backfilling, scheduling, tables

_S, _B = tables.schedules.c, tables.backfills.c


_SCHEDULE = select(func.min(_S.due_at)).where(_S.due_at.is_not(None)).scalar_subquery()
_BACKFILL = select(func.min(_B.due_at)).where(_B.due_at.is_not(None)).scalar_subquery()
_UPCOMING = select(
    _SCHEDULE,
    scheduling.FREED.exists(),
    _BACKFILL,
    backfilling.ENDED.exists(),
    select(literal(1)).where(_B.finished_at.is_(None)).exists(),
)


def upcoming(connection: Connection) -> Upcoming:
    return Upcoming._make(connection.execute(_UPCOMING).one())
