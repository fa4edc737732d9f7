"""Engines on one PostgreSQL: a fresh database for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from headrace.engine.broker.kafka.settings import KafkaSettings
from tests.integration.shell.team import Team
from tests.support.postgres import TEMPLATE, Postgres, postgres
from tests.support.servers import Servers, lab

__all__ = ["lab", "postgres"]


@pytest.fixture
async def team(postgres: Postgres) -> AsyncIterator[Team]:
    name = f"test_{uuid.uuid4().hex}"
    made = await Team.open(await postgres.create(name, TEMPLATE))
    try:
        yield made
    finally:
        await made.close()
        await postgres.drop(name)


@pytest.fixture
async def kafka_team(lab: Servers) -> AsyncIterator[Team]:
    """The same over a real Kafka."""
    url = lab.database_url("team")
    made = await Team.open(url, KafkaSettings((lab.kafka,), lab.kafka_prefix(), inboxes=4))
    try:
        yield made
    finally:
        await made.close()
        lab.drop_database(url)
