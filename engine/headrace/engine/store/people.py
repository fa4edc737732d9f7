"""Tables of what people set, who they are and what they did. They are reached as those of `tables`."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    event,
    text,
)

from headrace.engine.store.metadata import Identity, metadata

workflow_settings = Table(
    "workflow_settings",
    metadata,
    Column("project", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("priority", Text),
    Column("changed_at", Double, nullable=False),
)
"""What people set of a workflow, whatever its version. No row: nothing was set."""

pools = Table(
    "pools",
    metadata,
    Column("project", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("slots", Integer, nullable=False),
    Column("note", Text),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
)
"""Slots that tasks of a project share. Who holds them stands in the inbox of the part that grants (docs/design/protocol.md, E10)."""

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text),
    Column("roles", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("sessions_from", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Index("tokens_digest", "digest", unique=True),
    Index("tokens_live", "project", "name", unique=True, sqlite_where=text("revoked_at IS NULL")),
)

once = Table(
    "once",
    metadata,
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("until", Double, nullable=False),
    Index("once_until", "until"),
)
"""Requests that are known again by their key."""

audit = Table(
    "audit",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("project", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("place", BigInteger),
    Column("before", Text),
    Column("hash", Text),
    Index("audit_listed", "project", "id"),
    *(Index(f"audit_{named}s", "project", named, "id") for named in ("actor", "action", "object")),
    Index("audit_places", "project", "place", unique=True, sqlite_where=text("place IS NOT NULL")),
    Index("audit_unchained", "id", sqlite_where=text("place IS NULL")),
    sqlite_autoincrement=True,
)
"""Appended to; the database itself refuses any change but the one that chains a line, and refuses to delete."""

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("project", Text, primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

_APPENDED = "the audit is appended to, never changed"
_FIXED = " OR ".join(
    f"NEW.{name} IS NOT OLD.{name}"
    for name in ("id", "project", "at", "actor", "address", "action", "object", "detail")
)
AUDIT_KEPT = (
    f"CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit WHEN OLD.place IS NOT NULL OR NEW.place IS NULL OR {_FIXED} "
    f"BEGIN SELECT RAISE(ABORT, '{_APPENDED}'); END",
    f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{_APPENDED}'); END",
)
"""In a SQLite file."""
for _trigger in AUDIT_KEPT:
    event.listen(audit, "after_create", DDL(_trigger).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
