"""Many engines: a fixed number of parts, workers, messages nobody could read, dead letters that can be handled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from headrace.engine.store.partings import spread

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LETTER = ("run", "generation", "task", "map", "attempt")


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.execute("SET LOCAL lock_timeout = '5s'")  # engines must not queue up behind one who waits
    spread(connection, context.config.attributes.get("parts"))
    op.create_table(
        "spoken",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("oldest", sa.Integer(), nullable=False),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("what"),
    )
    op.create_table(
        "poison",
        sa.Column("id", _IDENTITY, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        *_handled(),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("poison_once", "poison", ["topic", "partition", "offset", "item"], unique=True)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"fillfactor": "50"},
    )
    if connection.dialect.name == "sqlite":
        _letters_made_anew()
    else:
        op.execute("ALTER TABLE engines SET (fillfactor = 50)")
        _letters_changed()
    op.execute(
        "UPDATE dead_letters SET workflow = (SELECT r.workflow FROM runs r WHERE r.no = dead_letters.run) "
        "WHERE EXISTS (SELECT 1 FROM runs r WHERE r.no = dead_letters.run)"
    )


def _handled() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("handled_at", sa.Double(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
    )


def _letters_made_anew() -> None:
    """SQLite cannot change a primary key."""
    kept = ", ".join(f'"{name}"' for name in (*_LETTER, "at", "project", "error", "error_crc"))
    op.drop_index("dead_letters_listed", "dead_letters")
    op.rename_table("dead_letters", "dead_letters_before")
    op.create_table(
        "dead_letters",
        sa.Column("id", _IDENTITY, nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("map", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("task_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=False),
        sa.Column("error_crc", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.Text(), server_default=sa.text("''"), nullable=False),
        *_handled(),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO dead_letters ({kept}) SELECT {kept} FROM dead_letters_before ORDER BY at")
    op.drop_table("dead_letters_before")
    op.create_index("dead_letters_once", "dead_letters", list(_LETTER), unique=True)
    op.create_index("dead_letters_listed", "dead_letters", ["project", "id"], unique=False)


def _letters_changed() -> None:
    """Every new column has a default or may be empty: an engine of the version before goes on inserting."""
    empty = sa.text("''")
    op.drop_constraint("dead_letters_pkey", "dead_letters")
    op.execute("ALTER TABLE dead_letters ADD COLUMN id BIGSERIAL PRIMARY KEY")
    for name in ("workflow", "task_id", "fingerprint"):
        op.add_column("dead_letters", sa.Column(name, sa.Text(), server_default=empty, nullable=False))
    for column in _handled():
        op.add_column("dead_letters", column)
    op.create_index("dead_letters_once", "dead_letters", list(_LETTER), unique=True)
    op.drop_index("dead_letters_listed", "dead_letters")
    op.create_index("dead_letters_listed", "dead_letters", ["project", "id"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
