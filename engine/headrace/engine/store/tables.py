"""The schema, once, for SQLite and PostgreSQL.

Three rules shape it. `task_runs` has its primary key and no other index, so that PostgreSQL updates it in place (HOT); live
work is found through the partial index of `runs`. Nothing that is updated in a hot batch is indexed. Every payload
has a checksum beside it (`*_crc`, CRC-32; null when there is no payload). Rows that are not keyed by a run carry their project.

Times are seconds since the epoch, JSON is bytes. The migrations in `migrations/` create the same thing step by step, and
a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from headrace.engine.store.awaiting import signals, waits
from headrace.engine.store.metadata import Identity, RunId, metadata
from headrace.engine.store.people import audit, audit_heads, once, pools, tokens, users, workflow_settings

__all__ = [
    "audit",
    "audit_heads",
    "metadata",
    "once",
    "pools",
    "signals",
    "tokens",
    "users",
    "waits",
    "workflow_settings",
]


def _run_columns(key: bool = True) -> tuple[Column[Any], ...]:
    """The key of a task run: what names it everywhere."""
    more: Any = {"primary_key": True, "autoincrement": False} if key else {"nullable": False}
    return (
        Column("run", BigInteger, **more),
        Column("generation", Integer, **more),
        Column("task", Integer, **more),
        Column("map", BigInteger, **more),
    )


schema_version = Table(
    "headrace_schema",
    metadata,
    Column("version_num", Text, primary_key=True),
)

spoken = Table(
    "spoken",
    metadata,
    Column("what", Text, primary_key=True),
    Column("oldest", Integer, nullable=False),
    Column("newest", Integer, nullable=False),
)
"""Which versions may meet here: of the schema (the oldest build that can use it, and its own) and of the messages."""

parts = Table(
    "parts",
    metadata,
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text),
    Column("next_offset", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

engines = Table(
    "engines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("backend_pid", Integer),
    Column("lease_until", Double, nullable=False),
)

workflows = Table(
    "workflows",
    metadata,
    Column("project", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("plan", Text, nullable=False),
    Column("description", Text),
    Column("tags", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("versions_plan", "project", "name", "plan", unique=True),
)

plans = Table(
    "plans",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("document_crc", BigInteger),
)
"""Content-addressed, therefore shared by projects; who may read one is decided by the version that names it."""

runs = Table(
    "runs",
    metadata,
    Column("no", Identity, primary_key=True),
    Column("id", RunId, nullable=False),
    Column("project", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("plan", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("reason", Text),
    Column("generation", Integer, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("params", LargeBinary, nullable=False),
    Column("trigger", LargeBinary, nullable=False),
    Column("event", LargeBinary),
    Column("given_crc", BigInteger),
    Column("key", Text),
    Column("idempotency", Text),
    Column("parent_run", BigInteger),
    Column("parent_generation", Integer),
    Column("parent_task", Integer),
    Column("parent_map", BigInteger),
    Column("depth", Integer, nullable=False),
    Column("priority", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("scheduled_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("output", LargeBinary),
    Column("artifact", LargeBinary),
    Column("output_crc", BigInteger),
    Column("generations", LargeBinary),
    Column("generations_crc", BigInteger),
    Column("folder", Text),
    Column("file", Text),
    Index("runs_id", "id", unique=True),
    Index("runs_listed", "project", "no"),
    Index("runs_of_workflow", "project", "workflow", "no"),
    Index("runs_created", "project", "created_at"),
    Index(
        "runs_live",
        "part",
        "no",
        sqlite_where=text("finished_at IS NULL"),
    ),
    Index(
        "runs_live_key",
        "project",
        "workflow",
        "key",
        unique=True,
        # A rerun must always be able to begin, so a run holds its key against others in its first generation only.
        sqlite_where=text("key IS NOT NULL AND finished_at IS NULL AND generation = 1"),
    ),
    Index(
        "runs_idempotency",
        "project",
        "idempotency",
        unique=True,
        sqlite_where=text("idempotency IS NOT NULL"),
    ),
    Index("runs_ended", "finished_at", sqlite_where=text("finished_at IS NOT NULL")),
    Index(
        "runs_of_parent",
        "parent_run",
        "no",
        sqlite_where=text("parent_run IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

task_runs = Table(
    "task_runs",
    metadata,
    *_run_columns(),
    Column("state", SmallInteger, nullable=False),
    Column("reason", Text),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("worker", Text),
    Column("ready_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("due_at", Double),
    Column("output", LargeBinary),
    Column("artifact", LargeBinary),
    Column("error", LargeBinary),
    Column("inputs", LargeBinary),
    Column("child", Text),
    Column("items", Integer),
    Column("by", Text),
    Column("result_crc", BigInteger),
    Column("inputs_crc", BigInteger),
)
"""In the order of `ports.store.TaskRow`, then the checksums: of output, artifact and error together, and of inputs."""

history = Table(
    "history",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_crc", BigInteger),
)
"""In PostgreSQL partitioned by weeks of `at` (`partitions`), and unique by (run, seq, at) there: the fence sees to the rest."""

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("run_id", RunId, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("map", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    info={"postgresql": "partitioned"},
)
"""Not in SQLite files: embedded runs keep log files."""

inbox = Table(
    "inbox",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("run", BigInteger),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_crc", BigInteger),
    Column("at", Double, nullable=False),
    Index("inbox_of_part", "part", "id"),
    sqlite_autoincrement=True,  # an id is never used twice, so that "after this id" stays true
)

timers = Table(
    "timers",
    metadata,
    *_run_columns(),
    Column("kind", Text, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("due_at", Double, nullable=False),
    Index("timers_due", "part", "due_at"),
)

grants = Table(
    "grants",
    metadata,
    Column("project", Text, primary_key=True),
    Column("limit", Text, primary_key=True),
    *_run_columns(),
    Column("attempt", Integer, nullable=False),
    Column("cost", Integer, nullable=False),
    Column("at", Double, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Identity, primary_key=True),
    *_run_columns(key=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("project", Text, nullable=False),
    Column("workflow", Text, nullable=False, server_default=text("''")),
    Column("task_id", Text, nullable=False, server_default=text("''")),
    Column("error", LargeBinary, nullable=False),
    Column("error_crc", BigInteger),
    Column("fingerprint", Text, nullable=False, server_default=text("''")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("handled_at", Double),
    Column("by", Text),
    Column("note", Text),
    Column("publish_at", Double, server_default=text("0")),
    Index("dead_letters_unpublished", "publish_at", sqlite_where=text("publish_at IS NOT NULL")),
    Index("dead_letters_once", "run", "generation", "task", "map", "attempt", unique=True),
    Index("dead_letters_listed", "project", "id"),
    sqlite_autoincrement=True,
)
"""`publish_at`: when job-dlq is to be told, or told again because nobody has said that it was; null: it was. The same in `poison`."""

poison = Table(
    "poison",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("item", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("handled_at", Double),
    Column("by", Text),
    Column("note", Text),
    Column("publish_at", Double, server_default=text("0")),
    Index("poison_unpublished", "publish_at", sqlite_where=text("publish_at IS NOT NULL")),
    Index("poison_once", "topic", "partition", "offset", "item", unique=True),
    sqlite_autoincrement=True,
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("seen_at", Double, nullable=False),
)

cache = Table(
    "cache",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("output", LargeBinary),
    Column("artifact", LargeBinary),
    Column("output_crc", BigInteger),
    Column("expires_at", Double, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("no", Identity, primary_key=True),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("trigger", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("paused_by", Text),
    Column("paused_why", Text),
    Column("cursor", Double, nullable=False),
    Column("due_at", Double),
    Column("waiting", Text, nullable=False),
    Column("running", Text, nullable=False),
    Column("waits_for", RunId),
    Column("failures", Integer, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("last_at", Double),
    Column("last_run", RunId),
    Column("problem", Text),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Index("schedules_id", "project", "id", unique=True),
    Index("schedules_of_workflow", "project", "workflow"),
    Index("schedules_due_at", "due_at", sqlite_where=text("due_at IS NOT NULL")),
    Index("schedules_waits_for", "waits_for", sqlite_where=text("waits_for IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""`waiting` and `running` are lists as JSON."""

backfills = Table(
    "backfills",
    metadata,
    Column("no", Identity, primary_key=True),
    Column("project", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("trigger", LargeBinary, nullable=False),
    Column("params", LargeBinary, nullable=False),
    Column("reprocess", Text, nullable=False),
    Column("order", Text, nullable=False),
    Column("max_active", Integer, nullable=False),
    Column("priority", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("paused_by", Text),
    Column("paused_why", Text),
    Column("problem", Text),
    Column("due_at", Double),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("selection", LargeBinary),
    Index("backfills_of_project", "project", "no"),
    Index("backfills_due_at", "due_at", sqlite_where=text("due_at IS NOT NULL")),
    Index("backfills_going_on", "no", sqlite_where=text("finished_at IS NULL")),
    sqlite_autoincrement=True,
)

backfill_moments = Table(
    "backfill_moments",
    metadata,
    Column("backfill", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("moment", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("run", RunId),
    Index("backfill_moments_started", "backfill", sqlite_where=text("state = 'started'")),
    Index("backfill_moments_waiting", "backfill", "place", sqlite_where=text("state = 'waiting'")),
    Index("backfill_moments_run", "moment", sqlite_where=text("run IS NOT NULL")),
)
"""Those that are started and those that wait are found by themselves, however many are behind them."""

FILLFACTOR = {"engines": "50", "parts": "50", "runs": "70", "task_runs": "40", "workers": "50"}
"""How full PostgreSQL packs a page, so that an updated row finds room beside its old version."""


def on_sqlite() -> list[Table]:
    """The tables that a SQLite file has: all but those that only PostgreSQL needs."""
    return [table for table in metadata.sorted_tables if "postgresql" not in table.info]


def tell_postgresql() -> None:
    """Add what only PostgreSQL is told about storage and partial indexes. The migrations say the same; this is for comparing
    with them. Not done on import: naming the dialect loads it, and SQLite does without."""
    for name, percent in FILLFACTOR.items():
        metadata.tables[name].dialect_options["postgresql"]["with"] = {"fillfactor": percent}
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
