"""What a Kafka cluster is like when it is looked at once, for `headrace doctor`. Nothing is changed."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import STATUS, Found, look, problems
from headrace.engine.ports.checkup import BrokerFacts, TopicFacts


async def kafka(settings: KafkaSettings, parts: int | None) -> BrokerFacts:
    """The topics under our prefix, compared with a database of so many parts. Raises BrokerUnavailable."""
    brokers, found = await look(settings)
    status = found.get(settings.prefix + STATUS)
    return BrokerFacts(
        brokers,
        tuple(TopicFacts(t.name, t.partitions, t.replicas, t.config) for _, t in sorted(found.items())),
        tuple(problems(found, settings, parts)),
        {} if status is None else await _bounds(settings, status),
    )


async def _bounds(settings: KafkaSettings, topic: Found) -> dict[int, tuple[int, int]]:
    """Where the logs of its partitions begin and end."""
    connection = Connection(settings, "headrace-doctor")
    consumer = connection.consumer()
    try:
        await consumer.start()
        places = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
    except (KafkaError, OSError, TimeoutError) as error:
        raise await connection.explain(error) from error
    finally:
        await consumer.stop()
    return {place.partition: (begins[place], ends[place]) for place in places}
