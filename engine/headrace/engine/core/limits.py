"""Who may go: shares of limits, all that one claimant needs at once or none of them. A pure function of what was asked for and given
back, in that order; whoever grants (an engine that decides alone, or the home part of a project) keeps one `Limits`.

* The order is class, then age. Who does not fit a limit holds back those behind on *that* limit, so that a large share is not starved
  by small ones; on its other limits those behind may go, for a run that waits for its customer must not stop all the others.
* So somebody who needs two limits could be passed for ever, each being taken while the other is not free. Who was passed `PASSED`
  times has the shares kept: what they take is not given to those behind.
* What costs more than the whole limit is granted alone, rather than never; of a limit of 0, nothing is.
* A share may say what happens while it does not fit (`concurrency.strategy`): the one who asks is cancelled, or others are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Generic, NamedTuple, TypeAlias, TypeVar

PASSED = 100
"""How often somebody is passed before shares are kept."""

QUEUE = "queue"
"""Wait, oldest first."""
ROUND_ROBIN = "round_robin"
"""Wait; where keys of one entry compete for another limit, they take turns."""
CANCEL_NEWEST = "cancel_newest"
"""Who does not fit when it asks is cancelled."""
CANCEL_IN_PROGRESS = "cancel_in_progress"
"""Who asks has it: as many of the oldest as are in the way are cancelled."""
KEEP_NEWEST = "keep_newest"
"""Who has it goes on; of those that wait the newest stays, the others are cancelled."""

STRATEGIES = (QUEUE, ROUND_ROBIN, CANCEL_NEWEST, CANCEL_IN_PROGRESS, KEEP_NEWEST)
_CANCELLING = frozenset((CANCEL_NEWEST, CANCEL_IN_PROGRESS, KEEP_NEWEST))

Name: TypeAlias = tuple[str, ...]
"""Of a limit, its project first. Limits that differ in the last piece alone take turns under `round_robin`."""

C = TypeVar("C", bound=Hashable)


class Share(NamedTuple):
    """What one claimant takes of one limit. `size`: what the limit is, where the claimant knows it."""

    name: Name
    cost: int = 1
    size: int | None = None
    strategy: str = QUEUE


class Cancelled(NamedTuple, Generic[C]):
    """A strategy cancels a claimant, who may hold its shares until it has ended. `by`: who is there in its place, or
    has what it asked for."""

    claimant: C
    share: Share
    by: C


class Settled(NamedTuple, Generic[C]):
    """What is to be told: who may go now, in their order, and who is cancelled."""

    granted: list[C]
    cancelled: list[Cancelled[C]]


Rank: TypeAlias = tuple[int, int, int]
"""Class, turn (0 but for `round_robin`), age."""


def fits(size: int | None, used: int, cost: int) -> bool:
    """Whether a share can be taken. `size` None: the limit is none."""
    return size is None or used + cost <= size or (size > 0 and not used)


class _Limit(Generic[C]):
    __slots__ = ("barrier", "choosy", "held", "kept", "lines", "name", "size", "told", "used")

    def __init__(self, name: Name, size: int | None, told: bool) -> None:
        self.name = name
        self.size = size
        self.told = told  # by claimants, who know it
        self.used = 0
        self.held: dict[C, int] = {}  # with the age
        self.lines: list[tuple[Rank, int, _Line[C]]] = []  # a heap; entries of heads that were, among them
        self.barrier: Rank | None = None  # of the first that does not fit: nobody behind goes
        self.kept: dict[_Line[C], int] = {}  # shares kept for heads that were passed often, with their cost
        self.choosy: dict[C, None] = {}  # who waits with a strategy that cancels somebody

    def room(self, rank: Rank, cost: int) -> bool:
        """Whether somebody at that place in the order can take it."""
        if self.barrier is not None and self.barrier < rank:
            return False
        kept = 0
        if self.kept:
            kept = sum(
                cost for line, cost in self.kept.items() if (head := line.head()) is not None and head < rank
            )
        return fits(self.size, self.used + kept, cost)


class _Line(Generic[C]):
    """Those that wait for the same shares at the same cost: none goes before the first."""

    __slots__ = ("costs", "entries", "gone", "key", "order", "passed", "turn")

    def __init__(
        self,
        key: tuple[tuple[Name, int], ...],
        costs: tuple[tuple[_Limit[C], int], ...],
        entries: tuple[Name, ...],
    ) -> None:
        self.key = key
        self.costs = costs
        self.entries = entries  # whose keys take turns
        self.turn = 0
        self.order: list[tuple[int, int, int, C]] = []  # a heap, by class and age; the third is the place
        self.gone: set[int] = set()  # the places of those that left the line from its middle
        self.passed = 0  # how often the head was

    def head(self) -> Rank | None:
        order, gone = self.order, self.gone
        while order and order[0][2] in gone:
            gone.remove(heapq.heappop(order)[2])
        return (order[0][0], self.turn, order[0][1]) if order else None


class _Waiting(NamedTuple, Generic[C]):
    shares: tuple[Share, ...]
    age: int
    place: int
    line: _Line[C]


class Limits(Generic[C]):
    """`size_of`: of limits whose size their claimants do not know."""

    def __init__(self, size_of: Callable[[Name], int | None] = lambda _: None) -> None:
        self._size_of = size_of
        self._limits: dict[Name, _Limit[C]] = {}
        self._lines: dict[tuple[tuple[Name, int], ...], _Line[C]] = {}
        self._waiting: dict[C, _Waiting[C]] = {}
        self._held: dict[C, tuple[Share, ...]] = {}
        self._ending: dict[C, None] = {}  # who holds, and was cancelled
        self._turns: dict[Name, int] = {}  # round robin: the turn of the last one that went
        self._touched: dict[Name, None] = {}
        self._places = count()

    # -- what is asked for and given back -----------------------------------------------------------------------------

    def want(self, claimant: C, shares: Sequence[Share], priority: int, age: int) -> None:
        """Ask for shares; `settle` answers. Who waits already keeps its place, who holds shares has them."""
        for share in shares:
            self._limit(share)
        if claimant in self._waiting or claimant in self._held:
            return
        key = tuple([share[:2] for share in shares])
        line = self._lines.get(key)
        if line is None:
            costs = tuple((self._limits[name], cost) for name, cost in key)
            entries = tuple(share.name[:-1] for share in shares if share.strategy == ROUND_ROBIN)
            line = self._lines[key] = _Line(key, costs, entries)
            self._next_turn(line)
        before, place = line.head(), next(self._places)
        heapq.heappush(line.order, (priority, age, place, claimant))
        head = line.head()
        self._waiting[claimant] = _Waiting(tuple(shares), age, place, line)
        for share in shares:
            if share.strategy in _CANCELLING:
                self._limits[share.name].choosy[claimant] = None
                self._touched[share.name] = None
        if head is not None and head != before:  # else it goes after somebody who cannot go
            self._stand(line, head)
            self._touched.update([(share.name, None) for share in shares])

    def hold(self, claimant: C, shares: Sequence[Share], age: int) -> None:
        """Somebody has shares, whether they fit or not."""
        self._leave(claimant)
        if claimant not in self._held:
            for share in shares:
                self._touched[self._limit(share).name] = None
            self._take(claimant, tuple(shares), age)

    def free(self, claimant: C) -> bool:
        """Whatever it has or waits for is given back. Whether it had anything."""
        self._leave(claimant)
        shares = self._held.pop(claimant, None)
        if shares is None:
            return False
        self._ending.pop(claimant, None)
        for share in shares:
            limit = self._limits[share.name]
            limit.used -= share.cost
            del limit.held[claimant]
            self._touched[share.name] = None
        return True

    def resized(self) -> None:
        """What `size_of` says may have changed. A limit that is too full by now grants nothing until it is not."""
        for name, limit in self._limits.items():
            if not limit.told:
                limit.size = self._size_of(name)
                self._touched[name] = None

    def __iter__(self) -> Iterator[C]:
        """Everybody who holds or waits."""
        yield from self._held
        yield from self._waiting

    def holds(self, claimant: C) -> bool:
        return claimant in self._held

    def waits(self, claimant: C) -> bool:
        return claimant in self._waiting

    def used(self, name: Name) -> int:
        """How much of a limit is held."""
        limit = self._limits.get(name)
        return 0 if limit is None else limit.used

    # -- what comes of it -----------------------------------------------------------------------------------------------

    def settle(self) -> Settled[C]:
        """Grant what fits now, and cancel whom strategies cancel."""
        settled: Settled[C] = Settled([], [])
        looked_at: dict[Name, _Limit[C]] = {}
        while self._touched:
            touched, self._touched = self._touched, {}
            for name in touched:
                limit = self._limits.get(name)
                if limit is not None:
                    looked_at[name] = limit
                    if limit.lines:
                        self._grant(limit, settled.granted)
            if not self._touched:  # nobody else goes: who is left waits, or gives way
                for name, limit in looked_at.items():
                    if limit.choosy:
                        self._cancel(limit, settled.cancelled)
                    elif not (limit.held or limit.lines):
                        self._limits.pop(name, None)
                looked_at.clear()
        return settled

    def _grant(self, limit: _Limit[C], granted: list[C]) -> None:
        passed: list[tuple[Rank, int, _Line[C]]] = []
        lines = limit.lines
        limit.barrier = None
        while lines:
            rank, _, line = lines[0]
            if line.head() != rank:
                heapq.heappop(lines)
                continue
            costs = line.costs
            alone = len(costs) == 1
            own = costs[0][1] if alone else next(cost for other, cost in costs if other is limit)
            if not limit.room(rank, own):
                limit.barrier = rank
                break
            heapq.heappop(lines)
            if not alone and not all(other is limit or other.room(rank, cost) for other, cost in costs):
                passed.append((rank, next(self._places), line))
                continue
            claimant = line.order[0][3]
            for entry in line.entries:
                self._turns[entry] = max(self._turns.get(entry, 0), rank[1])
            self._next_turn(line)
            waiting = self._withdraw(claimant)
            assert waiting is not None
            self._take(claimant, waiting.shares, rank[2])
            granted.append(claimant)
            if not alone:  # there is less of the others now
                self._touched.update((other.name, None) for other, _ in costs if other is not limit)
            for _, _, behind in passed:
                behind.passed += 1
                if behind.passed == PASSED:
                    for other, cost in behind.costs:
                        other.kept[behind] = cost
        for again in passed:
            heapq.heappush(lines, again)

    def _cancel(self, limit: _Limit[C], cancelled: list[Cancelled[C]]) -> None:
        """By the strategies of those that wait and do not fit."""
        waiting = sorted(limit.choosy, key=lambda claimant: self._waiting[claimant].age)
        newest, crowded = waiting[-1], False
        for claimant in waiting:
            share = _of(limit, self._waiting[claimant].shares)
            if fits(limit.size, limit.used, share.cost):
                continue  # another limit keeps it waiting
            if share.strategy == CANCEL_IN_PROGRESS:
                crowded = True
            elif share.strategy == CANCEL_NEWEST or claimant != newest:
                by = next(iter(limit.held), newest) if share.strategy == CANCEL_NEWEST else newest
                self._leave(claimant)
                cancelled.append(Cancelled(claimant, share, by))
        if crowded:
            self._make_room(limit, cancelled)

    def _make_room(self, limit: _Limit[C], cancelled: list[Cancelled[C]]) -> None:
        """As many of the newest as fit go on or wait for their turn; the others are in the way."""
        ages = dict(limit.held)
        ages.update((claimant, self._waiting[claimant].age) for claimant in limit.choosy)
        newest_first = sorted(ages, key=ages.__getitem__, reverse=True)
        room = limit.size or 0
        for claimant in newest_first:
            waiting = self._waiting.get(claimant)
            share = _of(limit, self._held[claimant] if waiting is None else waiting.shares)
            room -= share.cost
            if room >= 0 or claimant == newest_first[0] or claimant in self._ending:
                continue
            if waiting is None:
                self._ending[claimant] = None
            else:
                self._leave(claimant)
            cancelled.append(Cancelled(claimant, share, newest_first[0]))

    # -- pieces -----------------------------------------------------------------------------------------------------------

    def _limit(self, share: Share) -> _Limit[C]:
        limit = self._limits.get(share.name)
        if limit is None:
            size = self._size_of(share.name) if share.size is None else share.size
            limit = self._limits[share.name] = _Limit(share.name, size, share.size is not None)
        elif share.size is not None and share.size != limit.size:
            limit.size, limit.told = share.size, True  # of the newest version that was heard of
            self._touched[share.name] = None
        return limit

    def _next_turn(self, line: _Line[C]) -> None:
        """Behind those whose turn it is: so a key that comes late does not go before all others, nor one that comes again."""
        if line.entries:
            line.turn = 1 + max(self._turns.get(entry, 0) for entry in line.entries)

    def _take(self, claimant: C, shares: tuple[Share, ...], age: int) -> None:
        self._held[claimant] = shares
        for share in shares:
            limit = self._limits[share.name]
            limit.used += share.cost
            limit.held[claimant] = age

    def _leave(self, claimant: C) -> None:
        """It waits no longer: others may go in its place."""
        waiting = self._withdraw(claimant)
        if waiting is not None:
            self._touched.update((share.name, None) for share in waiting.shares)

    def _withdraw(self, claimant: C) -> _Waiting[C] | None:
        """It stands in no line any more."""
        waiting = self._waiting.pop(claimant, None)
        if waiting is None:
            return None
        line = waiting.line
        was_head = line.head() is not None and line.order[0][2] == waiting.place
        if was_head:
            heapq.heappop(line.order)
            line.passed = 0
        else:
            line.gone.add(waiting.place)
        for limit, _ in line.costs:
            if limit.choosy:
                limit.choosy.pop(claimant, None)
            if was_head and limit.kept:
                limit.kept.pop(line, None)
        head = line.head()
        if head is None:
            del self._lines[line.key]
        elif was_head:
            self._stand(line, head)
        return waiting

    def _stand(self, line: _Line[C], head: Rank) -> None:
        """It has a new head: each of its limits orders it by that."""
        for limit, _ in line.costs:
            heapq.heappush(limit.lines, (head, next(self._places), line))


def _of(limit: _Limit[C], shares: Iterable[Share]) -> Share:
    """The share of that limit."""
    return next(share for share in shares if share.name == limit.name)
