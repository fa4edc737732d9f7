"""The tables of waits that others end, and of signals."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from headrace.engine.store.metadata import Identity, metadata

waits = Table(
    "waits",
    metadata,
    Column("no", Identity, primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("task", Integer, nullable=False),
    Column("map", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text),
    Column("after", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("expires_at", Double),
    Column("body", LargeBinary, nullable=False),
    Index("waits_of_run", "run", "generation", "task", "map", "place", unique=True),
    Index("waits_listed", "project", "kind", "no"),
    Index("waits_named", "project", "kind", "name", "no"),
    sqlite_autoincrement=True,
)
"""Only waits that go on: how they ended stands in task_runs and history."""

signals = Table(
    "signals",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text),
    Column("payload", LargeBinary, nullable=False),
    Column("payload_crc", BigInteger),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("waited", BigInteger, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Index("signals_named", "project", "name", "id"),
    Index("signals_sent", "at"),
    Index("signals_undelivered", "id", sqlite_where=text("NOT delivered")),
    sqlite_autoincrement=True,
)
"""`waited`: the highest number of a wait at the moment at which the signal was stored. Whatever has one as low waited already,
whatever the clocks say."""
