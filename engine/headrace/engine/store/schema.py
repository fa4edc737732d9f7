"""Which schema a database has, who may use it, and bringing it to this version's.

The revision is compared first and alone: a current database costs one query and never imports alembic. Migrations run one after
the other under a lock, each in one transaction or in steps that may be repeated, so an interrupted one is begun again, and of
two at once the second finds the work done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, text

from headrace.engine.ports.messages import VERSION
from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import partings, tables

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0011"
"""The newest revision in `migrations/versions`."""

STEPS = {
    "0001": "the tables",
    "0002": "parts for many engines, workers, dead letters that can be handled",
    "0003": "history in weeks, log chunks",
    "0004": "dead letters that are published",
    "0005": "room for second versions of task runs",
    "0006": "users, tokens, audit, settings of workflows",
    "0007": "schedules",
    "0008": "backfills",
    "0009": "lines of the audit found by who, what and which",
    "0010": "waits that people and signals end",
    "0011": "pools, backfills of a part of a workflow",
}
"""Every revision and what it brings."""

SPEAKS: Mapping[str, tuple[int, int]] = {"schema": (4, int(HEAD)), "messages": (VERSION, VERSION)}
"""What this build can work with: the oldest and the newest schema, the oldest and the newest messages."""

SERVES: Mapping[str, tuple[int, int]] = {"schema": (2, int(HEAD)), "messages": (VERSION, VERSION)}
"""What a database at HEAD asks of whoever opens it: the oldest build that can work with it, and the messages that are spoken."""

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x4845414452414345  # of the advisory lock under which PostgreSQL is migrated


class Stored(NamedTuple):
    """What a database says about itself. `revision` None: Headrace has never touched it."""

    revision: str | None
    spoken: Mapping[str, tuple[int, int]] = {}


def stored(connection: Connection) -> Stored:
    """The stored revision, and what is spoken."""
    names = (tables.schema_version.name, tables.spoken.name)
    has = connection.execute(
        text("SELECT to_regclass(:version) IS NOT NULL, to_regclass(:spoken) IS NOT NULL"),
        {"version": names[0], "spoken": names[1]},
    ).one()
    revision = connection.scalar(select(tables.schema_version.c.version_num)) if has[0] else None
    rows = connection.execute(select(tables.spoken)) if has[1] else ()
    return Stored(revision, {row.what: (row.oldest, row.newest) for row in rows})


def require_usable(found: Stored, where: str) -> None:
    """Raise StoreUnavailable unless this build and what uses the database already understand each other."""
    if found.revision is None:
        raise StoreUnavailable(f"{where} has no Headrace tables yet. Run `headrace db upgrade` once.")
    number = int(found.revision)
    oldest, newest = found.spoken.get("schema", (number, number))
    if newest != number:  # written by an upgrade that was cut off
        oldest = newest = number
    if newest < SPEAKS["schema"][0]:
        raise StoreUnavailable(
            f"{where} has the schema {found.revision}, this Headrace needs {HEAD}. Run `headrace db upgrade`."
        )
    if oldest > SPEAKS["schema"][1]:
        raise StoreUnavailable(
            f"{where} has the schema {found.revision} of a newer Headrace (this one knows {HEAD}). "
            "Upgrade Headrace; going back is not possible without a copy from before."
        )
    first, last = found.spoken.get("messages", SPEAKS["messages"])
    ours = SPEAKS["messages"]
    if first > ours[1] or last < ours[0]:
        raise StoreUnavailable(
            f"The engines and workers of {where[0].lower()}{where[1:]} speak messages of version {_span((first, last))}, this Headrace "
            f"speaks {_span(ours)}. Bring all of them to one version; a step may be one version at a time."
        )


def require_current(found: Stored, where: str) -> None:
    """Raise StoreUnavailable unless the schema is just the one of this version."""
    require_usable(found, where)
    if found.revision != HEAD:
        missing = [step for step in STEPS if step > (found.revision or "")]
        if missing:
            lacks = "; ".join(f"{step} ({STEPS[step]})" for step in missing)
            raise StoreUnavailable(f"{where} can be used, but lacks {lacks}. Run `headrace db upgrade`.")


def _span(versions: tuple[int, int]) -> str:
    return str(versions[0]) if versions[0] == versions[1] else f"{versions[0]} to {versions[1]}"


def create(connection: Connection) -> None:
    """All tables of an empty SQLite file, stamped: what the migrations would make, without their import."""
    tables.metadata.create_all(connection, tables.on_sqlite(), checkfirst=False)
    partings.spread(connection, None)
    connection.execute(insert(tables.schema_version), {"version_num": HEAD})
    speak(connection)


def speak(connection: Connection) -> None:
    """Write down what is asked of whoever opens the database from now on."""
    connection.execute(delete(tables.spoken))
    rows = [{"what": what, "oldest": first, "newest": last} for what, (first, last) in SERVES.items()]
    connection.execute(insert(tables.spoken), rows)


def migrate(connection: Connection, parts: int | None = None) -> str:
    """Run the missing migrations; the caller holds a lock. Returns the revision. `parts`: on how many a new database
    spreads its runs."""
    from alembic import command

    settings = configuration(connection)
    settings.attributes["parts"] = parts
    if connection.dialect.name == "sqlite" and not connection.in_transaction():
        connection.begin()  # tells alembic that the transaction is the caller's
    command.upgrade(settings, "head")
    speak(connection)
    return HEAD


def configuration(connection: Connection) -> Config:
    """alembic's settings, without a file: it finds the migrations in the package and uses our connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def sqlite_stored(connection: sqlite3.Connection) -> tuple[Stored, bool]:
    """What a SQLite file says about itself, and whether the file holds nothing at all. Raises sqlite3.Error."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables.schema_version.name not in names:
        return Stored(None), not names
    row: Any = connection.execute("SELECT version_num FROM headrace_schema").fetchone()
    rows = connection.execute("SELECT what, oldest, newest FROM spoken") if "spoken" in names else ()
    spoken = {what: (oldest, newest) for what, oldest, newest in rows}
    return Stored(None if row is None else str(row[0]), spoken), False
