"""How many parts the runs are spread over: decided once, when the database is made."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import tables
from headrace.engine.store.writes import insert_absent

PARTS = 16
"""On PostgreSQL: more than anyone needs engines, few enough to look at four times a second. A SQLite file has one."""

MOST = 4096


def spread(connection: Connection, wanted: int | None) -> int:
    """Make the rows of the parts and return how many there are; those that were made one by one, at need, are kept."""
    highest = [
        connection.scalar(select(func.max(column))) for column in (tables.parts.c.part, tables.runs.c.part)
    ]
    least = 1 + max((number for number in highest if number is not None), default=0)
    default = 1 if connection.dialect.name == "sqlite" else PARTS
    count = max(least, default if wanted is None else wanted)
    there = set(connection.scalars(select(tables.parts.c.part)))
    made = [
        {"part": part, "epoch": 0, "owner": None, "next_offset": 0, "seq": 0}
        for part in range(count)
        if part not in there
    ]
    if made:
        connection.execute(insert_absent(connection.dialect.name, tables.parts), made)
    return count


def count(connection: Connection) -> int:
    """How many parts there are."""
    return int(connection.scalar(select(func.count()).select_from(tables.parts)) or 0)


def require(connection: Connection, wanted: int | None, where: str) -> None:
    """Raise StoreUnavailable when another number is asked for than the database was made with."""
    there = count(connection)
    if wanted is not None and wanted != there:
        raise StoreUnavailable(
            f"{where} was made with {there} parts, and that number is fixed: runs are found by it. "
            "Leave --parts out, or make a new database."
        )
