"""History in weeks, log chunks, and an index of runs that ended. Engines go on writing meanwhile.

In PostgreSQL each step is a transaction of its own that looks at what is there, so the migration may be cut off anywhere and
begun again. A table of history that holds rows is not rewritten: it becomes the first partition, up to a Monday
some weeks ahead.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WEEK = 7 * 86400
MONDAY = 4 * 86400
SPARE_WEEKS = 6
"""Until then the old table takes every row, so that a migration which is cut off, and begun again within a month, hinders nobody."""

TRIES = 60
_COLUMNS = "run bigint NOT NULL, seq bigint NOT NULL, at double precision NOT NULL, body bytea NOT NULL, body_crc bigint"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        ended = sa.text("finished_at IS NOT NULL")
        op.create_index("runs_ended", "runs", ["finished_at"], unique=False, sqlite_where=ended)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '2s'")
        try:
            _index("runs_ended", "INDEX", "runs (finished_at) WHERE finished_at IS NOT NULL")
            _history_in_weeks()
            _log_chunks()
        finally:
            op.execute("RESET lock_timeout")


def _patiently(statement: str) -> None:
    """Whoever waits for a strong lock keeps everybody behind him waiting too: so briefly, and again."""
    for attempt in range(TRIES):
        try:
            op.execute(statement)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or attempt == TRIES - 1:
                raise
        time.sleep(0.2)


def _index(name: str, kind: str, what: str) -> None:
    """Built beside the writers. One that was cut off stays behind, invalid, and is made anew."""
    invalid = f"SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid"
    if op.get_bind().scalar(sa.text(invalid)):
        _patiently(f"DROP INDEX CONCURRENTLY {name}")
    _patiently(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {what}")


def _history_in_weeks() -> None:
    kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('history')"
    if op.get_bind().scalar(sa.text(kind)):
        return
    made = f"""
        CREATE TABLE history ({_COLUMNS}) PARTITION BY RANGE (at);
        CREATE UNIQUE INDEX history_key ON history (run, seq, at);
        CREATE TABLE history_default PARTITION OF history DEFAULT;"""
    if not op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT 1 FROM history)")):
        _patiently(
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
    _index("history_before_key", "UNIQUE INDEX", "history (run, seq, at)")
    _patiently("ALTER TABLE history DROP CONSTRAINT IF EXISTS history_before_end")
    _patiently(f"ALTER TABLE history ADD CONSTRAINT history_before_end CHECK (at < {end}) NOT VALID")
    _patiently("ALTER TABLE history VALIDATE CONSTRAINT history_before_end")
    _patiently(
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
