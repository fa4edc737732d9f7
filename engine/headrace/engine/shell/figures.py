"""What an engine counts about itself for whoever watches it: plain numbers, read at any time from any thread.

Nothing here knows who reads. The hot path pays a few additions a turn, never one a task: moves are counted by one call over
a whole decision, and how long the ready wait is measured on a sample of each turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING

from headrace.engine.core.states import RunState, TaskState

if TYPE_CHECKING:
    from headrace.engine.shell.fleet import Fleet
    from headrace.engine.shell.line import Entry, Line
    from headrace.engine.shell.live import LiveRun
    from headrace.engine.shell.part import Turn

SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
"""Upper bounds of what is measured in seconds."""
SIZES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0)
"""Upper bounds of how much one commit holds."""

SAMPLES = 16
"""So many of the task runs that become ready in a turn are followed until they are sent."""
FOLLOWED = 256
"""Task runs that are followed at once, and runs that wait for their first task, at most."""

_AFTER = itemgetter(3)
_BEGUN = frozenset((TaskState.DISPATCHED, TaskState.RUNNING))


class Histogram:
    """Observations by size. `counts` has one more than `bounds`: what is larger than all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def observed(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many are at most as large as each bound, and then how many there are."""
        found, so_far = [], 0
        for count in self.counts:
            so_far += count
            found.append(so_far)
        return found


class Figures:
    """Of one engine, since it was made. `tick`: monotonic seconds."""

    def __init__(self, tick: Callable[[], float] = monotonic) -> None:
        self.commit_seconds = Histogram()
        """From handing a commit to the store to its answer, waiting for a store that is away included."""
        self.committed_tasks = Histogram(SIZES)
        """Task runs written by one commit."""
        self.dispatch_seconds = Histogram()
        """From the turn that made a task run ready until its dispatch was committed; a sample."""
        self.first_task_seconds = Histogram()
        """From the creation of a run until the dispatch of its first task was committed."""
        self.moves: Counter[int] = Counter()
        """Transitions of task runs, by the state they led to."""
        self.ended: Counter[int] = Counter()
        """Runs that ended, by state."""
        self.dead_letters = 0
        self._tick = tick
        self._began = tick()
        self._ready: dict[Entry, float] = {}
        self._awaited: dict[int, float] = {}  # runs that have sent nothing yet: when each was created

    def begin(self) -> None:
        """A turn begins."""
        self._began = self._tick()

    def wrote(self, seconds: float, tasks: int, letters: int) -> None:
        """One commit of the store."""
        self.commit_seconds.observe(seconds)
        self.committed_tasks.observe(tasks)
        self.dead_letters += letters

    def turned(self, turn: Turn, changed: Sequence[LiveRun], fleet: Fleet, line: Line) -> None:
        """A turn was committed and what it sends is on its way; its decisions have not been emptied yet."""
        ready, since, room = self._ready, self._began, SAMPLES
        moved = chain.from_iterable([live.decision.transitions for live in changed])
        self.moves.update(map(_AFTER, moved))
        for live in changed:
            decision = live.decision
            if room and decision.ready and len(ready) < FOLLOWED:
                room -= 1
                ready.setdefault((live.no, decision.ready[0][0]), since)
            if decision.run is not None:
                self._run_moved(live, decision.run.state)
            if live.no in self._awaited and any(
                after in _BEGUN for after in map(_AFTER, decision.transitions)
            ):
                waited = turn.now - self._awaited.pop(live.no) + self._tick() - since
                self.first_task_seconds.observe(max(0.0, waited))
        if ready:
            self._settle(fleet, line)

    def _run_moved(self, live: LiveRun, state: RunState) -> None:
        if state.final:
            self.ended[state] += 1
            self._awaited.pop(live.no, None)
        elif state is RunState.RUNNING and live.seq <= 1 and len(self._awaited) < FOLLOWED:
            self._awaited.setdefault(live.no, live.row.created_at)

    def _settle(self, fleet: Fleet, line: Line) -> None:
        """Who of the followed was sent by now, or waits no longer."""
        now, flights = self._tick(), fleet.flights
        for entry, since in list(self._ready.items()):
            if entry in flights:
                self.dispatch_seconds.observe(now - since)
            elif entry in line:
                continue
            del self._ready[entry]
