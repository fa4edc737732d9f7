"""What a part's runs went through since a moment, for whoever tells others of it."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, tuple_

from headrace.engine.ports.store import HistoryRow
from headrace.engine.store import tables
from headrace.engine.store.checksums import verify


def history_since(
    connection: Connection, part: int, at: float, after: tuple[float, int, int] | None, limit: int
) -> list[HistoryRow]:
    """In order of time, run and seq; `after` names the row behind which to go on. Raises RowDamaged."""
    h, r = tables.history.c, tables.runs.c
    moved = select(r.no).where(r.part == part, or_(r.finished_at.is_(None), r.finished_at >= at))
    query = select(h.run, h.seq, h.at, h.body, h.body_crc).where(h.at >= at, h.run.in_(moved))
    if after is not None:
        query = query.where(h.at >= after[0], tuple_(h.at, h.run, h.seq) > after)
    found = []
    for *fields, crc in connection.execute(query.order_by(h.at, h.run, h.seq).limit(limit)):
        row = HistoryRow._make(fields)
        verify(row.run, f"history row {row.seq}", crc, row.body)
        found.append(row)
    return found
