"""Pools that people give a size; backfills of a part of a workflow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pools",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name"),
    )
    op.add_column("backfills", sa.Column("selection", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
