"""Log chunks in PostgreSQL: written in bulk, read by attempt. Their bodies are compressed, and so carry a checksum of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from headrace.engine.ports.logs import Attempt, LogChunk
from headrace.engine.store import tables
from headrace.engine.store.partitions import EARLIER

_C = tables.log_chunks.c
_CHUNK = select(*(_C[name] for name in LogChunk._fields))
_GIVEN = func.unnest(*(bindparam(name, type_=ARRAY(_C[name].type)) for name in LogChunk._fields))
_WRITE = (
    insert(tables.log_chunks)
    .from_select(list(LogChunk._fields), select(_GIVEN.table_valued(*LogChunk._fields).render_derived()))
    .on_conflict_do_nothing()
)


def write(connection: Connection, chunks: Sequence[LogChunk]) -> None:
    """Chunks that are not there yet."""
    columns: dict[str, Any] = dict(zip(LogChunk._fields, map(list, zip(*chunks, strict=True)), strict=True))
    connection.execute(_WRITE, columns)


def read(
    connection: Connection, attempt: tuple[str, str, int, int, int], after: int, limit: int
) -> list[LogChunk]:
    """Chunks of an attempt with seq above `after`, in order. Weeks before the run are not looked at."""
    run_id, *_ = attempt
    begun = select(tables.runs.c.created_at - EARLIER).where(tables.runs.c.id == run_id).scalar_subquery()
    names = ("run_id", "task_id", "generation", "map", "attempt")
    query = _CHUNK.where(*(_C[name] == value for name, value in zip(names, attempt, strict=True)))
    query = query.where(_C.seq > after, _C.at >= func.coalesce(begun, 0.0)).order_by(_C.seq, _C.at)
    return [LogChunk._make(row) for row in connection.execute(query.limit(limit))]


def ends(connection: Connection, run_id: str) -> dict[Attempt, int]:
    """The highest seq of each attempt of the run that has written."""
    begun = select(tables.runs.c.created_at - EARLIER).where(tables.runs.c.id == run_id).scalar_subquery()
    names = [_C[name] for name in Attempt._fields]
    query = select(*names, func.max(_C.seq)).where(_C.run_id == run_id, _C.at >= func.coalesce(begun, 0.0))
    return {Attempt(*name): end for *name, end in connection.execute(query.group_by(*names))}
