"""A part in an engine's hands, and one turn over all of them: what is gathered, decided, committed and sent together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, fields, replace

from headrace.engine.core.events import Event
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import Batch, CacheRow, InboxRow
from headrace.engine.shell.dispatching import Outbox
from headrace.engine.shell.draining import Drains
from headrace.engine.shell.ledger import Ledger
from headrace.engine.shell.live import LiveRun


class Part:
    """What an engine knows of one part that it owns. Lost with the part."""

    __slots__ = (
        "broken",
        "deliveries",
        "drains",
        "epoch",
        "inbox_after",
        "inbox_due",
        "ledger",
        "next_offset",
        "number",
        "runs",
        "seq",
        "stored_at",
        "stored_offset",
        "to_load",
    )

    def __init__(self, owned: Ownership, live: Iterable[int] = (), now: float = 0.0) -> None:
        self.number = owned.part
        self.epoch = owned.epoch
        self.seq = owned.seq
        self.next_offset = self.stored_offset = owned.next_offset
        self.stored_at = now  # monotonic: when the stored offset was last moved
        self.deliveries = 0  # with the epoch, numbers every sending
        self.runs: dict[int, LiveRun] = {}
        self.to_load: deque[int] = deque(live)
        self.broken: dict[int, str] = {}  # runs that cannot be decided, and why; tried again after a restart
        self.inbox_due = True
        self.inbox_after = 0  # what is left of the inbox up to here is known, and stays
        self.ledger: Ledger | None = None  # of the limits of projects that are at home here
        self.drains: Drains | None = None  # workers that are to leave

    def read_again(self) -> None:
        """Look at the whole inbox: what could not be reached can be now."""
        self.inbox_due = True
        self.inbox_after = 0

    def delivery(self) -> int:
        self.deliveries += 1
        return self.deliveries


class Portion:
    """One part's portion of a turn: what is written for it, and what is sent once that is written."""

    __slots__ = ("_runs_done", "_runs_of", "_settles", "_told", "batch", "outbox", "part")

    def __init__(self, part: Part, now: float) -> None:
        self.part = part
        self.batch = Batch(part.number, part.epoch, part.seq + 1, now)
        self.outbox = Outbox(part.number, part.epoch)
        self._settles = False
        self._told: set[int] = set()  # inbox rows that must not be lost with their run's share
        self._runs_done: dict[int, int] = {}  # inbox row → the run that it is for
        self._runs_of: dict[
            int, int
        ] = {}  # by identity: whose rows the batch writes for others and the cache

    def done(self, run: int, row: int) -> None:
        """A run was given the command in this row; it does not come back, whatever becomes of the run."""
        self.batch.inbox_done.append(row)
        self._runs_done[row] = run

    def told(self, run: int, row: int) -> None:
        """A run was told what stands in this row, once and for all: should it drop out of the turn, the row stays."""
        self.done(run, row)
        self._told.add(row)

    def post(self, run: int, row: InboxRow) -> None:
        """A run has something to say to another, or to the ledger of a limit."""
        self.batch.inbox_new.append(row)
        self._runs_of[id(row)] = run

    def cache(self, run: int, row: CacheRow) -> None:
        """A run's output is kept for others."""
        self.batch.cache.append(row)
        self._runs_of[id(row)] = run

    def settle_offset(self) -> None:
        """Write how far the part was read, though nothing else may have happened."""
        self.batch.next_offset = self.part.next_offset
        self._settles = True

    @property
    def worth_committing(self) -> bool:
        """Whether there is anything to write; an offset alone can wait."""
        return self._settles or says_something(self.batch)

    def drop(self, run: int) -> None:
        """Take everything of a run out of it."""
        self.outbox.drop(run)
        stays = {row for row, of in self._runs_done.items() if of == run and row in self._told}
        self.batch.inbox_done = [row for row in self.batch.inbox_done if row not in stays]
        self._runs_done = {row: of for row, of in self._runs_done.items() if of != run}
        kept = self._taken(lambda of: of != run)
        for each in fields(Batch):  # in place: others may be filling it
            setattr(self.batch, each.name, getattr(kept, each.name))

    def share(self, runs: Container[int]) -> Batch:
        """What is written for these runs, to be committed by itself."""
        share = self._taken(lambda of: of in runs)
        share.next_offset = None
        share.poison = []
        return share

    def rest(self, runs: Container[int]) -> Batch:
        """All but the shares of these runs, which are committed before: the offset goes with it."""
        return self._taken(lambda of: of not in runs)

    def _taken(self, wanted: Callable[[int | None], bool]) -> Batch:
        """The batch as it would be for these runs alone; None stands for what belongs to no run."""
        batch, done, of = self.batch, self._runs_done, self._runs_of
        return replace(
            batch,
            seq=self.part.seq + 1,
            tasks=[row for row in batch.tasks if wanted(row.run)],
            runs=[row for row in batch.runs if wanted(row.no)],
            history=[row for row in batch.history if wanted(row.run)],
            timers=[timer for timer in batch.timers if wanted(timer.run)],
            cleared=[timer for timer in batch.cleared if wanted(timer.run)],
            inbox_done=[row for row in batch.inbox_done if wanted(done.get(row))],
            inbox_new=[row for row in batch.inbox_new if wanted(of.get(id(row)))],
            runs_new=[new for new in batch.runs_new if wanted(None if new.parent is None else new.parent[0])],
            cache=[row for row in batch.cache if wanted(of.get(id(row)))],
            dead=[letter for letter in batch.dead if wanted(letter.run)],
            waits={key: rows for key, rows in batch.waits.items() if wanted(key.run)},
            waited=[key for key in batch.waited if wanted(key.run)],
        )


def says_something(batch: Batch) -> bool:
    """Whether there is anything to write; an offset alone can wait."""
    return bool(
        batch.history
        or batch.tasks
        or batch.runs
        or batch.inbox_done
        or batch.inbox_new
        or batch.timers
        or batch.cleared
        or batch.poison
    )


class Turn:
    """What all parts decide together. `now`: seconds since the epoch; `mono`: a monotonic time for leases."""

    __slots__ = ("events", "mono", "now", "picked", "portions", "stale", "touched")

    def __init__(self, now: float, mono: float) -> None:
        self.now = now
        self.mono = mono
        self.events: dict[LiveRun, list[Event]] = {}
        self.touched: dict[LiveRun, None] = {}
        self.portions: dict[Part, Portion] = {}
        self.picked = 0
        self.stale = 0

    def portion(self, part: Part) -> Portion:
        """The part's portion, begun when first asked for."""
        portion = self.portions.get(part)
        if portion is None:
            portion = self.portions[part] = Portion(part, self.now)
        return portion

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
        """Leave a run out of the turn: it could not be decided."""
        self.events.pop(live, None)
        self.touched.pop(live, None)
        portion = self.portions.get(live.part)
        if portion is not None:
            portion.drop(live.no)

    def lose(self, part: Part) -> None:
        """Leave a part out of the turn: it belongs to another engine now."""
        del self.portions[part]
        for live in part.runs.values():
            self.touched.pop(live, None)


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
    parts_lost: int = 0  # to another engine, without having been given up
    gaps: int = 0
    unreadable: int = 0  # messages and items
    unknown_runs: int = 0  # reports for runs that do not exist
    undelivered: int = 0  # attempts that the broker would not take
    broken: dict[int, str] = field(default_factory=dict)
