"""Workers as engines last saw them, for whoever cannot hear them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class WorkerRow(NamedTuple):
    """A worker as engines last saw it. `kinds`: the runners that it has."""

    id: str
    incarnation: str
    queues: tuple[str, ...]
    labels: dict[str, str]
    kinds: tuple[str, ...]
    slots: int
    held: int
    draining: bool
    seen_at: float


class Roster(Protocol):
    """What engines note of workers."""

    async def saw_workers(self, workers: Sequence[WorkerRow]) -> None:
        """Upsert in bulk; an older `seen_at` than what is stored changes nothing. At most every 2 s an engine."""

    async def workers(self, since: float = 0.0) -> list[WorkerRow]:
        """Workers seen at `since` or later, by id."""
