"""Which schema a database has, and bringing it to this version's.

The revision is compared first and alone: a current database costs one query and never imports alembic. Migrations run in one
transaction under a lock, so an interrupted one leaves nothing behind, and of two at once the second finds the work done.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, inspect, select

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import tables

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"
"""The newest revision in `migrations/versions`."""

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x4845414452414345  # of the advisory lock under which PostgreSQL is migrated


def revision(connection: Connection) -> str | None:
    """The stored revision; None in a database that Headrace has not touched."""
    if not inspect(connection).has_table(tables.schema_version.name):
        return None
    return connection.scalar(select(tables.schema_version.c.version_num))


def require_current(found: str | None, where: str) -> None:
    """Raise StoreUnavailable unless `found` is the schema of this version."""
    if found == HEAD:
        return
    if found is None:
        raise StoreUnavailable(f"{where} has no Headrace tables yet. Run `headrace db upgrade` once.")
    if found > HEAD:
        raise StoreUnavailable(
            f"{where} has the schema {found} of a newer Headrace (this one knows {HEAD}). "
            "Upgrade Headrace; going back is not possible without a copy from before."
        )
    raise StoreUnavailable(
        f"{where} has the schema {found}, this Headrace needs {HEAD}. Run `headrace db upgrade`."
    )


def create(connection: Connection) -> None:
    """All tables of an empty database, stamped: what the migrations would make, without their import."""
    tables.metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(tables.schema_version), {"version_num": HEAD})


def migrate(connection: Connection) -> str:
    """Run the missing migrations in the transaction of the caller, who holds a lock. Returns the revision."""
    from alembic import command

    found = revision(connection)
    if found is not None and found > HEAD:
        require_current(found, "The database")
    command.upgrade(configuration(connection), "head")
    return HEAD


def configuration(connection: Connection) -> Config:
    """alembic's settings, without a file: it finds the migrations in the package and uses our connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def sqlite_revision(connection: sqlite3.Connection) -> tuple[str | None, bool]:
    """The stored revision of a SQLite file, and whether the file holds nothing at all. Raises sqlite3.Error."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables.schema_version.name not in names:
        return None, not names
    row: Any = connection.execute("SELECT version_num FROM headrace_schema").fetchone()
    return (None if row is None else str(row[0])), False
