"""Backfills: moments of schedules that are made up for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RUN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "backfills",
        sa.Column("no", _IDENTITY, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("trigger", sa.LargeBinary(), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False),
        sa.Column("reprocess", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("max_active", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("paused_why", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("no"),
        sqlite_autoincrement=True,
    )
    op.create_index("backfills_of_project", "backfills", ["project", "no"], unique=False)
    op.create_table(
        "backfill_moments",
        sa.Column("backfill", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("moment", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run", _RUN, nullable=True),
        sa.PrimaryKeyConstraint("backfill", "place"),
    )
    for name, table, columns, where in (
        ("backfills_due_at", "backfills", ["due_at"], "due_at IS NOT NULL"),
        ("backfills_going_on", "backfills", ["no"], "finished_at IS NULL"),
        ("backfill_moments_started", "backfill_moments", ["backfill"], "state = 'started'"),
        ("backfill_moments_waiting", "backfill_moments", ["backfill", "place"], "state = 'waiting'"),
        ("backfill_moments_run", "backfill_moments", ["moment"], "run IS NOT NULL"),
    ):
        condition = sa.text(where)
        op.create_index(
            name, table, columns, unique=False, sqlite_where=condition, postgresql_where=condition
        )


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
