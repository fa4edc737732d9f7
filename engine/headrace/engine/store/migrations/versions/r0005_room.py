"""Room in the pages of task_runs: a task run is written twice, and its second version is larger than its first.

Pages are filled to two fifths by first versions, so that all of them find room beside themselves (HOT) even when one statement
changes them all. It holds for pages that are filled from now on.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.execute("SET LOCAL lock_timeout = '5s'")  # engines must not queue up behind one who waits
        op.execute("ALTER TABLE task_runs SET (fillfactor = 40)")


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
