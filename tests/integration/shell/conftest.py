"""Engines on one PostgreSQL: a fresh database for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.integration.shell.team import Team
from tests.support.postgres import TEMPLATE, Postgres, postgres

__all__ = ["postgres"]


@pytest.fixture
async def team(postgres: Postgres) -> AsyncIterator[Team]:
    name = f"test_{uuid.uuid4().hex}"
    made = await Team.open(await postgres.create(name, TEMPLATE))
    try:
        yield made
    finally:
        await made.close()
        await postgres.drop(name)
