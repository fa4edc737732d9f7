"""Every table of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cache",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("output", sa.LargeBinary(), nullable=True),
        sa.Column("artifact", sa.LargeBinary(), nullable=True),
        sa.Column("output_crc", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "key"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("map", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=False),
        sa.Column("error_crc", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", "generation", "task", "map", "attempt"),
    )
    op.create_index("dead_letters_listed", "dead_letters", ["project", "at"], unique=False)
    op.create_table(
        "engines",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("backend_pid", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "grants",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("map", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "limit", "run", "generation", "task", "map"),
    )
    op.create_table(
        "history",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_crc", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", "seq"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_crc", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("inbox_of_part", "inbox", ["part", "id"], unique=False)
    op.create_table(
        "parts",
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("part"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "plans",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("document_crc", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("plan"),
    )
    op.create_table(
        "runs",
        sa.Column("no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False),
        sa.Column("trigger", sa.LargeBinary(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=True),
        sa.Column("given_crc", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("idempotency", sa.Text(), nullable=True),
        sa.Column("parent_run", sa.BigInteger(), nullable=True),
        sa.Column("parent_generation", sa.Integer(), nullable=True),
        sa.Column("parent_task", sa.Integer(), nullable=True),
        sa.Column("parent_map", sa.BigInteger(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("scheduled_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("output", sa.LargeBinary(), nullable=True),
        sa.Column("artifact", sa.LargeBinary(), nullable=True),
        sa.Column("output_crc", sa.BigInteger(), nullable=True),
        sa.Column("generations", sa.LargeBinary(), nullable=True),
        sa.Column("generations_crc", sa.BigInteger(), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("no"),
        postgresql_with={"fillfactor": "70"},
        sqlite_autoincrement=True,
    )
    op.create_index("runs_id", "runs", ["id"], unique=True)
    op.create_index(
        "runs_idempotency",
        "runs",
        ["project", "idempotency"],
        unique=True,
        sqlite_where=sa.text("idempotency IS NOT NULL"),
        postgresql_where=sa.text("idempotency IS NOT NULL"),
    )
    op.create_index("runs_listed", "runs", ["project", "no"], unique=False)
    op.create_index(
        "runs_live",
        "runs",
        ["part", "no"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "runs_live_key",
        "runs",
        ["project", "workflow", "key"],
        unique=True,
        sqlite_where=sa.text("key IS NOT NULL AND finished_at IS NULL AND generation = 1"),
        postgresql_where=sa.text("key IS NOT NULL AND finished_at IS NULL AND generation = 1"),
    )
    op.create_index(
        "runs_of_parent",
        "runs",
        ["parent_run", "no"],
        unique=False,
        sqlite_where=sa.text("parent_run IS NOT NULL"),
        postgresql_where=sa.text("parent_run IS NOT NULL"),
    )
    op.create_index("runs_of_workflow", "runs", ["project", "workflow", "no"], unique=False)
    op.create_table(
        "task_runs",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("map", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("ready_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("output", sa.LargeBinary(), nullable=True),
        sa.Column("artifact", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("inputs", sa.LargeBinary(), nullable=True),
        sa.Column("child", sa.Text(), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("result_crc", sa.BigInteger(), nullable=True),
        sa.Column("inputs_crc", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", "generation", "task", "map"),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_table(
        "timers",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("map", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", "generation", "task", "map", "kind"),
    )
    op.create_index("timers_due", "timers", ["part", "due_at"], unique=False)
    op.create_table(
        "versions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", "version"),
    )
    op.create_index("versions_plan", "versions", ["project", "name", "plan"], unique=True)
    op.create_table(
        "workflows",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name"),
    )


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
