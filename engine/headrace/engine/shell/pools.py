"""Slots of pools: who holds how many, and who gets the next. A pool without a size is unlimited, one of size 0 is closed.

Requests of one pool are granted in the order of class, then age; one that does not fit keeps its place and holds back
those behind it, so a costly task is not starved by cheap ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol

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


def fits(size: int | None, used: int, cost: int) -> bool:
    """What costs more than the whole pool is granted alone, rather than never."""
    return size is None or used + cost <= size or (size > 0 and not used)


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


class _Pool:
    __slots__ = ("held", "size", "used", "waiting")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.used = 0
        self.held: dict[Entry, int] = {}
        self.waiting: list[tuple[int, int, Entry, int]] = []


class Pools:
    """The pools of one engine that decides alone."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._pools: dict[PoolName, _Pool] = {}
        self._asking: dict[Entry, PoolName] = {}
        self._order = count()

    def request(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> list[Entry]:
        """Ask for `cost` slots. Answers with those granted now, perhaps this one. Asking twice changes nothing."""
        found = self._pool(pool)
        if entry in found.held:
            return [entry]
        self.want(pool, entry, cost, priority)
        return self._grant(found)

    def want(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> None:
        """Ask without being granted at once: `settle` answers later."""
        found = self._pool(pool)
        if entry not in found.held and entry not in self._asking:
            self._asking[entry] = pool
            heapq.heappush(found.waiting, (priority, next(self._order), entry, cost))

    def settle(self) -> list[Entry]:
        """Grant whatever fits now, in all pools."""
        return [entry for pool in self._pools.values() for entry in self._grant(pool)]

    def take(self, pool: PoolName, entry: Entry, cost: int) -> None:
        """Record slots that a restored attempt holds already."""
        found = self._pool(pool)
        if entry not in found.held:
            found.held[entry] = cost
            found.used += cost

    def release(self, pool: PoolName, entry: Entry) -> list[Entry]:
        """Give back what a task run holds, or withdraw its request. Answers with those granted now."""
        found = self._pool(pool)
        self._asking.pop(entry, None)
        found.used -= found.held.pop(entry, 0)
        return self._grant(found)

    def forget(self, run: int) -> list[Entry]:
        """Give back everything of a run that left memory."""
        granted: list[Entry] = []
        for entry in [entry for entry in self._asking if entry[0] == run]:
            del self._asking[entry]
        for pool in self._pools.values():
            for entry in [entry for entry in pool.held if entry[0] == run]:
                pool.used -= pool.held.pop(entry)
            granted += self._grant(pool)
        return granted

    def resized(self) -> list[Entry]:
        """Sizes have changed. Answers with those granted now; a pool that is too full by now grants nothing until it is not."""
        for name, pool in self._pools.items():
            pool.size = self._sizes.of(name)
        return self.settle()

    def reset(self) -> None:
        """Forget everything: the part was lost."""
        self._pools.clear()
        self._asking.clear()

    def used(self, pool: PoolName) -> int:
        return self._pool(pool).used

    def _pool(self, name: PoolName) -> _Pool:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool(self._sizes.of(name))
        return pool

    def _grant(self, pool: _Pool) -> list[Entry]:
        granted = []
        while pool.waiting:
            _, _, entry, cost = pool.waiting[0]
            if entry in self._asking:
                if not fits(pool.size, pool.used, cost):
                    break
                del self._asking[entry]
                pool.held[entry] = cost
                pool.used += cost
                granted.append(entry)
            heapq.heappop(pool.waiting)
        return granted
