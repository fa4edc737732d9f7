"""Slots of pools: who holds how many, and who gets the next. A pool without a size is unlimited, one of size 0 is closed.

In which order, `core.limits` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol

from headrace.engine.core.limits import Limits, Share
from headrace.engine.ports.pools import PoolName, PoolRow
from headrace.engine.shell.line import Entry


class Sizes:
    """How many slots each pool has: what the store says, else what this process was told (`given`, by name, for every project)."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        self._given = dict(given or {})
        self._kept: dict[PoolName, int] = {}

    def learn(self, rows: Iterable[PoolRow]) -> None:
        """All that the store says now."""
        self._kept = {(row.project, row.name): row.slots for row in rows}

    def of(self, pool: PoolName) -> int | None:
        """None: it is unlimited."""
        kept = self._kept.get(pool)
        return self._given.get(pool[1]) if kept is None else kept


class Slots(Protocol):
    """What the shell asks of pools, whoever grants."""

    def request(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> list[Entry]: ...

    def want(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> None: ...

    def settle(self) -> list[Entry]: ...

    def take(self, pool: PoolName, entry: Entry, cost: int) -> None: ...

    def release(self, pool: PoolName, entry: Entry) -> list[Entry]: ...

    def forget(self, run: int) -> list[Entry]: ...

    def resized(self) -> list[Entry]: ...

    def reset(self) -> None: ...


class Pools:
    """The pools of one engine that decides alone."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._limits = self._empty()
        self._order = count()

    def request(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> list[Entry]:
        """Ask for `cost` slots. Answers with those granted now, perhaps this one. Asking twice changes nothing."""
        if self._limits.holds(entry):
            return [entry]
        self.want(pool, entry, cost, priority)
        return self.settle()

    def want(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> None:
        """Ask without being granted at once: `settle` answers later."""
        self._limits.want(entry, (Share(pool, cost),), priority, next(self._order))

    def settle(self) -> list[Entry]:
        """Grant whatever fits now, in all pools."""
        return self._limits.settle().granted

    def take(self, pool: PoolName, entry: Entry, cost: int) -> None:
        """Record slots that a restored attempt holds already."""
        self._limits.hold(entry, (Share(pool, cost),), next(self._order))

    def release(self, pool: PoolName, entry: Entry) -> list[Entry]:
        """Give back what a task run holds, or withdraw its request. Answers with those granted now."""
        self._limits.free(entry)
        return self.settle()

    def forget(self, run: int) -> list[Entry]:
        """Give back everything of a run that left memory."""
        for entry in [entry for entry in self._limits if entry[0] == run]:
            self._limits.free(entry)
        return self.settle()

    def resized(self) -> list[Entry]:
        """Sizes have changed. Answers with those granted now; a pool that is too full by now grants nothing until it is not."""
        self._limits.resized()
        return self.settle()

    def reset(self) -> None:
        """Forget everything: the part was lost."""
        self._limits = self._empty()

    def used(self, pool: PoolName) -> int:
        return self._limits.used(pool)

    def _empty(self) -> Limits[Entry]:
        return Limits(lambda name: self._sizes.of((name[0], name[1])))
