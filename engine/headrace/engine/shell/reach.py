"""Which runs an engine decides for: all of its part; or one run and its children, for a command that found no owner;
or those that begin from now on, for a command that came to run something of its own."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.engine.ports.store import Store
from headrace.engine.shell.patient import PatientStore


class Reach:
    """`only` None: every run."""

    def __init__(self, store: Store | PatientStore, only: frozenset[int] | None) -> None:
        self._store = store
        self._only = only
        self._known: dict[int, bool] = {}
        self._left: set[int] = set()

    @property
    def left(self) -> int:
        """How many live runs are left alone."""
        return len(self._left)

    def leaves(self, run: int) -> bool:
        """Whether the run is left alone."""
        return run in self._left

    def leave(self, runs: Iterable[int]) -> None:
        """Leave these runs alone until one is taken up."""
        self._left.update(runs)

    async def take_up(self, run: int) -> list[int]:
        """Somebody asks for a run that was left alone: answers with it and its live descendants, none otherwise."""
        if run not in self._left:
            return []
        self._left.discard(run)
        taken = [run]
        for row in await self._store.children(run):
            taken += await self.take_up(row.no)
        return taken

    async def includes(self, run: int) -> bool:
        """Whether this engine may decide for the run: it is meant, or descends from one that is."""
        if run in self._left:
            return False
        if self._only is None or run in self._only:
            return True
        known = self._known.get(run)
        if known is None:
            row = await self._store.run(run)
            known = self._known[run] = (
                row is not None and row.parent is not None and await self.includes(row.parent[0])
            )
        return known
