"""Log chunks: what tasks wrote, kept beside the truth for a while. In full mode only; embedded runs keep files (`ports.artifacts.Logs`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class LogChunk(NamedTuple):
    """Some lines of one attempt. Identity: (run_id, task_id, generation, map, attempt, seq) and `at`, so that a chunk which
    is made again from the same messages is the same chunk."""

    run_id: str
    task_id: str
    generation: int
    map: int
    attempt: int
    seq: int  # ascends within the attempt
    at: float  # of the first line, not of the writing
    body: bytes  # as the writer compressed it


class Attempt(NamedTuple):
    """Whose lines they are."""

    run_id: str
    task_id: str
    generation: int
    map: int
    attempt: int


@runtime_checkable
class LogChunks(Protocol):
    """Kept by time: `Store.tend` drops what is old."""

    async def write_logs(self, chunks: Sequence[LogChunk]) -> None:
        """In bulk, one statement; a chunk that is there already is left as it is. Raises StoreUnavailable."""

    async def read_logs(
        self,
        run_id: str,
        task_id: str,
        generation: int,
        map: int,
        attempt: int,
        after: int = -1,
        limit: int = 1000,
    ) -> list[LogChunk]:
        """Chunks with seq above `after`, in order. Raises RowDamaged."""

    async def log_ends(self, run_id: str) -> dict[Attempt, int]:
        """The highest seq of each attempt of the run that has written."""
