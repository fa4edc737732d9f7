"""The waiting line: task runs that are ready, until a worker has room for them.

It lives in the engine and not in a topic, so priorities and fairness act until the last moment. There is one lane per
(queue, labels, kind); a lane keeps three priority classes, and a class keeps a first-in-first-out line per tenant and serves
the tenants in turn. A higher class goes first, but leaves every tenth place to the classes below it, so nothing starves.

Every operation is O(1) per entry. What is withdrawn is only forgotten: its place is skipped when its turn comes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TypeAlias

from headrace.engine.core.keys import Key

Entry: TypeAlias = tuple[int, Key]
"""A task run in the line: the run's number and its key."""

SHARE = 10
"""Of so many places, the last is for the classes below."""
CLASSES = 3


class _Class:
    """One priority class of one lane. `depth` counts the entries still wanted."""

    __slots__ = ("depth", "lines", "turn")

    def __init__(self) -> None:
        self.depth = 0
        self.lines: OrderedDict[str, deque[Entry]] = OrderedDict()  # by tenant, in the order of turns
        self.turn = 0  # places taken since one was left to the classes below

    def take(self, count: int, where: dict[Entry, _Class], out: list[Entry]) -> None:
        """Move up to `count` wanted entries to `out`, the tenants in turn."""
        lines = self.lines
        count = min(count, self.depth)
        self.depth -= count
        while count:
            tenant, line = next(iter(lines.items()))
            alone = len(lines) == 1
            while line and count:
                entry = line.popleft()
                if where.get(entry) is self:
                    del where[entry]
                    out.append(entry)
                    count -= 1
                    if not alone:
                        break
            if not line:
                del lines[tenant]
            elif not alone:
                lines.move_to_end(tenant)

    def compact(self, where: dict[Entry, _Class]) -> None:
        """Drop the places of withdrawn entries once they outnumber the wanted ones."""
        if sum(map(len, self.lines.values())) <= 2 * self.depth + 64:
            return
        for tenant, line in list(self.lines.items()):
            # An entry withdrawn and readied again stands twice: it keeps the earlier place.
            kept = deque(dict.fromkeys(entry for entry in line if where.get(entry) is self))
            if kept:
                self.lines[tenant] = kept
            else:
                del self.lines[tenant]


class Lane:
    """What waits for one queue, one set of labels and one kind of task (empty: any)."""

    __slots__ = ("_classes", "_where", "kind", "labels", "queue")

    def __init__(self, queue: str, labels: Mapping[str, str], kind: str, where: dict[Entry, _Class]) -> None:
        self.queue = queue
        self.kind = kind
        self.labels = dict(labels)
        self._where = where
        self._classes = tuple(_Class() for _ in range(CLASSES))

    @property
    def depth(self) -> int:
        return sum(cls.depth for cls in self._classes)

    @property
    def depths(self) -> tuple[int, int, int]:
        """Entries by class: high, normal, low."""
        high, normal, low = self._classes
        return high.depth, normal.depth, low.depth

    @property
    def first(self) -> int:
        """The highest class in which something waits; CLASSES when nothing does."""
        return next((at for at, cls in enumerate(self._classes) if cls.depth), CLASSES)

    def push(self, priority: int, tenant: str, entries: Iterable[Entry], *, front: bool = False) -> None:
        """Add entries of one class (0 high, 1 normal, 2 low), oldest first.

        `front`: they have waited before (handed back), and go ahead of their tenant's others. One that is in the line
        already keeps its place.
        """
        where, cls = self._where, self._classes[priority]
        line = cls.lines.get(tenant)
        if line is None:
            line = cls.lines[tenant] = deque()
        fresh = []
        for entry in entries:
            if entry not in where:
                where[entry] = cls
                fresh.append(entry)
        cls.depth += len(fresh)
        if front:
            line.extendleft(reversed(fresh))
        else:
            line.extend(fresh)
        if not line:
            del cls.lines[tenant]

    def pick(self, count: int) -> list[Entry]:
        """Take up to `count` entries out of the line, in the order in which they should go."""
        out: list[Entry] = []
        self._pick(0, count, out)
        return out

    def clear(self) -> None:
        self._classes = tuple(_Class() for _ in range(CLASSES))

    def _pick(self, first: int, count: int, out: list[Entry]) -> None:
        classes, where = self._classes, self._where
        while first < CLASSES - 1 and not classes[first].depth:
            first += 1
        cls = classes[first]
        if first == CLASSES - 1:
            cls.take(count, where, out)
            return
        while count and cls.depth and any(lower.depth for lower in classes[first + 1 :]):
            own = min(count, SHARE - 1 - cls.turn)
            before = len(out)
            cls.take(own, where, out)
            cls.turn += len(out) - before
            count -= len(out) - before
            if count and cls.turn == SHARE - 1:
                cls.turn = 0
                self._pick(first + 1, 1, out)
                count -= 1
        if count and cls.depth:
            cls.take(count, where, out)
        elif count:
            self._pick(first + 1, count, out)


class Line:
    """All lanes of one engine. `one`: a single lane, for an engine whose only worker takes tasks of every queue."""

    def __init__(self, *, one: bool = False) -> None:
        self._one = one
        self._lanes: dict[tuple[str, tuple[tuple[str, str], ...], str], Lane] = {}
        self._turns = 0
        self._where: dict[Entry, _Class] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._where

    def __iter__(self) -> Iterator[Lane]:
        """The lanes in which something waits."""
        return iter([lane for lane in self._lanes.values() if lane.depth])

    def lanes(self) -> list[Lane]:
        """The lanes in which something waits, in the order in which they may have the workers that several of them want: a
        higher class goes first, but for every tenth time; lanes of one class take turns."""
        lanes = [lane for lane in self._lanes.values() if lane.depth]
        if len(lanes) > 1:
            self._turns += 1
            start = self._turns % len(lanes)
            lanes = lanes[start:] + lanes[:start]
            lanes.sort(key=lambda lane: lane.first, reverse=self._turns % SHARE == 0)
        return lanes

    def lane(self, queue: str, labels: Mapping[str, str], kind: str = "") -> Lane:
        """The lane of a queue, labels and kind of task, made when first asked for."""
        if self._one:
            queue, labels, kind = "default", {}, ""
        at = queue, tuple(sorted(labels.items())), kind
        lane = self._lanes.get(at)
        if lane is None:
            lane = self._lanes[at] = Lane(queue, labels, kind, self._where)
        return lane

    def depths(self) -> dict[str, tuple[int, int, int]]:
        """By queue: how many wait, by class (high, normal, low)."""
        depths: dict[str, tuple[int, int, int]] = {}
        for lane in self:
            high, normal, low = depths.get(lane.queue, (0, 0, 0))
            more = lane.depths
            depths[lane.queue] = high + more[0], normal + more[1], low + more[2]
        return depths

    def withdraw(self, entries: Iterable[Entry]) -> int:
        """Forget entries that are no longer ready; those not in the line are passed over. Returns how many were."""
        touched: set[_Class] = set()
        gone = 0
        for entry in entries:
            cls = self._where.pop(entry, None)
            if cls is not None:
                cls.depth -= 1
                gone += 1
                touched.add(cls)
        for cls in touched:
            cls.compact(self._where)
        return gone

    def withdraw_runs(self, runs: Container[int]) -> int:
        """Forget every entry of these runs."""
        return self.withdraw([entry for entry in self._where if entry[0] in runs])

    def clear(self) -> None:
        """Forget everything: no part is left."""
        for lane in self._lanes.values():
            lane.clear()
        self._where.clear()
