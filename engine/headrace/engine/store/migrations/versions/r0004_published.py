"""Dead letters and messages that nobody could read remember whether they have been published.

What lies there already counts as published: a topic is for what happens from now on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = ("dead_letters", "poison")


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute("SET LOCAL lock_timeout = '5s'")  # engines must not queue up behind one who waits
    for table in _TABLES:
        default = sa.text("0") if sqlite else None  # SQLite cannot change a default afterwards
        op.add_column(table, sa.Column("publish_at", sa.Double(), server_default=default, nullable=True))
        if sqlite:
            op.execute(f"UPDATE {table} SET publish_at = NULL")
        else:
            op.alter_column(table, "publish_at", server_default=sa.text("0"))
        op.create_index(
            f"{table}_unpublished",
            table,
            ["publish_at"],
            unique=False,
            sqlite_where=sa.text("publish_at IS NOT NULL"),
            postgresql_where=sa.text("publish_at IS NOT NULL"),
        )


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
