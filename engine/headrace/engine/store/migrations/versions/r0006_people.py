"""Users, API tokens, the audit and the keys of requests; settings of workflows; an index of runs by when they began to be.

In PostgreSQL the index is built beside the engines, which go on writing, and may be cut off and begun again; the new tables are
one transaction. The audit's own triggers refuse to change a line but to chain it, and to delete one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headrace.engine.store.online import beside_writers, index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSED = "the audit is appended to, never changed"
_FIXED = ("id", "project", "at", "actor", "address", "action", "object", "detail")


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        op.create_index("runs_created", "runs", ["project", "created_at"], unique=False)
    else:
        with beside_writers():
            index("runs_created", "runs (project, created_at)")
    op.create_table(
        "workflow_settings",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name"),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("sessions_from", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tokens_digest", "tokens", ["digest"], unique=True)
    _where("tokens_live", "tokens", ["project", "name"], "revoked_at IS NULL", unique=True)
    op.create_table(
        "once",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("once_until", "once", ["until"], unique=False)
    _audit()
    for trigger in _kept_by_sqlite() if sqlite else _kept_by_postgresql():
        op.execute(trigger)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _IDENTITY, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_listed", "audit", ["project", "id"], unique=False)
    _where("audit_places", "audit", ["project", "place"], "place IS NOT NULL", unique=True)
    _where("audit_unchained", "audit", ["id"], "place IS NULL", unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project"),
    )


def _where(name: str, table: str, columns: list[str], where: str, *, unique: bool) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _kept_by_sqlite() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _FIXED)
    return (
        f"CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit WHEN OLD.place IS NOT NULL OR NEW.place IS NULL OR {changed} "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END",
        f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END",
    )


def _kept_by_postgresql() -> tuple[str, ...]:
    old, new = (", ".join(f"{row}.{name}" for name in _FIXED) for row in ("OLD", "NEW"))
    return (
        f"""CREATE OR REPLACE FUNCTION headrace_audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION '{_REFUSED}'; END $$""",
        f"""CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit FOR EACH ROW
            WHEN (OLD.place IS NOT NULL OR NEW.place IS NULL OR ({new}) IS DISTINCT FROM ({old}))
            EXECUTE FUNCTION headrace_audit_refuses()""",
        "CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION headrace_audit_refuses()",
        "CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit EXECUTE FUNCTION headrace_audit_refuses()",
    )


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
