"""What migrations do to a PostgreSQL server beside those who write to it: each step briefly, and so that it may be repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

TRIES = 60
"""Of one statement, two seconds each, to get its lock."""


@contextmanager
def beside_writers() -> Iterator[None]:
    """Outside of the migration's transaction. To be entered before anything else is done in it."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '2s'")
        try:
            yield
        finally:
            op.execute("RESET lock_timeout")


def patiently(statement: str) -> None:
    """Whoever waits for a strong lock keeps everybody behind him waiting too: so briefly, and again."""
    for attempt in range(TRIES):
        try:
            op.execute(statement)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or attempt == TRIES - 1:
                raise
        time.sleep(0.2)


def index(name: str, what: str, kind: str = "INDEX") -> None:
    """Built beside the writers. One that was cut off stays behind, invalid, and is made anew."""
    invalid = f"SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid"
    if op.get_bind().scalar(sa.text(invalid)):
        patiently(f"DROP INDEX CONCURRENTLY {name}")
    patiently(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {what}")
