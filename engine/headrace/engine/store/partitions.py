"""Tables of PostgreSQL that are cut into weeks, so that what is old leaves by dropping a table and not row by row.

Weeks begin on Monday, UTC. They are made ahead; a row that fits none goes to the default partition, so an insert never fails, and
moves to its week when that is made. Every step takes its locks within a second or leaves the rest to the next time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, text

WEEK = 7 * 86400
MONDAY = 4 * 86400  # the first of all, seconds since the epoch
AHEAD = 4  # weeks, the current one included
LOCK = 0x4845414457454B53  # of the advisory lock under which weeks are made and dropped
PARTITIONED = ("history", "log_chunks")
EARLIER = 86400.0
"""What belongs to a run may be this much older than the run says it is: two machines have two clocks. Seconds."""

_BOUND = re.compile(r"FROM \((?P<first>[^)]*)\) TO \((?P<end>[^)]*)\)")
_PARTITIONS = text(
    """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:parent) ORDER BY c.relname"""
)
_NOT_HELD = """
r.finished_at < :before AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.run = r.no AND d.state = 'open')"""

Step = Callable[[Connection], None]


class Partition(NamedTuple):
    """Rows with `first` <= at < `end`."""

    name: str
    first: float
    end: float


def week_of(at: float) -> int:
    """When the week began that `at` lies in."""
    return int((at - MONDAY) // WEEK) * WEEK + MONDAY


def partitions(connection: Connection, parent: str) -> list[Partition]:
    """The weeks of a table there are, without the default partition."""
    found = []
    for row in connection.execute(_PARTITIONS, {"parent": parent}):
        bound = _BOUND.search(row.bound)
        if bound is not None:
            first, end = (_seconds(bound[name]) for name in ("first", "end"))
            found.append(Partition(row.name, first, end))
    return found


def _seconds(bound: str) -> float:
    return {"MINVALUE": float("-inf"), "MAXVALUE": float("inf")}.get(bound) or float(bound.strip("'"))


def steps(connection: Connection, now: float, before: float | None) -> list[tuple[str, Step]]:
    """What is to be done, each in a transaction of its own: its name and what to do."""
    todo: list[tuple[str, Step]] = []
    for parent in PARTITIONED:
        there = partitions(connection, parent)
        for number in range(AHEAD):
            week = week_of(now) + number * WEEK
            if not any(one.first <= week < one.end for one in there):
                todo.append((f"make the week of {_day(week)} of {parent}", _making(parent, week)))
        old = [one for one in there if before is not None and one.end <= before]
        todo += [(f"drop {one.name}", _dropping(parent, one, before or 0.0)) for one in old]
    return todo


def _day(week: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(week))


def _making(parent: str, week: int) -> Step:
    """Made beside the table and then attached, which stops neither readers nor writers of other weeks."""
    name = f"{parent}_{_day(week)}"
    bounds = {"first": float(week), "end": float(week + WEEK)}

    def make(connection: Connection) -> None:
        if _there(connection, name):  # another engine was quicker
            return
        connection.execute(text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING STORAGE)"))
        connection.execute(text(f"LOCK TABLE {parent}_default IN ACCESS EXCLUSIVE MODE"))
        connection.execute(
            text(
                f"WITH moved AS (DELETE FROM {parent}_default WHERE at >= :first AND at < :end RETURNING *) "
                f"INSERT INTO {name} SELECT * FROM moved"
            ),
            bounds,
        )
        connection.execute(
            text(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({week}) TO ({week + WEEK})")
        )

    return make


def _dropping(parent: str, partition: Partition, before: float) -> Step:
    """What belongs to runs that are kept moves to the default partition. Which those are is found out first: from the detaching
    on no engine can commit, and only rows that an index finds are touched."""

    def drop(connection: Connection) -> None:
        if not _there(connection, partition.name):
            return
        kept = _kept(connection, partition.end, before) if parent == "history" else []
        connection.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {partition.name}"))
        if kept:
            moved = f"INSERT INTO history SELECT * FROM {partition.name} WHERE run = ANY(:kept)"
            connection.execute(text(moved), {"kept": kept})
        connection.execute(text(f"DROP TABLE {partition.name}"))

    return drop


def _kept(connection: Connection, end: float, before: float) -> list[int]:
    """Runs that may have rows of before `end` and stay when what ended before `before` goes."""
    query = f"SELECT r.no FROM runs r WHERE r.created_at < :until AND NOT coalesce({_NOT_HELD}, false)"
    return list(connection.scalars(text(query), {"until": end + EARLIER, "before": before}))


def _there(connection: Connection, name: str) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}))


def locked(connection: Connection) -> bool:
    """Try to be the one who does it, for the rest of this transaction, and wait for no lock of a table longer than a second."""
    connection.execute(text("SET LOCAL lock_timeout = '1s'"))
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}))


def swept(connection: Connection, before: float) -> None:
    """Old chunks that had no week of their own."""
    connection.execute(text("DELETE FROM log_chunks_default WHERE at < :before"), {"before": before})
