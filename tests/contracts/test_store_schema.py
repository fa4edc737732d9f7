"""The migrations, the tables in code and what is created in one go are the same schema."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store import check, open_store, schema, tables, upgrade
from headrace.engine.store.lane import Lane
from tests.support.postgres import Postgres


def migrated(path: Path) -> None:
    """Bring the file up by the migrations alone."""
    lane = Lane(str(path))
    try:
        with lane.transaction("BEGIN IMMEDIATE"):
            schema.migrate(lane.sql)
    finally:
        lane.close()


def objects(path: Path) -> dict[str, str]:
    """Every table and index of the file, as SQLite keeps its definition."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: _spelled(sql) for name, sql in rows}
    finally:
        connection.close()


def _spelled(sql: str) -> str:
    """One spelling: alembic names no constraint of its own version table differently, only spaces and types."""
    return (
        re.sub(r"\s+(?=[,)]|$)|(?<=\()\s+", "", re.sub(r"\s+", " ", sql))
        .replace("VARCHAR(32)", "TEXT")
        .strip()
    )


async def test_what_is_created_is_what_the_migrations_make(tmp_path: Path) -> None:
    created, by_steps = tmp_path / "created.db", tmp_path / "steps.db"
    await (await open_store(f"sqlite:///{created}")).close()
    migrated(by_steps)
    one, other = objects(created), objects(by_steps)
    assert one.keys() == other.keys()
    for name in one.keys() - {tables.schema_version.name}:
        assert one[name] == other[name], name
    assert await check(f"sqlite:///{by_steps}") == schema.HEAD
    await (await open_store(f"sqlite:///{by_steps}")).close()


async def test_the_migrations_make_the_tables_of_the_code(postgres: Postgres) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"version_table": tables.schema_version.name, "compare_type": True}
        )
        tables.tell_postgresql()
        found: list[Any] = compare_metadata(context, tables.metadata)
        return [d for d in found if not _is_version_table(d) and not _is_of_weeks(d)]

    url = await postgres.create("migrated")
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    try:
        await upgrade(url)
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()
        await postgres.drop("migrated")


def _is_of_weeks(difference: Any) -> bool:
    """The weeks of a partitioned table and its unique key are nothing that SQLAlchemy knows of."""
    return re.search(r"(history|log_chunks)_(default|key|20\d{6})", repr(difference)) is not None


def _is_version_table(difference: Any) -> bool:
    return tables.schema_version.name in str(difference)


def test_the_newest_migration_is_the_one_the_code_names(tmp_path: Path) -> None:
    lane = Lane(str(tmp_path / "x.db"))
    try:
        script = ScriptDirectory.from_config(schema.configuration(lane.sql))
        assert script.get_heads() == [schema.HEAD]
    finally:
        lane.close()


@pytest.mark.parametrize("times", [2, 6])
async def test_upgrades_at_once_leave_one_schema(tmp_path: Path, times: int) -> None:
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    assert await asyncio.gather(*(upgrade(url) for _ in range(times))) == [schema.HEAD] * times
    assert await check(url) == schema.HEAD


async def test_upgrades_of_a_server_at_once_leave_one_schema(postgres: Postgres) -> None:
    url = await postgres.create("together")
    try:
        assert await asyncio.gather(*(upgrade(url) for _ in range(4))) == [schema.HEAD] * 4
        assert await check(url) == schema.HEAD
    finally:
        await postgres.drop("together")


async def test_an_interrupted_migration_leaves_nothing_and_may_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "headrace.db"
    from alembic.operations import Operations

    create_index = Operations.create_index

    def power_fails(self: Operations, name: str, *args: Any, **named: Any) -> None:
        if name == "runs_live":
            raise KeyboardInterrupt
        create_index(self, name, *args, **named)

    monkeypatch.setattr(Operations, "create_index", power_fails)
    with pytest.raises(KeyboardInterrupt):
        migrated(path)
    assert objects(path) == {}
    monkeypatch.undo()
    migrated(path)
    assert await check(f"sqlite:///{path}") == schema.HEAD


async def test_an_interrupted_migration_of_a_server_leaves_nothing(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    url = await postgres.create("interrupted")

    def power_fails(self: Operations, *args: Any, **named: Any) -> None:
        raise OSError("the connection is gone")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Operations, "create_index", power_fails)
            with pytest.raises(StoreUnavailable):
                await upgrade(url)
        with pytest.raises(StoreUnavailable, match="has no Headrace tables yet"):
            await check(url)
        await upgrade(url)
        assert await check(url) == schema.HEAD
    finally:
        await postgres.drop("interrupted")


def test_the_migrations_are_shipped_with_the_package() -> None:
    names = os.listdir(schema.MIGRATIONS / "versions")
    assert sorted(name[1:5] for name in names if name.endswith(".py")) == sorted(schema.STEPS)
    assert {"env.py", "script.py.mako"} <= set(os.listdir(schema.MIGRATIONS))
