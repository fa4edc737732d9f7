"""How to reach Kafka, and the shape of the topics that are made there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

INBOXES = 16
"""Inbox partitions of a queue's topic when it is made and nothing else is said."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Everything that engine, worker and `headrace topics` must agree on.

    `bootstrap`: host:port of some brokers. `prefix` stands before every topic name. `inboxes`: partitions of a queue's
    topic when it is made. `replication` None: three replicas, or as many as there are brokers. `ca`, `cert` and
    `cert_key` are paths of PEM files; without `ca` the system's authorities count.
    """

    bootstrap: tuple[str, ...]
    prefix: str = ""
    inboxes: int = INBOXES
    replication: int | None = None
    security: Security = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    cert_key: str | None = None
    check_hostname: bool = True

    def __repr__(self) -> str:
        """Without the password."""
        return f"KafkaSettings({', '.join(self.bootstrap)}, prefix={self.prefix!r}, {self.security})"

    @property
    def encrypted(self) -> bool:
        return self.security.endswith("SSL")

    @property
    def with_password(self) -> bool:
        return self.security.startswith("SASL")
