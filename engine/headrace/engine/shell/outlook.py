"""How an engine stands at the moment, for whoever watches it. Read from any thread; never exact to the single task run."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from headrace.engine.core.machine.counting import counts
from headrace.engine.ports.broker import EngineSide
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.figures import Figures
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Counters
from headrace.engine.shell.turning import Turner


class Seen(NamedTuple):
    """A worker as the engine sees it. `given`: attempts that this engine has given it and that have not ended."""

    worker: str
    queues: tuple[str, ...]
    slots: int
    given: int


class Outlook:
    """Of one engine."""

    def __init__(self, memory: Memory, turner: Turner, broker: EngineSide, clock: Clock) -> None:
        self._memory = memory
        self._turner = turner
        self._broker = broker
        self._clock = clock

    @property
    def figures(self) -> Figures:
        """What has been measured since it was made."""
        return self._memory.figures

    @property
    def counters(self) -> Counters:
        """What it has done since it was made."""
        return self._memory.counters

    @property
    def unread(self) -> int:
        """Reports that were received and wait for a turn."""
        return self._turner.unread

    @property
    def unacknowledged(self) -> int:
        """Attempts that were sent and that the broker has not acknowledged."""
        return self._broker.unacknowledged

    @property
    def parts(self) -> int:
        """Parts that it owns."""
        return len(self._memory.holdings.parts)

    @property
    def to_load(self) -> int:
        """Live runs that are still to be loaded."""
        return sum(len(part.to_load) for part in tuple(self._memory.holdings.parts.values()))

    @property
    def broken(self) -> int:
        """Runs that cannot be decided."""
        return sum(len(part.broken) for part in tuple(self._memory.holdings.parts.values()))

    @property
    def in_flight(self) -> int:
        """Attempts that workers have."""
        return len(self._memory.fleet.flights)

    def depths(self) -> dict[str, tuple[int, int, int]]:
        """By queue: how many task runs wait, by class (high, normal, low)."""
        return self._memory.line.depths()

    def workers(self) -> list[Seen]:
        """Those that were heard in the last seconds."""
        fresh = self._memory.fleet.fresh(self._clock.steady())
        return [Seen(one.worker, tuple(sorted(one.queues)), one.slots, one.busy) for one in fresh]

    def runs(self) -> Counter[str]:
        """Live runs in memory, by state."""
        live = tuple(self._memory.holdings.runs.values())
        return Counter(each.machine.status.state.word for each in live)

    def tasks(self) -> Counter[str]:
        """Task runs of the live runs in memory, by state. Takes some microseconds a run."""
        found: Counter[str] = Counter()
        for each in tuple(self._memory.holdings.runs.values()):
            found.update(counts(each.machine.board))
        return found
