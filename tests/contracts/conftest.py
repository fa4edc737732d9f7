"""Each contract test runs on every adapter, on a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import Store
from headrace.engine.store import open_store
from tests.support.postgres import TEMPLATE, Postgres, postgres
from tests.support.servers import Servers, breakable_lab, lab

__all__ = ["breakable_lab", "lab", "postgres"]


class Database:
    """A fresh database with the current schema. `open` may be called several times: several processes would."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._open: list[Store] = []

    async def open(self) -> Store:
        store = await open_store(self.url)
        self._open.append(store)
        return store

    async def close(self) -> None:
        for store in reversed(self._open):
            await store.close()

    @property
    def path(self) -> Path:
        """Of the SQLite file."""
        return Path(self.url.removeprefix("sqlite:///"))


async def _sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'headrace.db'}")
    yield database
    await database.close()


async def _postgres(server: Postgres) -> AsyncIterator[Database]:
    name = f"test_{uuid.uuid4().hex}"
    database = Database("postgres", await server.create(name, TEMPLATE))
    yield database
    await database.close()
    await server.drop(name)


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[Database]:
    async for database in _sqlite(tmp_path):
        yield database


@pytest.fixture
async def postgres_database(postgres: Postgres) -> AsyncIterator[Database]:
    async for database in _postgres(postgres):
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
async def store(database: Database) -> Store:
    return await database.open()


@pytest.fixture
async def owned(store: Store) -> Ownership:
    """Part 0, of an engine."""
    return await store.claim(0, "engine-1")


@pytest.fixture
def kafka_settings(lab: Servers) -> KafkaSettings:
    """The session's Kafka, with topics of the test's own."""
    return KafkaSettings((lab.kafka,), prefix=lab.kafka_prefix())
