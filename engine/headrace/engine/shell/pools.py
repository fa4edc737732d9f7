"""Slots of pools: who holds how many, and who gets the next. A pool without a size is unlimited.

Requests of one pool are granted in the order of class, then age; one that does not fit keeps its place and holds back
those behind it, so a costly task is not starved by cheap ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from typing import Protocol

from headrace.engine.shell.line import Entry


class Slots(Protocol):
    """What the shell asks of pools, whoever grants."""

    def request(self, name: str, entry: Entry, cost: int, priority: int) -> list[Entry]: ...

    def want(self, name: str, entry: Entry, cost: int, priority: int) -> None: ...

    def settle(self) -> list[Entry]: ...

    def take(self, name: str, entry: Entry, cost: int) -> None: ...

    def release(self, name: str, entry: Entry) -> list[Entry]: ...

    def forget(self, run: int) -> list[Entry]: ...

    def reset(self) -> None: ...


class _Pool:
    __slots__ = ("held", "size", "used", "waiting")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.used = 0
        self.held: dict[Entry, int] = {}
        self.waiting: list[tuple[int, int, Entry, int]] = []


class Pools:
    """The pools of one engine. `sizes`: name → slots; a name that is not there is unlimited."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self._sizes = dict(sizes or {})
        self._pools: dict[str, _Pool] = {}
        self._asking: dict[Entry, str] = {}
        self._order = count()

    def request(self, name: str, entry: Entry, cost: int, priority: int) -> list[Entry]:
        """Ask for `cost` slots. Answers with those granted now, perhaps this one. Asking twice changes nothing."""
        pool = self._pool(name)
        if entry in pool.held:
            return [entry]
        self.want(name, entry, cost, priority)
        return self._grant(pool)

    def want(self, name: str, entry: Entry, cost: int, priority: int) -> None:
        """Ask without being granted at once: `settle` answers later."""
        pool = self._pool(name)
        if entry not in pool.held and entry not in self._asking:
            self._asking[entry] = name
            heapq.heappush(pool.waiting, (priority, next(self._order), entry, cost))

    def settle(self) -> list[Entry]:
        """Grant whatever fits now, in all pools."""
        return [entry for pool in self._pools.values() for entry in self._grant(pool)]

    def take(self, name: str, entry: Entry, cost: int) -> None:
        """Record slots that a restored attempt holds already."""
        pool = self._pool(name)
        if entry not in pool.held:
            pool.held[entry] = cost
            pool.used += cost

    def release(self, name: str, entry: Entry) -> list[Entry]:
        """Give back what a task run holds, or withdraw its request. Answers with those granted now."""
        pool = self._pool(name)
        self._asking.pop(entry, None)
        pool.used -= pool.held.pop(entry, 0)
        return self._grant(pool)

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

    def reset(self) -> None:
        """Forget everything: the part was lost."""
        self._pools.clear()
        self._asking.clear()

    def used(self, name: str) -> int:
        return self._pool(name).used

    def _pool(self, name: str) -> _Pool:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool(self._sizes.get(name))
        return pool

    def _grant(self, pool: _Pool) -> list[Entry]:
        granted = []
        while pool.waiting:
            _, _, entry, cost = pool.waiting[0]
            if entry in self._asking:
                # What costs more than the whole pool runs alone in it, rather than never.
                fits = pool.size is None or pool.used + cost <= pool.size or not pool.used
                if not fits:
                    break
                del self._asking[entry]
                pool.held[entry] = cost
                pool.used += cost
                granted.append(entry)
            heapq.heappop(pool.waiting)
        return granted
