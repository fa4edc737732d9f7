"""Kafka in the lab: one node that is broker and controller (KRaft), small, with every internal topic on one replica."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

from headrace.lab import probes, programs
from headrace.lab.jvm import Java
from headrace.lab.ports import HOST
from headrace.lab.server import Launch, Ports, Say, Server

LOG = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
)
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{main},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{main}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}

# A topic made by chance would have one partition.
auto.create.topics.enable=false
num.partitions=8

offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0

# After a crash the new broker waits until the old one's session has ended.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000

# Small: few threads, small indexes, 4 MiB of the heap for compaction in place of 128, an idle controller that rarely writes.
num.network.threads=2
num.io.threads=4
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=4194304
metadata.max.idle.interval.ms=5000
"""


class Kafka(Server):
    """Its data survive restarts on other ports too, because only the node's number is kept in them."""

    name = "kafka"
    setting = "HEADRACE_KAFKA"
    port_names = ("main", "controller")
    start_seconds = 120
    quit_seconds = 30

    def prepare(self, ports: Ports, say: Say) -> Launch:
        note = self.folder / "jars.path"
        known = Path(note.read_text(encoding="utf-8")) if note.is_file() else None
        jars = programs.kafka_jars(known, say)
        note.write_text(str(jars), encoding="utf-8")
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        properties.write_text(PROPERTIES.format(host=HOST, data=data, **ports), encoding="utf-8")
        java = Java(jars)
        if not (data / "meta.properties").is_file():
            name = cluster_id(uuid.uuid4())
            java.run(
                *LOG, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", name, "-c", properties
            )
        return Launch(java.command(*LOG, "kafka.Kafka", properties), self.folder)

    def ready(self, ports: Ports) -> bool:
        return probes.kafka(ports["main"])

    def address(self, ports: Ports) -> str:
        return f"{HOST}:{ports['main']}"


def cluster_id(drawn: uuid.UUID) -> str:
    """As Kafka writes an id, and never with a dash in front, which its tools would take for an option: the first bit is 0."""
    first, *rest = drawn.bytes
    return base64.urlsafe_b64encode(bytes((first & 0x7F, *rest))).decode().rstrip("=")
