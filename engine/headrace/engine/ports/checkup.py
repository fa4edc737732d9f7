"""What is known of the servers behind a deployment when they are looked at once: facts, without judgement (headrace.cli.findings judges).

Times are seconds since the epoch. Each adapter reads its own: headrace.engine.store.checkup, headrace.engine.broker.kafka.checkup,
headrace.engine.cache.redis.checkup.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headrace.engine.ports.ownership import Survey
from headrace.engine.ports.roster import WorkerRow


class Waiting(NamedTuple):
    """Commands in a part's inbox that no engine has taken yet; `oldest`: when the first of them was posted."""

    part: int
    commands: int
    oldest: float


class DatabaseFacts(NamedTuple):
    """A PostgreSQL database with the current schema.

    `settings`: fsync, full_page_writes, synchronous_commit and max_connections, as the server runs with them. `connections`: open now,
    of all databases; `room`: how many there may be for users like ours. `offsets`: of each part, up to where job-status was read.
    `prepared_until`: of each table that is cut into weeks, when its last week ends. `skew`: by how many seconds the clock of this
    machine is ahead of the server's; `doubt`: give or take so many.
    """

    server: str
    survey: Survey
    settings: Mapping[str, str]
    connections: int
    room: int
    pool: int
    offsets: Mapping[int, int]
    waiting: tuple[Waiting, ...]
    workers: tuple[WorkerRow, ...]
    prepared_until: Mapping[str, float]
    live_runs: int
    open_letters: int
    unreadable: int
    skew: float
    doubt: float


class FileFacts(NamedTuple):
    """A SQLite file that is there, with the current schema. `damage`: what SQLite's own check complains of. `free`: bytes left on
    its disk. `network`: the kind of file system, where it is one whose locks cannot be relied on."""

    damage: tuple[str, ...]
    journal: str
    free: int
    size: int
    owned: bool
    network: str | None
    live_runs: int
    waiting: tuple[Waiting, ...]
    open_letters: int


class TopicFacts(NamedTuple):
    """One topic. `config`: what of it was readable."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


class BrokerFacts(NamedTuple):
    """A Kafka cluster and the topics under our prefix. `problems`: what makes them unusable, in words. `status`: of each
    partition of job-status, where its log begins and where it ends."""

    brokers: int
    topics: tuple[TopicFacts, ...]
    problems: tuple[str, ...]
    status: Mapping[int, tuple[int, int]]


class CacheFacts(NamedTuple):
    """A Redis or Valkey server. `limit`: bytes it may use, 0: no limit. `policy` None: it does not tell."""

    server: str
    used: int
    limit: int
    policy: str | None
