"""Which runs an engine decides for: all of its part, or one run and its children, for a command that found no owner."""

from __future__ import annotations

from headrace.engine.ports.store import Store
from headrace.engine.shell.patient import PatientStore


class Reach:
    """`only` None: every run."""

    def __init__(self, store: Store | PatientStore, only: frozenset[int] | None) -> None:
        self._store = store
        self._only = only
        self._known: dict[int, bool] = {}

    async def includes(self, run: int) -> bool:
        """Whether this engine may decide for the run: it is meant, or descends from one that is."""
        if self._only is None or run in self._only:
            return True
        known = self._known.get(run)
        if known is None:
            row = await self._store.run(run)
            known = self._known[run] = (
                row is not None and row.parent is not None and await self.includes(row.parent[0])
            )
        return known
