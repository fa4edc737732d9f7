"""The engine: gathers what has arrived, lets the machines decide, commits, and only then sends.

One turn is one batch: reports, inbox rows and due timers of all runs of the part are decided together, the line gives
ready task runs to workers with room, everything is written by one commit under the part's fence, and what it caused
is published. The next turn waits for the commit, not for the publishing. Where nothing was decided nothing is
committed, and an idle engine only glances at the store. docs/design/protocol.md is the contract.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Callable
from itertools import islice

from headrace.engine.core.evaluation import Evaluator
from headrace.engine.core.events import Event, SlotsGranted
from headrace.engine.core.plan import Plan
from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.broker import Arrived, EngineSide
from headrace.engine.ports.messages import Reports
from headrace.engine.ports.store import RunRow, Store
from headrace.engine.shell.children import CheckParams, Children, Resolver, given_params, store_resolver
from headrace.engine.shell.clock import Clock, SystemClock
from headrace.engine.shell.committing import Committer, Listener, SetAside
from headrace.engine.shell.deciding import Decider
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.gathering import Gatherer
from headrace.engine.shell.line import Line
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.loading import Loader
from headrace.engine.shell.part import Counters, Part, Turn
from headrace.engine.shell.patient import PartLost, PatientStore
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.pools import Pools
from headrace.engine.shell.reach import Reach
from headrace.engine.shell.reacting import Reactor
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.values import ValueCache

_logger = logging.getLogger(__name__)

ROUNDS = 8
"""How often in one turn the line is asked again: what was picked may fail or be cached, and make room at once."""

QUIET = (100_000, 20, 100)
"""Thresholds of the collector of cycles: with Python's own, a quarter of the time goes into walking the plans."""


class Engine:
    """Owns one part of the runs and moves them. Started once: after `stop`, or when its part is lost, make another.

    Args:
        store: where the truth is. Closing it is the caller's.
        broker: this engine's side of the broker, not started.
        evaluator: judges expressions; pure.
        artifacts: where values too large to be inline are read from; None: such values cannot be read.
        clock: where `at` comes from.
        part: the part to claim.
        engine_id: the owner's name in the store.
        settings: see EngineSettings.
        resolver: finds child workflows; by default among those registered in the store.
        check_params: completes and checks a child's parameters; by default without their schemas.
    """

    def __init__(
        self,
        store: Store,
        broker: EngineSide,
        evaluator: Evaluator,
        artifacts: Artifacts | None = None,
        clock: Clock | None = None,
        *,
        part: int = 0,
        engine_id: str = "engine",
        settings: EngineSettings | None = None,
        resolver: Resolver | None = None,
        check_params: CheckParams = given_params,
    ) -> None:
        settings = settings or EngineSettings()
        self.id = engine_id
        self.counters = Counters()
        self._truth = store
        self._broker = broker
        self._clock = clock or SystemClock()
        self._number = part
        self._settings = settings
        self._store = PatientStore(store)
        self.plans = Plans(self._store)
        self._values = ValueCache(
            artifacts, limit=settings.value_cache_bytes, largest=settings.artifact_bytes
        )
        self._fleet = Fleet(fresh=settings.fresh_seconds, patience=settings.patience_seconds)
        self._line = Line(one=settings.any_queue)
        self._pools = Pools(settings.pools)
        children = Children(
            self._store,
            self._values,
            resolver or store_resolver(self._store, self.plans),
            check_params,
            settings.parts,
        )
        self._committer = Committer(
            self._store, broker, children, self._values, self._fleet, self._pools, self.counters
        )
        loader = Loader(
            self._store,
            self.plans,
            evaluator,
            self._fleet,
            self._line,
            self._pools,
            sole=settings.sole,
            grants=bool(settings.pools),
            alarm=self._committer.alarm,
        )
        self._loader = loader
        self._reach = Reach(self._store, settings.only)
        self._gatherer = Gatherer(
            self._store, self._fleet, loader, self._reach, inbox_rows=settings.inbox_rows
        )
        self._decider = Decider(self._store, self._values)
        self._reactor = Reactor(
            self._fleet, self._line, self._pools, children, self.plans, picked=settings.picked
        )
        self._part: Part | None = None
        self._backlog: deque[Arrived] = deque()
        self._seen: object = None
        self._polled_at = self._swept_at = 0.0
        self._again = False
        self._draining = False
        self._stopping = False
        self._running: asyncio.Task[None] | None = None
        self._thresholds: tuple[int, int, int] | None = None
        self._settled = asyncio.Event()  # nothing is in flight

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Claim the part and take over its live runs; they are loaded in the first turns.

        Raises StoreUnavailable when the part cannot be had.
        """
        part = Part(await self._truth.claim(self._number, self.id))
        self._part = part
        self._stopping = self._draining = False
        await self._broker.start()
        self._broker.seek(part.number, part.next_offset)
        live = await self._store.live_runs(part.number)
        if self._settings.leave_live:
            self._reach.leave(live)
        part.to_load.extend([run for run in live if await self._reach.includes(run)])
        self._swept_at = self._clock.steady()
        self._again = True
        if self._settings.quiet_gc:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(*QUIET)

    async def run(self) -> None:
        """Turn after turn until `stop`. Raises PartLost when another engine has taken the part."""
        self._running = asyncio.current_task()
        try:
            while not self._stopping:
                await self.turn(self._patience())
        finally:
            self._running = None

    async def stop(self) -> None:
        """End after the current turn, hand over what was sent, give up the part."""
        self._stopping = True
        self._store.give_up()
        self._broker.wake()
        running = self._running
        if running is not None and running is not asyncio.current_task():
            await asyncio.wait((running,))
        if self._part is not None:
            await self._broker.flush()
            self._forget()
            await self._truth.release(self._number, self.id)
        await self._broker.stop()
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            self._thresholds = None

    async def drain(self) -> None:
        """Dispatch nothing more; returns when nothing is in flight. Runs stay live for the next owner."""
        self._draining = True
        self.wake()
        while self._fleet.flights:
            self._settled.clear()
            await self._settled.wait()

    def wake(self) -> None:
        """Look at the inbox now. Safe from any thread."""
        part = self._part
        if part is not None:
            part.inbox_due = True
        self._broker.wake()

    def begin(self, row: RunRow, plan: Plan) -> None:
        """A run that this process has just created: neither it nor its plan need to be read back. It begins with its
        `start` command, as any other."""
        self.plans.offer(plan)
        self._loader.offer(row)
        self.wake()

    async def take_up(self, run: int) -> None:
        """Go on with a run that was left alone, and with its children."""
        self._owned().to_load.extend(await self._reach.take_up(run))
        self.wake()

    def listen(self, listener: Listener, set_aside: SetAside | None = None) -> Callable[[], None]:
        """Have `listener` called after every commit, and `set_aside` when a run is not decided any longer because of a
        fault or damage. Returns what ends that."""
        listeners, alarms = self._committer.listeners, self._committer.alarms
        listeners.append(listener)
        if set_aside is not None:
            alarms.append(set_aside)

        def end() -> None:
            listeners.remove(listener)
            if set_aside is not None:
                alarms.remove(set_aside)

        return end

    # -- what is going on ----------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """Why the store cannot be used at the moment, or None."""
        return self._store.trouble

    @property
    def waiting(self) -> int:
        """Task runs in the line."""
        return len(self._line)

    @property
    def in_flight(self) -> int:
        """Attempts that workers have."""
        return len(self._fleet.flights)

    @property
    def live(self) -> int:
        """Runs in memory, and those still to be loaded."""
        part = self._part
        return 0 if part is None else len(part.runs) + len(part.to_load)

    @property
    def left(self) -> int:
        """Live runs that this engine leaves alone."""
        return self._reach.left

    def leaves(self, run: int) -> bool:
        """Whether the run was live before and is left alone."""
        return self._reach.leaves(run)

    def depths(self) -> dict[str, tuple[int, ...]]:
        """By queue: how many wait, by class (high, normal, low)."""
        depths: dict[str, tuple[int, ...]] = {}
        for lane in self._line:
            known = depths.get(lane.queue, (0, 0, 0))
            depths[lane.queue] = tuple(map(sum, zip(known, lane.depths, strict=True)))
        return depths

    # -- one turn ------------------------------------------------------------------------------------------------

    async def turn(self, timeout: float | None = 0.0) -> bool:
        """Wait up to `timeout` seconds for something to arrive, then gather, decide, commit and send.

        Answers whether anything was committed. Raises PartLost; StoreUnavailable only while stopping.
        """
        part = self._owned()
        arrived = await self._broker.receive(0.0 if self._backlog else timeout)
        if not arrived and not timeout:
            await asyncio.sleep(0)  # a turn that waits for nothing still lets workers on this loop go on
        self._backlog.extend(arrived)
        turn = Turn(part, self._clock.now(), self._clock.steady())
        self._again = False
        try:
            await self._gather(part, turn)
            await self._decide(part, turn)
            committed = await self._committer.commit(part, turn)
        except BaseException:
            # Machines have moved and nothing was written: what is in memory no longer agrees with the store.
            self._forget()
            raise
        if not self._fleet.flights:
            self._settled.set()
        return committed

    def _owned(self) -> Part:
        if self._part is None:
            raise PartLost(f"part {self._number} is not owned; start the engine first.")
        return self._part

    async def _gather(self, part: Part, turn: Turn) -> None:
        settings, gatherer = self._settings, self._gatherer
        owed, part.owed = part.owed, {}
        for live, events in owed.items():
            turn.of(live).extend(event._replace(at=turn.now) for event in events)
        gatherer.heard(part, turn, self._broker.heard())
        if part.to_load:
            chunk = [part.to_load.popleft() for _ in range(min(settings.loaded, len(part.to_load)))]
            await self._loader.load(part, turn, chunk)
            for run, key in self._pools.settle():
                turn.add(part.runs[run], SlotsGranted(turn.now, key))
            self._again = bool(part.to_load)
        gatherer.barrier(turn)
        gatherer.messages(part, turn, self._take())
        gatherer.timers(part, turn, settings.gathered)
        if turn.mono - self._swept_at >= settings.sweep_seconds:
            self._swept_at = turn.mono
            gatherer.sweep(part, turn)
        if turn.mono - self._polled_at >= settings.poll_seconds:
            self._polled_at = turn.mono
            seen = await self._store.changed()
            if seen != self._seen:
                self._seen = seen
                part.inbox_due = True
        if part.inbox_due and not part.to_load:
            await gatherer.inbox(part, turn)

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
        return out

    async def _decide(self, part: Part, turn: Turn) -> None:
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
                    self._committer.set_aside(part, turn, failure)
                for failure in await self._reactor.react(part, turn, list(work)):
                    self._committer.set_aside(part, turn, failure)
                if turn.events:
                    continue
            rounds += 1
            if self._draining:
                return
            if rounds > ROUNDS or self._reactor.pick(part, turn):
                self._again = True
            if not turn.events:
                return

    # -- waiting and forgetting ----------------------------------------------------------------------------------

    def _patience(self) -> float:
        """How long the next turn may wait for something to arrive, in seconds."""
        part = self._owned()
        if self._again or self._backlog or part.owed or part.inbox_due:
            return 0.0
        now = self._clock.steady()
        wait = self._polled_at + self._settings.poll_seconds - now
        if self._fleet.flights:
            wait = min(wait, self._swept_at + self._settings.sweep_seconds - now)
        due_at = part.timers.next_due
        if due_at is not None:
            idle = not self._fleet.flights and not len(self._line)
            wait = min(wait, self._clock.until(due_at, idle=idle))
        return max(0.0, wait)

    def _forget(self) -> None:
        """Forget everything of the part: it is lost, or given up, or memory and store no longer agree."""
        self._part = None
        self._loader.forget()
        self._line.clear()
        self._fleet.reset()
        self._pools.reset()
        self._values.clear()
        self._backlog.clear()
        self._settled.set()
