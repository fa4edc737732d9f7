"""History in weeks, log chunks, and an index of runs that ended. Engines go on writing meanwhile.

In PostgreSQL each step is a transaction of its own that looks at what is there, so the migration may be cut off anywhere and
begun again. A table of history that holds rows is not rewritten: it becomes the first partition, up to a Monday
some weeks ahead.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from headrace.engine.store.online import beside_writers, index, patiently

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WEEK = 7 * 86400
MONDAY = 4 * 86400
SPARE_WEEKS = 6
"""Until then the old table takes every row, so that a migration which is cut off, and begun again within a month, hinders nobody."""

_COLUMNS = "run bigint NOT NULL, seq bigint NOT NULL, at double precision NOT NULL, body bytea NOT NULL, body_crc bigint"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        ended = sa.text("finished_at IS NOT NULL")
        op.create_index("runs_ended", "runs", ["finished_at"], unique=False, sqlite_where=ended)
        return
    with beside_writers():
        index("runs_ended", "runs (finished_at) WHERE finished_at IS NOT NULL")
        _history_in_weeks()
        _log_chunks()


def _history_in_weeks() -> None:
    kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('history')"
    if op.get_bind().scalar(sa.text(kind)):
        return
    made = f"""
        CREATE TABLE history ({_COLUMNS}) PARTITION BY RANGE (at);
        CREATE UNIQUE INDEX history_key ON history (run, seq, at);
        CREATE TABLE history_default PARTITION OF history DEFAULT;"""
    if not op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT 1 FROM history)")):
        patiently(
            f"""DO $$ BEGIN
                LOCK TABLE history IN ACCESS EXCLUSIVE MODE;
                IF NOT EXISTS (SELECT 1 FROM history) THEN
                    DROP TABLE history;
                    {made}
                END IF;
            END $$"""
        )
    if op.get_bind().scalar(sa.text(kind)):
        return
    end = (int((time.time() - MONDAY) // WEEK) + SPARE_WEEKS) * WEEK + MONDAY
    index("history_before_key", "history (run, seq, at)", "UNIQUE INDEX")
    patiently("ALTER TABLE history DROP CONSTRAINT IF EXISTS history_before_end")
    patiently(f"ALTER TABLE history ADD CONSTRAINT history_before_end CHECK (at < {end}) NOT VALID")
    patiently("ALTER TABLE history VALIDATE CONSTRAINT history_before_end")
    patiently(
        f"""DO $$ BEGIN
            ALTER TABLE history RENAME TO history_before;
            {made}
            ALTER TABLE history ATTACH PARTITION history_before FOR VALUES FROM (MINVALUE) TO ({end});
            ALTER TABLE history_before DROP CONSTRAINT history_before_end;
        END $$"""
    )


def _log_chunks() -> None:
    op.execute(
        """DO $$ BEGIN
            IF to_regclass('log_chunks') IS NULL THEN
                CREATE TABLE log_chunks (
                    run_id text COLLATE "C" NOT NULL, task_id text NOT NULL, generation integer NOT NULL,
                    map bigint NOT NULL, attempt integer NOT NULL, seq bigint NOT NULL, at double precision NOT NULL,
                    body bytea NOT NULL, PRIMARY KEY (run_id, task_id, generation, map, attempt, seq, at)
                ) PARTITION BY RANGE (at);
                CREATE TABLE log_chunks_default PARTITION OF log_chunks DEFAULT;
            END IF;
        END $$"""
    )


def downgrade() -> None:
    raise NotImplementedError("A database does not go back: restore a copy from before.")
