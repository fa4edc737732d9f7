"""What is kept for a while: workers as they were last seen, and runs that ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache as once
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Table, delete, exists, or_, select, text

from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.waits import SIGNAL_KEPT_SECONDS
from headrace.engine.store import signalling, tables
from headrace.engine.store.letters import OPEN

_JSON = ("queues", "labels", "kinds")
FORGOTTEN_SECONDS = 86400.0
"""A worker that was not seen for so long, and an engine whose lease ended so long ago, will not come back by that name."""


@once
def _seen(dialect: str) -> Insert:
    w = tables.workers
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        into: Any = sqlite.insert(w)
    else:
        from sqlalchemy.dialects import postgresql

        into = postgresql.insert(w)
    changed = {name: into.excluded[name] for name in WorkerRow._fields if name != "id"}
    statement: Insert = into.on_conflict_do_update(
        index_elements=["id"], set_=changed, where=w.c.seen_at < into.excluded.seen_at
    )
    return statement


def saw_workers(connection: Connection, workers: Sequence[WorkerRow]) -> None:
    """Newer sightings replace older ones. In the order of ids, so that two engines at once do not wait for each other in a ring."""
    rows = [
        {name: json.dumps(value) if name in _JSON else value for name, value in worker._asdict().items()}
        for worker in sorted({worker.id: worker for worker in workers}.values())
    ]
    connection.execute(_seen(connection.dialect.name), rows)


def workers(connection: Connection, since: float) -> list[WorkerRow]:
    """Those seen at `since` or later, by id."""
    w = tables.workers.c
    query = select(*(w[name] for name in WorkerRow._fields)).where(w.seen_at >= since).order_by(w.id)
    return [
        WorkerRow._make(row)._replace(
            queues=tuple(json.loads(row.queues)),
            labels=json.loads(row.labels),
            kinds=tuple(json.loads(row.kinds)),
        )
        for row in connection.execute(query)
    ]


def held() -> ColumnElement[bool]:
    """Runs that are kept however old they are: they live, or someone may still begin them again."""
    d = tables.dead_letters.c
    letter = exists().where(d.run == tables.runs.c.no, d.state == OPEN)
    return or_(tables.runs.c.finished_at.is_(None), letter)


_OF_RUN: tuple[tuple[Table, str], ...] = (
    (tables.task_runs, "run"),
    (tables.history, "run"),
    (tables.timers, "run"),
    (tables.waits, "run"),
    (tables.dead_letters, "run"),
    (tables.inbox, "run"),
    (tables.grants, "run"),
    (tables.runs, "no"),
)


def expire(connection: Connection, before: float, limit: int) -> int:
    """Delete runs that ended before `before`, at most `limit`, with everything of theirs, and what else was over by then. Returns
    how many runs."""
    r = tables.runs.c
    old = select(r.no).where(r.finished_at < before, ~held()).order_by(r.finished_at).limit(limit)
    if connection.dialect.name != "sqlite":
        old = old.with_for_update(skip_locked=True)
    runs = list(connection.scalars(old))
    for table, key in _OF_RUN if runs else ():
        if table is tables.history and connection.dialect.name != "sqlite":
            # What lies in a week leaves with the week; only what had to outlive its week is deleted.
            connection.execute(text("DELETE FROM history_default WHERE run = ANY(:runs)"), {"runs": runs})
        else:
            connection.execute(delete(table).where(table.c[key].in_(runs)))
    connection.execute(delete(tables.cache).where(tables.cache.c.expires_at < before))
    connection.execute(delete(tables.workers).where(tables.workers.c.seen_at < before - FORGOTTEN_SECONDS))
    p = tables.poison.c
    connection.execute(delete(tables.poison).where(p.state != OPEN, p.handled_at < before))
    return len(runs)


def forget(connection: Connection) -> None:
    """Delete what is over by itself, however long runs are kept: cached results and keys of requests that have expired, workers and
    engines that went away. An engine whose connection still stands is kept, whatever its lease says."""
    now = signalling.now(connection)
    long_ago = now - FORGOTTEN_SECONDS
    connection.execute(delete(tables.cache).where(tables.cache.c.expires_at < now))
    connection.execute(delete(tables.once).where(tables.once.c.until < now))
    signalling.forget(connection, now - SIGNAL_KEPT_SECONDS)
    connection.execute(delete(tables.workers).where(tables.workers.c.seen_at < long_ago))
    if connection.dialect.name != "sqlite":  # a file has one engine, which leaves nothing behind
        from headrace.engine.store import ownership  # knows the server's driver, which a file does without

        connection.execute(ownership.FORGET, {"before": long_ago})
