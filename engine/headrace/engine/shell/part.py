"""A part in an engine's hands, and one turn of it: what is gathered, decided, committed and sent together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from headrace.engine.core.events import Continued, Event, SlotsGranted, Started
from headrace.engine.ports.store import Batch, Ownership
from headrace.engine.shell.admission import Admission
from headrace.engine.shell.dispatching import Outbox
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.timers import Timers


class Part:
    """What an engine knows of a part that it owns. Lost with the part."""

    def __init__(self, owned: Ownership) -> None:
        self.number = owned.part
        self.epoch = owned.epoch
        self.seq = owned.seq
        self.next_offset = owned.next_offset
        self.deliveries = 0  # with the epoch, numbers every sending
        self.runs: dict[int, LiveRun] = {}
        self.timers = Timers()
        self.admission = Admission()
        self.to_load: deque[int] = deque()
        self.broken: dict[int, str] = {}  # runs that cannot be decided, and why; tried again after a restart
        self.owed: dict[LiveRun, list[Continued | SlotsGranted | Started]] = {}  # for the next turn
        self.inbox_due = True

    def delivery(self) -> int:
        self.deliveries += 1
        return self.deliveries

    def owe(self, live: LiveRun, event: Continued | SlotsGranted | Started) -> None:
        """The run gets this event in the next turn, which follows at once and gives it its time."""
        self.owed.setdefault(live, []).append(event)


class Turn:
    """One batch in the making. `now`: seconds since the epoch; `mono`: a monotonic time for leases."""

    def __init__(self, part: Part, now: float, mono: float) -> None:
        self.now = now
        self.mono = mono
        self.events: dict[LiveRun, list[Event]] = {}
        self.touched: dict[LiveRun, None] = {}
        self.batch = Batch(part.number, part.epoch, part.seq + 1, now)
        self.outbox = Outbox(part.number, part.epoch)
        self.picked = 0
        self.stale = 0

    def of(self, live: LiveRun) -> list[Event]:
        """Where the run's events of this round go."""
        events = self.events.get(live)
        if events is None:
            events = self.events[live] = []
            self.touched[live] = None
        return events

    def add(self, live: LiveRun, event: Event) -> None:
        self.of(live).append(event)

    def drop(self, live: LiveRun) -> None:
        """Take everything of a run out of the batch: it could not be decided."""
        no, batch = live.no, self.batch
        self.events.pop(live, None)
        self.touched.pop(live, None)
        self.outbox.drop(no)
        batch.tasks = [row for row in batch.tasks if row.run != no]
        batch.runs = [row for row in batch.runs if row.no != no]
        batch.history = [row for row in batch.history if row.run != no]
        batch.timers = [timer for timer in batch.timers if timer.run != no]
        batch.cleared = [timer for timer in batch.cleared if timer.run != no]
        batch.dead = [letter for letter in batch.dead if letter.run != no]
        batch.runs_new = [run for run in batch.runs_new if run.parent is None or run.parent[0] != no]

    @property
    def worth_committing(self) -> bool:
        batch = self.batch
        return bool(
            batch.history
            or batch.tasks
            or batch.runs
            or batch.inbox_done
            or batch.inbox_new
            or batch.timers
            or batch.cleared
        )


@dataclass(slots=True)
class Counters:
    """What an engine has done since it started."""

    turns: int = 0
    commits: int = 0
    events: int = 0
    transitions: int = 0
    dispatched: int = 0
    stale: int = 0
    refused: int = 0
    runs_started: int = 0
    runs_ended: int = 0
    broken: dict[int, str] = field(default_factory=dict)
