"""One turn: what has arrived is gathered, decided in rounds, and handed to the committer.

Reports, inbox rows and due timers of all runs of all parts are decided together; then the line gives ready task runs to
workers with room. How long the next turn may wait is known here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from itertools import islice

from headrace.engine.core.events import Event, SlotsGranted
from headrace.engine.ports.broker import Arrived, EngineSide
from headrace.engine.ports.messages import Dispatches, Lines, Reports
from headrace.engine.ports.store import StoreLost
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.committing import Committer
from headrace.engine.shell.deciding import Decider
from headrace.engine.shell.gathering import Gatherer
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.loading import Loader
from headrace.engine.shell.mailbox import Mailbox
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Part, Turn
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.reacting import Reactor
from headrace.engine.shell.settings import EngineSettings

_logger = logging.getLogger(__name__)

ROUNDS = 8
"""How often in one turn the line is asked again: what was picked may fail or be cached, and make room at once."""

OFFSET_SECONDS = 300.0
"""An offset that moved without anything to commit is stored after so long, so that no log expires behind it."""

CHOKED_SECONDS = 0.02
"""How long to wait for acknowledgements when too many are missing."""


class Turner:
    """Turns, one after the other. Everything that it is given belongs to one engine."""

    def __init__(
        self,
        engine: str,
        store: PatientStore,
        broker: EngineSide,
        clock: Clock,
        settings: EngineSettings,
        memory: Memory,
        loader: Loader,
        gatherer: Gatherer,
        mailbox: Mailbox,
        decider: Decider,
        reactor: Reactor,
        committer: Committer,
    ) -> None:
        self._engine = engine
        self._store = store
        self._broker = broker
        self._clock = clock
        self._settings = settings
        self._holdings = memory.holdings
        self._fleet = memory.fleet
        self._line = memory.line
        self._pools = memory.pools
        self._lookout = memory.lookout
        self._loader = loader
        self._gatherer = gatherer
        self._mailbox = mailbox
        self._decider = decider
        self._reactor = reactor
        self._committer = committer
        self._counters = memory.counters
        self._figures = memory.figures
        self._backlog: deque[Arrived] = deque()
        self._items = 0  # of reports in the backlog
        self._unread: set[Part] = set()  # parts that are still being loaded: their reports come after that
        self._seen: object = None
        self._polled_at = self._swept_at = clock.steady()
        self._told: frozenset[str] = frozenset()  # the queues that others know this engine to have work for
        self._told_at = float("-inf")
        self._tell_at: float | None = None  # when to tell them next
        self._again = False
        self.draining = False

    # -- parts ---------------------------------------------------------------------------------------------------

    def adopt(self, part: Part) -> None:
        """A part was claimed. Its runs are loaded in the next turns, then its reports are read."""
        self._unread.add(part)
        self._again = True

    def leave(self, part: Part) -> None:
        """A part is no longer ours: read nothing more of it."""
        self._broker.leave(part.number)
        self._unread.discard(part)
        self._backlog = deque(arrived for arrived in self._backlog if arrived.part != part.number)
        self._items = _items(self._backlog)

    def clear(self) -> None:
        """No part is ours."""
        for part in self._holdings.parts:
            self._broker.leave(part)
        self._unread.clear()
        self._backlog.clear()
        self._items = 0

    # -- one turn ------------------------------------------------------------------------------------------------

    async def receive(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds for something to arrive. While too much of what was sent is unacknowledged nothing is
        taken from the broker, for everything that is decided would send more; nor while as much waits as one turn takes:
        the broker can keep it better."""
        if self._choked:
            await asyncio.sleep(CHOKED_SECONDS)
            return
        if self._items >= self._settings.gathered:
            await asyncio.sleep(0)
            return
        arrived = await self._broker.receive(0.0 if self._backlog else timeout)
        if not arrived and not timeout:
            await asyncio.sleep(0)  # a turn that waits for nothing still lets workers on this loop go on
        self._backlog.extend(arrived)
        self._items += _items(arrived)

    async def turn(self) -> bool:
        """Gather, decide, commit and send. Whether anything was committed."""
        if self._choked:
            return False
        self._figures.begin()
        turn = Turn(self._clock.now(), self._clock.steady())
        self._again = False
        await self._gather(turn)
        await self._decide(turn)
        committed = await self._committer.commit(turn)
        if not self._settings.sole:
            self._announce(turn.mono)
        return committed

    @property
    def unread(self) -> int:
        """Reports that were received and wait for a turn."""
        return self._items

    @property
    def _choked(self) -> bool:
        return self._broker.unacknowledged > self._settings.unacknowledged

    async def _gather(self, turn: Turn) -> None:
        settings, gatherer, holdings = self._settings, self._gatherer, self._holdings
        owed, holdings.owed = holdings.owed, {}
        for live, events in owed.items():
            turn.of(live).extend(event._replace(at=turn.now) for event in events)
        gatherer.heard(turn, self._broker.heard())
        if self._unread or holdings.loading:
            await self._load(turn)
        gatherer.barrier(turn)
        self._complaints(turn)
        gatherer.messages(turn, self._take())
        if self._lookout:
            await self._lookout.look(turn, holdings.runs)
        if gatherer.outrun:
            await self._doubt()
        await gatherer.strangers(turn)
        gatherer.timers(turn, settings.gathered)
        if turn.mono >= self._swept_at + settings.sweep_seconds:
            self._sweep(turn)
        if turn.mono >= self._polled_at + settings.poll_seconds:  # as `patience` reckons, to the last digit
            self._polled_at = turn.mono
            seen = await self._store.changed()
            if seen != self._seen:
                self._seen = seen
                for part in holdings.parts.values():
                    part.inbox_due = True
        if due := holdings.inboxes_due():
            await self._mailbox.read(turn, due)

    async def _load(self, turn: Turn) -> None:
        """Runs of parts that were taken over; a part that is complete is read from where its last owner stood. Before that its
        reports would find no run."""
        holdings = self._holdings
        wanted = holdings.next_to_load(self._settings.loaded)
        if wanted:
            await self._loader.load(turn, wanted)
            for run, key in self._pools.settle():
                if (live := holdings.runs.get(run)) is not None:
                    turn.add(live, SlotsGranted(turn.now, key))
        for part in [part for part in self._unread if not part.to_load]:
            self._unread.discard(part)
            self._broker.seek(part.number, part.next_offset)
            if not self._settings.sole:
                self._fleet.raise_barrier(part.number)
        self._again = self._again or holdings.loading

    async def _doubt(self) -> None:
        """Workers have obeyed a later owner of a part than we are: it lives, and the next commit will show it. Or the database knows of
        none: then it is a copy from before that owner, and workers would refuse all we send. Raises StoreLost."""
        outrun, self._gatherer.outrun = self._gatherer.outrun, {}
        stored = {seen.part: seen.epoch for seen in (await self._store.survey()).parts}
        for number, seen in outrun.items():
            part = self._holdings.parts.get(number)
            if part is not None and stored.get(number) == part.epoch < seen:
                raise StoreLost(
                    f"The database is a copy from before: workers have obeyed epoch {seen} of part {number}, and it knows none above "
                    f"{part.epoch}. Nothing is decided on it as it is. Stop every engine, then run `headrace db restored` once."
                )

    def _take(self) -> list[Arrived]:
        """Messages of about as many reports as one turn takes; the rest waits for the next."""
        backlog = self._backlog
        taken = items = 0
        for arrived in backlog:
            taken += 1
            if isinstance(arrived.message, Reports):
                items += len(arrived.message.items)
                if items >= self._settings.gathered:
                    break
        out = list(islice(backlog, taken))
        if taken == len(backlog):
            backlog.clear()
        else:
            for _ in range(taken):
                backlog.popleft()
            self._again = True
        self._items -= items
        return out

    def _complaints(self, turn: Turn) -> None:
        """What the broker has to say about logs that were cut and messages that it will never take."""
        for gap in self._broker.gaps():
            part = self._holdings.parts.get(gap.part)
            _logger.critical(
                "job-status, partition %d, does not hold offset %d; reading goes on at %d. What lay between is lost: every "
                "attempt in flight there is asked after.",
                *gap,
            )
            self._counters.gaps += 1
            if part is not None:
                part.next_offset = gap.found
                turn.portion(part).batch.next_offset = gap.found
                self._gatherer.gap(turn, part)
        for refused in self._broker.refused():
            message = refused.message
            _logger.error("a message to worker %s was refused: %s", message.to, refused.why)
            if isinstance(message, Dispatches):
                self._gatherer.refused(turn, refused)

    def _sweep(self, turn: Turn) -> None:
        self._swept_at = turn.mono
        broker, waiting = self._broker, {arrived.part for arrived in self._backlog}
        parts = self._holdings.parts
        caught_up = {part for part in parts if part not in waiting and broker.caught_up(part)}
        self._gatherer.sweep(turn, caught_up, workers=broker.workers_caught_up())
        for part in parts.values():
            if part.drains is not None:
                part.drains.look(turn.portion(part), self._fleet, turn.mono)
            if part.next_offset == part.stored_offset:
                part.stored_at = turn.mono
            elif turn.mono - part.stored_at >= OFFSET_SECONDS:
                part.stored_at = turn.mono
                turn.portion(part).settle_offset()

    async def _decide(self, turn: Turn) -> None:
        """Rounds of deciding and reacting, until neither the effects nor the line cause anything more."""
        rounds = 0
        while True:
            if turn.events:
                work: dict[LiveRun, list[Event]]
                work, turn.events = turn.events, {}
                for failure in await self._decider.decide(
                    ((live, events) for live, events in work.items() if events), turn.now
                ):
                    work.pop(failure.live)
                    self._committer.set_aside(turn, failure)
                for failure in await self._reactor.react(turn, list(work)):
                    self._committer.set_aside(turn, failure)
                if turn.events:
                    continue
            rounds += 1
            if self.draining:
                return
            if rounds > ROUNDS or self._reactor.pick(turn):
                self._again = True
            if not turn.events:
                return

    # -- what the others know, and how long to wait ---------------------------------------------------------------

    def _announce(self, now: float) -> None:
        """Tell the other engines for which queues this one has work: on change, and again while it has."""
        queues = frozenset(lane.queue for lane in self._line)
        if queues != self._told:
            self._tell_at = self._told_at + self._settings.change_seconds
        elif queues:
            self._tell_at = self._told_at + self._settings.announce_seconds
        else:
            self._tell_at = None
        if self._tell_at is not None and now >= self._tell_at:
            self._told, self._told_at = queues, now
            self._tell_at = now + self._settings.announce_seconds if queues else None
            self._broker.announce(Lines(self._engine, self._line.depths()))

    def patience(self) -> float:
        """How long the next turn may wait for something to arrive, in seconds."""
        holdings, settings = self._holdings, self._settings
        if self._again or self._backlog or self._lookout or holdings.waits():
            return 0.0
        now = self._clock.steady()
        wait = self._polled_at + settings.poll_seconds - now
        if self._fleet.flights:
            wait = min(wait, self._swept_at + settings.sweep_seconds - now)
        if self._tell_at is not None:
            wait = min(wait, self._tell_at - now)
        due_at = holdings.timers.next_due
        if due_at is not None:
            idle = not self._fleet.flights and not len(self._line)
            wait = min(wait, self._clock.until(due_at, idle=idle))
        return max(0.0, wait)


def _items(arrived: Iterable[Arrived]) -> int:
    return sum([len(one.message.items) for one in arrived if isinstance(one.message, Reports)])
