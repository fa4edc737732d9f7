"""The topics beside the hot path on a real Kafka, with a fresh PostgreSQL database for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.settings import KafkaSettings
from tests.integration.streams.bench import Bench
from tests.support.servers import Servers, lab

__all__ = ["lab"]

PARTS = 4


@pytest.fixture
async def bench(lab: Servers) -> AsyncIterator[Bench]:
    settings = KafkaSettings((lab.kafka,), prefix=lab.kafka_prefix())
    await topics.ensure(settings, PARTS)
    url = lab.database_url("streams")
    made = await Bench.open(settings, url)
    try:
        yield made
    finally:
        await made.close()
        lab.drop_database(url)
