"""The store on SQLAlchemy: one schema for SQLite and PostgreSQL.

`open_store` is the way in. An adapter's driver is imported only when a database of its kind is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.engine.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from headrace.engine.ports.store import Store

__all__ = ["check", "open_store", "restored", "speaks", "upgrade"]


async def open_store(url: str) -> Store:
    """Open the database at `sqlite:///path` or `postgresql://…`.

    A SQLite file is made, or brought to the current schema, where needed; a PostgreSQL database must have it
    (`upgrade`). Raises StoreUnavailable.
    """
    path = _sqlite_path(url)
    if path is not None:
        from headrace.engine.store.sqlite import SqliteStore

        return await SqliteStore.open(path)
    from headrace.engine.store.postgres import PostgresStore

    return await PostgresStore.open(url)


async def upgrade(url: str, parts: int | None = None) -> str:
    """Bring a database to the current schema and return its revision. Safe to repeat, to interrupt and to run twice at once.

    `parts` spreads the runs of a new PostgreSQL database; that of another number is refused. Raises StoreUnavailable.
    """
    path = _sqlite_path(url)
    if path is not None:
        from headrace.engine.store.sqlite import SqliteStore

        if parts not in (None, 1):
            raise StoreUnavailable("A SQLite file has one part; several engines at once need PostgreSQL.")
        await (await SqliteStore.open(path)).close()
    else:
        from headrace.engine.store.postgres_upkeep import upgrade as upgrade_postgres

        await upgrade_postgres(url, parts)
    from headrace.engine.store.schema import HEAD

    return HEAD


async def restored(url: str) -> None:
    """Make a PostgreSQL database that was restored from a copy fit to be used beside workers and a Kafka that are ahead of it. Safe
    to repeat. Raises StoreUnavailable, also while an engine lives on it and for a SQLite file, which needs nothing."""
    if _sqlite_path(url) is not None:
        raise StoreUnavailable(
            "A SQLite file needs nothing after it was put back: nobody else remembers what came after."
        )
    from headrace.engine.store.postgres_upkeep import restored as leap

    await leap(url)


async def check(url: str) -> str:
    """The revision of a database whose schema is current, changing nothing. Raises StoreUnavailable saying what to do."""
    from headrace.engine.store import schema

    path = _sqlite_path(url)
    if path is not None:
        from headrace.engine.store.sqlite import stored

        found = await stored(path)
    else:
        from headrace.engine.store.postgres_upkeep import stored as stored_in_postgres

        found = await stored_in_postgres(url)
    schema.require_current(found, "The database")
    return schema.HEAD


def speaks() -> Mapping[str, tuple[int, int]]:
    """What this build can work with: the oldest and the newest schema and messages."""
    from headrace.engine.store.schema import SPEAKS

    return SPEAKS


def _sqlite_path(url: str) -> Path | None:
    """The path of a SQLite URL, None for PostgreSQL. Raises StoreUnavailable for anything else."""
    scheme, found, rest = url.partition("://")
    if found and scheme in ("postgresql", "postgres"):
        return None
    if scheme == "sqlite" and rest.startswith("/") and rest not in ("/", "/:memory:"):
        return Path(rest[1:])
    raise StoreUnavailable(
        f"{scheme}://… is not a database Headrace can use. "
        "Give sqlite:///path/to/file (four slashes for an absolute path) or postgresql://user@host/name."
    )
