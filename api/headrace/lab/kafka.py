"""Kafka in the lab: one node that is broker and controller (KRaft), small, with every internal topic on one replica."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

from headrace.lab import probes, programs
from headrace.lab.ports import HOST
from headrace.lab.processes import environment, run
from headrace.lab.server import Launch, Ports, Say, Server

HEAP = ("-Xms96m", "-Xmx384m", "-XX:TieredStopAtLevel=1")
"""Enough for a laboratory; the simple compiler starts twice as fast and takes less memory."""


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
        properties.write_text(self._properties(data, ports), encoding="utf-8")
        java = (programs.java(), *HEAP, "-cp", f"{jars}/jars/*:{jars}/modules/*")
        if not (data / "meta.properties").is_file():
            name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", name, "-c", properties)
            run([*java, *tool], environment=environment())
        log = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
        return Launch((*java, *log, "kafka.Kafka", properties), self.folder)

    def ready(self, ports: Ports) -> bool:
        return probes.kafka(ports["main"])

    def address(self, ports: Ports) -> str:
        return f"{HOST}:{ports['main']}"

    @staticmethod
    def _properties(data: Path, ports: Ports) -> str:
        here, control = f"{HOST}:{ports['main']}", f"{HOST}:{ports['controller']}"
        return (
            "\n".join(
                f"{name}={value}"
                for name, value in {
                    "process.roles": "broker,controller",
                    "node.id": 1,
                    "controller.quorum.voters": f"1@{control}",
                    "controller.listener.names": "CONTROLLER",
                    "listeners": f"PLAINTEXT://{here},CONTROLLER://{control}",
                    "advertised.listeners": f"PLAINTEXT://{here}",
                    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    "log.dirs": data,
                    "auto.create.topics.enable": "false",  # they would have one partition
                    "num.partitions": 8,
                    "offsets.topic.replication.factor": 1,
                    "offsets.topic.num.partitions": 8,
                    "transaction.state.log.replication.factor": 1,
                    "transaction.state.log.min.isr": 1,
                    "transaction.state.log.num.partitions": 8,
                    "share.coordinator.state.topic.replication.factor": 1,
                    "share.coordinator.state.topic.min.isr": 1,
                    "share.coordinator.state.topic.num.partitions": 4,
                    "group.initial.rebalance.delay.ms": 0,
                    # After a crash the new broker waits until the old one's session has ended.
                    "broker.session.timeout.ms": 6000,
                    "broker.heartbeat.interval.ms": 1000,
                    "num.network.threads": 2,
                    "num.io.threads": 4,
                    "log.index.size.max.bytes": 1_048_576,
                "log.cleaner.dedupe.buffer.size": 4_194_304,  # taken from the heap at once; 128 MiB otherwise
                "metadata.max.idle.interval.ms": 5000,  # how often an idle controller writes, and flushes, nothing
                }.items()
            )
            + "\n"
        )
