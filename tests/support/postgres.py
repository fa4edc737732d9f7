"""The session's PostgreSQL, for tests of the store: a fresh database for each test, copied from one with the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tests.support.servers import TEMPLATE, session_servers

__all__ = ["TEMPLATE", "Postgres", "postgres"]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    port: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    async def create(self, database: str, template: str = "template1") -> str:
        """A new database, and its URL."""
        await self._command(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    async def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        await self._command(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    async def _command(self, command: str) -> None:
        connection: Any = await asyncpg.connect(self.url())
        try:
            await connection.execute(command)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server, with a template database that has Headrace's tables."""
    with session_servers() as servers:
        servers.make_template()
        yield Postgres(servers.port("postgres"))
