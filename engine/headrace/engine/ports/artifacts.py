"""Artifacts and logs: bytes too large, or too many, for the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.messages import Log


class ArtifactMissing(Exception):
    """The artifact is not there, or its SHA-256 differs from what was recorded."""


class Artifacts(Protocol):
    """Content-addressed: the same bytes are stored once."""

    async def put(self, data: bytes) -> Artifact: ...

    async def get(self, artifact: Artifact) -> bytes:
        """Checked against its digest. Raises ArtifactMissing."""


class LogWriter(Protocol):
    """Where the lines that attempts write go."""

    def write(self, lines: Sequence[Log]) -> None:
        """Never blocks on a reader; safe from any thread."""


class LogEnd(NamedTuple):
    """The last lines of an attempt, in order of writing."""

    begins: int  # the number of the first of them
    lines: list[Log]


class LogReader(Protocol):
    """Log lines per attempt, in order of writing."""

    async def read(
        self,
        run_id: str,
        task_id: str,
        map: int,
        generation: int,
        attempt: int,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Log]:
        """Lines from number `after` on, at most `limit` of them."""

    async def last(
        self, run_id: str, task_id: str, map: int, generation: int, attempt: int, most: int
    ) -> LogEnd:
        """At most so many lines of the end. Never holds more of them than that, and one piece."""

    def follow(self, run_id: str, looked: Callable[[], None] | None = None) -> AsyncIterator[Log]:
        """Every line of the run's attempts: those that are there, then those that come. Never ends by itself. `looked` is called
        on the loop each time that all of what was there when it began to look has been given."""


class Logs(LogWriter, LogReader, Protocol):
    """Log lines per attempt, kept in order of writing."""
