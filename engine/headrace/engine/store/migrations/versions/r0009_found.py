"""Lines of the audit are found by who did what to which thing, however many there are."""

from __future__ import annotations

from alembic import op

from headrace.engine.store.online import beside_writers, index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FOUND_BY = (("audit_actors", "actor"), ("audit_actions", "action"), ("audit_objects", "object"))


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, column in _FOUND_BY:
            op.create_index(name, "audit", ["project", column, "id"], unique=False)
        return
    with beside_writers():
        for name, column in _FOUND_BY:
            index(name, f"audit (project, {column}, id)")


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
