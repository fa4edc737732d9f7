"""The topics: their names, how they are made, and what may be wrong with those that are there.

The number of partitions of job-status is the number of parts of the database, which never changes. A topic with fewer
has no room for some parts; one with more was widened by hand, and whoever counts partitions to find a part would write
where nobody reads. Both are refused. Kafka cannot take partitions back: make the topic anew while no run is live, or
use another prefix. The queues' topics may not be widened either, for a worker's inbox is counted from their number.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import BrokerUnavailable

REQUESTS = "job-requests"
"""Anyone may ask for a run here."""
TASKS = "job-tasks."
"""Followed by the queue: what workers are told."""
STATUS = "job-status"
"""What workers report, one partition a part."""
WORKERS = "job-workers"
"""Beats of workers and lines of engines; every engine reads all of it."""
LOGS = "job-logs"
"""What attempts write."""
DEAD = "job-dlq"
"""What failed for good, and what nobody could read."""
EVENTS = "job-events"
"""One CloudEvent per transition, for others to react to; only written when asked for."""

ENSURE = "headrace topics ensure"

_HOUR, _DAY = 3_600_000, 86_400_000
_READ = ("cleanup.policy", "retention.ms", "min.insync.replicas", "unclean.leader.election.enable")
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ensured:
    """What became of one topic: `created`, or it was there. `problem` None: it can be used."""

    name: str
    partitions: int
    replicas: int
    created: bool
    problem: str | None = None


def task_topic(settings: KafkaSettings, queue: str) -> str:
    """The topic of a queue. Raises ValueError when the name cannot be one."""
    name = f"{settings.prefix}{TASKS}{queue}"
    if not _LEGAL.fullmatch(name):
        raise ValueError(
            f'The queue "{queue}" cannot have a topic: Kafka takes letters, digits, ".", "_" and "-", '
            "249 characters in all."
        )
    return name


def wanted(settings: KafkaSettings, parts: int, queues: Iterable[str]) -> list[Topic]:
    """All topics, the queues' among them. Replicas are not said here: they depend on the cluster."""
    kept = {"cleanup.policy": "delete"}
    topics = [
        Topic(STATUS, parts, {**kept, "retention.ms": str(7 * _DAY)}),
        # The append time is the broker's own: an engine that starts tells fresh beats from old ones by it.
        Topic(WORKERS, 1, {**kept, "retention.ms": str(_HOUR), "message.timestamp.type": "LogAppendTime"}),
        Topic(REQUESTS, parts, {**kept, "retention.ms": str(7 * _DAY)}),
        Topic(LOGS, parts, {**kept, "retention.ms": str(3 * _DAY)}),
        Topic(DEAD, parts, {**kept, "retention.ms": str(30 * _DAY)}),
        Topic(EVENTS, parts, {**kept, "retention.ms": str(7 * _DAY)}),
    ]
    named = [Topic(settings.prefix + each.name, each.partitions, each.config) for each in topics]
    return named + [_queue(settings, queue, settings.inboxes) for queue in queues]


async def ensure(settings: KafkaSettings, parts: int, queues: Iterable[str] = ()) -> list[Ensured]:
    """Make the topics that are missing; look at those that are there and change nothing of them.

    New queues get as many inboxes as those that exist already. Raises BrokerUnavailable.
    """
    async with _admin(settings) as admin:
        found = await _found(admin, settings)
        inboxes = _inboxes(settings, found) or settings.inboxes
        topics = [
            Topic(each.name, inboxes if _is_queue(settings, each.name) else each.partitions, each.config)
            for each in wanted(settings, parts, queues)
        ]
        missing = [topic for topic in topics if topic.name not in found]
        replicas, refusals = await _create(admin, settings, missing)
        ensured = [
            Ensured(
                topic.name, topic.partitions, replicas, topic.name not in refusals, refusals.get(topic.name)
            )
            for topic in missing
        ]
        known = {topic.name for topic in topics} | {name for name in found if _is_queue(settings, name)}
        for name in sorted(known & found.keys()):
            problem = _problem(settings, found[name], topics, inboxes)
            ensured.append(Ensured(name, found[name].partitions, found[name].replicas, False, problem))
    return sorted(ensured, key=lambda each: each.name)


async def ensure_queues(settings: KafkaSettings, queues: Iterable[str]) -> dict[str, int]:
    """Make the topics of these queues where they are missing. Gives their inboxes.

    Raises BrokerUnavailable, also when queues' topics differ in their number of inboxes.
    """
    queues = list(queues)
    for queue in queues:
        try:
            task_topic(settings, queue)
        except ValueError as error:
            raise BrokerUnavailable(str(error)) from None
    async with _admin(settings) as admin:
        found = await _found(admin, settings, configs=False)
        inboxes = _inboxes(settings, found) or settings.inboxes
        topics = [_queue(settings, queue, inboxes) for queue in queues]
        _, refusals = await _create(admin, settings, [each for each in topics if each.name not in found])
        if refusals:
            raise BrokerUnavailable(" ".join(refusals.values()))
    counts = {
        queue: found[topic.name].partitions if topic.name in found else inboxes
        for queue, topic in zip(queues, topics, strict=True)
    }
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{queue}: {count}" for queue, count in counts.items())
        raise BrokerUnavailable(
            f"The queues' topics differ in their partitions ({listed}), but a worker has one inbox for all. "
            f"Delete the odd ones while nothing runs, then: {ENSURE}"
        )
    return counts


async def check(settings: KafkaSettings, parts: int | None, queues: Iterable[str] = ()) -> list[str]:
    """Everything that is wrong with the topics, at once. `parts` None: not compared. Raises BrokerUnavailable."""
    return problems((await look(settings))[1], settings, parts, queues)


async def look(settings: KafkaSettings) -> tuple[int, Mapping[str, Found]]:
    """How many brokers there are, and the topics under the prefix. Raises BrokerUnavailable."""
    async with _admin(settings) as admin:
        return len((await admin.describe_cluster())["brokers"]), await _found(admin, settings)


def problems(
    found: Mapping[str, Found], settings: KafkaSettings, parts: int | None, queues: Iterable[str] = ()
) -> list[str]:
    """Everything that makes these topics unusable, in words. `parts` None: not compared."""
    topics = wanted(settings, parts or 0, queues)
    missing = [topic.name for topic in topics if topic.name not in found]
    told = [_missing(settings, missing)] if missing else []
    inboxes = _inboxes(settings, found)
    known = {topic.name for topic in topics} | {name for name in found if _is_queue(settings, name)}
    for name in sorted(known & found.keys()):
        if parts is None and name == settings.prefix + STATUS:
            continue
        problem = _problem(settings, found[name], topics, inboxes)
        if problem is not None:
            told.append(problem)
    return told


async def require(settings: KafkaSettings, names: Iterable[str]) -> dict[str, int]:
    """The partitions of these topics, named without the prefix. Raises BrokerUnavailable when one is missing."""
    names = list(names)
    async with _admin(settings) as admin:
        found = await _seen(admin, settings, [settings.prefix + name for name in names], within=2.0)
    missing = [settings.prefix + name for name in names if settings.prefix + name not in found]
    if missing:
        raise BrokerUnavailable(_missing(settings, missing))
    return {name: found[settings.prefix + name].partitions for name in names}


def _missing(settings: KafkaSettings, names: list[str]) -> str:
    """Kafka does not tell what is not there from what somebody may not see."""
    hidden = f' (or user "{settings.user}" may not see them)' if settings.with_password else ""
    return f"Topics are missing{hidden}: {', '.join(names)}. Make them: {ENSURE}"


def _queue(settings: KafkaSettings, queue: str, inboxes: int) -> Topic:
    config = {"cleanup.policy": "delete", "retention.ms": str(_DAY)}
    return Topic(f"{settings.prefix}{TASKS}{queue}", inboxes, config)


def _is_queue(settings: KafkaSettings, name: str) -> bool:
    return name.startswith(settings.prefix + TASKS)


def _inboxes(settings: KafkaSettings, found: Mapping[str, Found]) -> int | None:
    """What most of the queues' topics have."""
    counts = [topic.partitions for name, topic in found.items() if _is_queue(settings, name)]
    return max(sorted(set(counts)), key=counts.count) if counts else None


def _problem(settings: KafkaSettings, found: Found, topics: list[Topic], inboxes: int | None) -> str | None:
    name, has = found.name, found.partitions
    if _is_queue(settings, name):
        if inboxes is not None and has != inboxes:
            return (
                f"{name} has {has} partitions, the other queues' topics have {inboxes}. All need the same: "
                f"delete it while no worker listens there, then: {ENSURE}"
            )
    elif name == settings.prefix + STATUS:
        parts = next(each.partitions for each in topics if each.name == name)
        if has != parts:
            return (
                f"{name} has {has} partitions, the database {parts} parts, and both stay as they were made. "
                f"While no run is live, delete the topic, then: {ENSURE}. Or use another HEADRACE_KAFKA_PREFIX."
            )
    elif name == settings.prefix + WORKERS and has != 1:
        return f"{name} has {has} partitions; every engine reads one. Delete it, then: {ENSURE}"
    policy = found.config.get("cleanup.policy", "delete")
    if "compact" in policy:
        return f"{name} has cleanup.policy={policy}: compaction would lose messages. Set it to delete."
    kept = int(found.config.get("retention.ms", "-1"))
    if name == settings.prefix + STATUS and 0 <= kept < _HOUR:
        return f"{name} keeps reports for {kept / 1000:g} s; engines may be away for longer. Set retention.ms higher."
    return None


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    connection = Connection(settings, "headrace-topics")
    admin = connection.admin()
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise await connection.explain(error) from error
    finally:
        await admin.close()


async def _found(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, configs: bool = True
) -> dict[str, Found]:
    """The topics under the prefix. All topics are asked for: naming one that is missing could make it."""
    own = [settings.prefix + name for name in (REQUESTS, STATUS, WORKERS, LOGS, DEAD, EVENTS)]
    found = {}
    for topic in await admin.describe_topics():
        name = topic["topic"]
        if (name in own or _is_queue(settings, name)) and topic["error_code"] == 0:
            partitions = topic["partitions"]
            replicas = min((len(each["replicas"]) for each in partitions), default=0)
            found[name] = Found(name, len(partitions), replicas)
    if not configs or not found:
        return found
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_READ)) for name in found]
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code == 0:  # without the right to read it, it is taken as good
                config = {entry[0]: entry[1] for entry in entries}
                found[name] = Found(name, found[name].partitions, found[name].replicas, config)
    return found


async def _seen(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, names: Collection[str], within: float
) -> dict[str, Found]:
    """The topics that are there, all of `names` if they turn up within so many seconds: brokers hear of a new topic a
    moment after whoever made it."""
    until = monotonic() + within
    while True:
        found = await _found(admin, settings, configs=False)
        if found.keys() >= set(names) or monotonic() > until:
            return found
        await asyncio.sleep(0.1)


async def _create(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, topics: list[Topic]
) -> tuple[int, dict[str, str]]:
    """Make them. Gives their replicas, and a reason for each that could not be made; one that someone else made meanwhile could."""
    if not topics:
        return 0, {}
    brokers = len((await admin.describe_cluster())["brokers"])
    replicas = settings.replication or min(3, brokers)
    extra = {"min.insync.replicas": str(2 if replicas >= 3 else 1), "unclean.leader.election.enable": "false"}
    response: Any = await admin.create_topics(
        [
            NewTopic(each.name, each.partitions, replicas, topic_configs={**each.config, **extra})
            for each in topics
        ]
    )
    refusals = {}
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            why = (message[0] if message else None) or error.description
            refusals[name] = f"{name} cannot be made: {why}"
    await _seen(admin, settings, [each.name for each in topics if each.name not in refusals], within=10.0)
    return replicas, refusals
