"""The store of a cluster: beside what every store does, it keeps log lines and tells which letters are to be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from headrace.engine.ports.letters import LetterBox
from headrace.engine.ports.logs import LogChunks
from headrace.engine.ports.store import Created, HistoryRow, NewRun, RunRow, Store


@runtime_checkable
class TeamStore(Store, LetterBox, LogChunks, Protocol):
    """PostgreSQL; a SQLite file is no such store."""

    async def history_since(
        self, part: int, at: float, after: tuple[float, int, int] | None, limit: int
    ) -> list[HistoryRow]:
        """What the part's runs went through since `at`, in order of (at, run, seq), behind `after`. Raises RowDamaged,
        StoreUnavailable."""

    async def create_runs(self, runs: Sequence[NewRun]) -> list[Created]:
        """`create_run` for many that have no business key, in one transaction. Those of which the id or the idempotency key is
        there already are left out of the answer. Raises StoreUnavailable."""

    async def run_asked_for(self, project: str, idempotency: str) -> RunRow | None:
        """The run that was created with that idempotency key, whole. Raises RowDamaged, StoreUnavailable."""
