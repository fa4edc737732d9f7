"""An explicit-state checker: breadth first through every state, so the first broken invariant comes with a shortest trace.

A state is stored as a tuple of small integers, one per component, each standing for a value seen before; of states
that differ only in the names of workers or tasks, one is kept. When nothing is broken, a backward pass from the good
ends finds the states from which none can be reached by fair steps.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S")
Packed = tuple[int, ...]


class Move(NamedTuple, Generic[S]):
    """A step as the checker sees it. `broken`: the invariant that it breaks."""

    label: Any
    fair: bool
    state: S
    broken: str | None


class Symmetry(NamedTuple):
    """One renaming: the new component i is `maps[i]` of the old component `order[i]`."""

    order: tuple[int, ...]
    maps: tuple[Callable[[Any], Any], ...]


class Checked(Protocol[S]):
    """What can be explored. States are taken apart into components, which must be hashable."""

    def start(self) -> S: ...

    def moves(self, state: S) -> Iterable[Move[S]]: ...

    def good(self, state: S) -> bool: ...

    def parts(self, state: S) -> Sequence[Hashable]: ...

    def whole(self, parts: Sequence[Any]) -> S: ...

    def symmetries(self) -> Sequence[Symmetry]: ...


@dataclass(slots=True)
class Verdict(Generic[S]):
    """What an exploration found. `trace`: (label, state) from the start to the fault, shortest."""

    states: int = 0
    moves: int = 0
    depth: int = 0
    broken: str | None = None
    trace: list[tuple[Any, S]] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return self.broken is None


class _Renaming:
    """A symmetry, with what it made of each component before."""

    def __init__(self, order: tuple[int, ...], maps: tuple[Callable[[Any], Any], ...]) -> None:
        known: dict[Callable[[Any], Any], dict[int, int]] = {rename: {} for rename in maps}
        self.components = [
            (source, rename, known[rename]) for source, rename in zip(order, maps, strict=True)
        ]


class TooLarge(Exception):
    """The world has more states than were allowed: nothing was proven."""


class Explorer(Generic[S]):
    """One exploration of one world."""

    def __init__(self, world: Checked[S], most: int = 5_000_000) -> None:
        self._world = world
        self._most = most
        self._values: list[Hashable] = []
        self._numbers: dict[Hashable, int] = {}
        self._symmetries = [_Renaming(*one) for one in world.symmetries()]
        self._seen: dict[Packed, int] = {}
        self._states: list[Packed] = []
        self._parents = array("l")
        self._good = bytearray()
        self._sources = array("l")
        self._targets = array("l")

    def explore(self) -> Verdict[S]:
        """Visit everything. Raises TooLarge."""
        collecting = gc.isenabled()
        gc.disable()  # millions of tuples and no cycles: looking for cycles takes a third of the time
        try:
            return self._explore()
        finally:
            if collecting:
                gc.enable()

    def _explore(self) -> Verdict[S]:
        world, verdict = self._world, Verdict[S]()
        self._visit(self._canonical(self._pack(world.start())), -1)
        here, layer_ends = 0, 1
        while here < len(self._states):
            if here == layer_ends:
                verdict.depth += 1
                layer_ends = len(self._states)
            state = self._unpack(self._states[here])
            good = world.good(state)
            self._good.append(good)
            for label, fair, after, broken in world.moves(state):
                verdict.moves += 1
                if broken is not None:
                    verdict.states, verdict.broken = len(self._states), broken
                    verdict.trace = [*self._trace(here)]
                    last = verdict.trace[-1][1]
                    verdict.trace.append(self._last(last, label, broken) or (label, after))
                    return verdict
                there = self._visit(self._canonical(self._pack(after)), here)
                if fair and not good:
                    self._sources.append(here)
                    self._targets.append(there)
            here += 1
        verdict.states = len(self._states)
        stuck = self._stuck()
        if stuck is not None:
            verdict.broken, verdict.trace = "no good end can be reached", self._trace(stuck)
        return verdict

    def states(self) -> Iterator[S]:
        """What was visited."""
        return map(self._unpack, self._states)

    def same(self, state: S) -> S:
        """The one that is kept of all renamings of a state."""
        return self._unpack(self._canonical(self._pack(state)))

    # -- states --------------------------------------------------------------------------------------------------

    def _pack(self, state: S) -> Packed:
        return tuple([self._number(part) for part in self._world.parts(state)])

    def _unpack(self, packed: Packed) -> S:
        values = self._values
        return self._world.whole([values[number] for number in packed])

    def _canonical(self, packed: Packed) -> Packed:
        """The smallest of all renamings. What a renaming makes of a component is computed once; a renaming is left as
        soon as it turns out to be larger, mostly at its first component."""
        least = packed
        for symmetry in self._symmetries:
            renamed: list[int] = []
            smaller = False
            for (source, rename, known), bound in zip(symmetry.components, least, strict=True):
                number = packed[source]
                there = known.get(number)
                if there is None:
                    there = known[number] = self._number(rename(self._values[number]))
                if not smaller and there != bound:
                    if there > bound:
                        break
                    smaller = True
                renamed.append(there)
            else:
                if smaller:
                    least = tuple(renamed)
        return least

    def _number(self, part: Hashable) -> int:
        number = self._numbers.get(part)
        if number is None:
            number = self._numbers[part] = len(self._values)
            self._values.append(part)
        return number

    def _visit(self, packed: Packed, parent: int) -> int:
        number = self._seen.get(packed)
        if number is None:
            number = self._seen[packed] = len(self._states)
            if number >= self._most:
                raise TooLarge(f"more than {self._most:,} states")
            self._states.append(packed)
            self._parents.append(parent)
        return number

    # -- good ends -----------------------------------------------------------------------------------------------

    def _stuck(self) -> int | None:
        """The first state from which no good end can be reached by fair steps."""
        count = len(self._states)
        firsts = array("l", bytes(8 * (count + 2)))
        for target in self._targets:
            firsts[target + 2] += 1
        for number in range(2, count + 2):
            firsts[number] += firsts[number - 1]
        before = array("l", bytes(8 * len(self._targets)))
        for source, target in zip(self._sources, self._targets, strict=True):
            before[firsts[target + 1]] = source
            firsts[target + 1] += 1
        reached = bytearray(self._good)
        work = [number for number in range(count) if reached[number]]
        while work:
            target = work.pop()
            for source in before[firsts[target] : firsts[target + 1]]:
                if not reached[source]:
                    reached[source] = 1
                    work.append(source)
        found = reached.find(0)
        return None if found < 0 else found

    # -- traces --------------------------------------------------------------------------------------------------

    def _trace(self, number: int) -> list[tuple[Any, S]]:
        """From the start to a state, with the same names throughout."""
        path = []
        while number > 0:
            path.append(self._states[number])
            number = self._parents[number]
        state = self._world.start()
        trace: list[tuple[Any, S]] = [(None, state)]
        for packed in reversed(path):
            step = next(
                (
                    move
                    for move in self._world.moves(state)
                    if self._canonical(self._pack(move.state)) == packed
                ),
                None,
            )
            if step is None:
                raise AssertionError("a renamed state has other steps: the symmetry is wrong")
            state = step.state
            trace.append((step.label, state))
        return trace

    def _last(self, state: S, label: Any, broken: str) -> tuple[Any, S] | None:
        """The breaking step by the names of the trace."""
        for other, _, after, why in self._world.moves(state):
            if why == broken and other[0] == label[0]:
                return other, after
        return None
