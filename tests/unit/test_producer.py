"""Leaving a producer of Kafka, whatever has become of what it was given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerClosed

from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.settings import KafkaSettings


@pytest.mark.parametrize("tried", [0, 1, 2])
async def test_one_that_is_left_fails_what_it_has_and_says_nothing(tried: int) -> None:
    """`tried`: how often a batch was sent; one that was and waits to be sent again is no longer among those under way."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    producer = Connection(KafkaSettings(bootstrap=("127.0.0.1:1",)), "test").producer()
    accumulator, partition = producer._message_accumulator, TopicPartition("topic", 0)
    accumulator._txn_manager.set_pid_and_epoch(1, 0)
    future = await accumulator.add_message(partition, None, b"value", timeout=1.0)
    for _ in range(tried):
        accumulator.reenqueue(accumulator._pop_batch(partition))
    await producer.abandon()
    with pytest.raises(ProducerClosed):
        await future
    await asyncio.sleep(0)  # callbacks of the batch
    assert faults == []
