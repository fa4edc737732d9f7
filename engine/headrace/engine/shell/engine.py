"""The engine: gathers what has arrived, lets the machines decide, commits, and only then sends.

One turn is one batch: reports, inbox rows and due timers of all runs of its parts are decided together, the line gives
ready task runs to workers with room, everything is written by one commit under the fences of the parts, and what it
caused is published. The next turn waits for the commit, not for the publishing. Where nothing was decided nothing is
committed, and an idle engine only glances at the store. docs/design/protocol.md is the contract.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from headrace.engine.core.evaluation import Evaluator
from headrace.engine.core.plan import Plan
from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.store import RunRow, Store, StoreUnavailable
from headrace.engine.shell.children import (
    CheckParams,
    Children,
    Entropy,
    Resolver,
    given_params,
    store_resolver,
)
from headrace.engine.shell.claims import ClaimedAdmission, ClaimedPools, Claims
from headrace.engine.shell.clock import Clock, SystemClock
from headrace.engine.shell.committing import Committer, Listener, Onlooker, SetAside
from headrace.engine.shell.deciding import Decider
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.gathering import Gatherer
from headrace.engine.shell.holdings import Holdings
from headrace.engine.shell.line import Line
from headrace.engine.shell.loading import Loader
from headrace.engine.shell.lookout import Lookout
from headrace.engine.shell.mailbox import Mailbox
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.outlook import Outlook
from headrace.engine.shell.ownership import Membership
from headrace.engine.shell.part import Part
from headrace.engine.shell.patient import PartLost, PatientStore
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.pools import Pools, Sizes, Slots
from headrace.engine.shell.quiet import QuietCollector
from headrace.engine.shell.reach import Reach
from headrace.engine.shell.reacting import Reactor
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.telling import Teller
from headrace.engine.shell.tenure import Tenure
from headrace.engine.shell.turning import Turner
from headrace.engine.shell.upkeep import Upkeep
from headrace.engine.shell.values import ValueCache

GRACE = 10.0
"""How many seconds `stop` waits for acknowledgements of what was sent."""


class Engine:
    """Owns parts of the runs and moves them. Started once: after `stop`, or when it has failed, make another.

    Args:
        store: where the truth is. Closing it is the caller's.
        broker: this engine's side of the broker, not started.
        evaluator: judges expressions; pure.
        artifacts: where values too large to be inline are read from; None: such values cannot be read.
        clock: where `at` comes from.
        part: the one part to claim and keep; None: its share of all, as one of the live engines.
        engine_id: the owner's name in the store.
        settings: see EngineSettings.
        resolver: finds child workflows; by default among those registered in the store.
        check_params: completes and checks a child's parameters; by default without their schemas.
        entropy: what the ids of children are drawn from.
    """

    def __init__(
        self,
        store: Store,
        broker: EngineSide,
        evaluator: Evaluator,
        artifacts: Artifacts | None = None,
        clock: Clock | None = None,
        *,
        part: int | None = 0,
        engine_id: str = "engine",
        settings: EngineSettings | None = None,
        resolver: Resolver | None = None,
        check_params: CheckParams = given_params,
        entropy: Entropy = os.urandom,
    ) -> None:
        settings = settings or EngineSettings()
        self.id = engine_id
        self._truth = store
        self._broker = broker
        self._clock = clock = clock or SystemClock()
        self._fixed = part
        self._settings = settings
        self._store = patient = PatientStore(store)
        self.plans = Plans(patient)
        holdings = Holdings()
        self._claims = claims = Claims(holdings)
        sizes = self._sizes = Sizes(settings.pools)
        pools: Slots = Pools(sizes)
        if part is None:  # limits act across engines: one part grants, the others ask it
            pools = ClaimedPools(holdings, claims)
            holdings.admission = ClaimedAdmission(holdings.timers, claims)
        memory = Memory(
            holdings,
            Fleet(engine_id, fresh=settings.fresh_seconds, patience=settings.patience_seconds),
            Line(one=settings.any_queue),
            pools,
            ValueCache(artifacts, limit=settings.value_cache_bytes, largest=settings.artifact_bytes),
            Lookout(patient),
        )
        self.counters = memory.counters
        self._holdings, self._fleet, self._line = holdings, memory.fleet, memory.line
        self._children = children = Children(
            patient, memory.values, resolver or store_resolver(patient, self.plans), check_params, 1, entropy
        )
        self._committer = Committer(patient, broker, children, memory, self._lose)
        self._loader = loader = Loader(
            patient,
            self.plans,
            evaluator,
            memory,
            sole=settings.sole,
            alarm=self._committer.alarm,
        )
        self._reach = Reach(patient, settings.only)
        self._turner = Turner(
            engine_id,
            patient,
            broker,
            clock,
            settings,
            memory,
            loader,
            Gatherer(patient, memory),
            Mailbox(patient, loader, self._reach, sizes, pools, rows=settings.inbox_rows),
            Decider(patient, memory.values),
            Reactor(memory, children, self.plans, picked=settings.picked),
            self._committer,
        )
        self._tenure = Tenure(memory, self._turner, loader, clock)
        self.outlook = Outlook(memory, self._turner, broker, clock)
        self._membership: Membership | None = None
        self._upkeep = Upkeep(store, memory.fleet, clock, settings.retention_seconds)
        self._stopping = False
        self._running: asyncio.Task[None] | None = None
        self._collector = QuietCollector()
        self._settled = asyncio.Event()  # nothing is in flight

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Claim the part, or join the other engines, which soon gives parts; their live runs are loaded in the first turns.

        Raises StoreUnavailable when the part cannot be had, BrokerUnavailable.
        """
        self._stopping = self._turner.draining = False
        if self._fixed is None:
            await self._join()
        else:
            owned = await self._truth.claim(self._fixed, self.id)
            await self._broker.start()
            self._sizes.learn(await self._store.pools())
            live = await self._store.live_runs(self._fixed)
            if self._settings.leave_live:
                self._reach.leave(live)
            self._tenure.adopt(owned, [run for run in live if await self._reach.includes(run)])
        if self._settings.quiet_gc:
            self._collector.begin()

    async def _join(self) -> None:
        await self._broker.start()
        try:
            self._claims.parts = self._children.parts = await self._truth.parts()
            membership = Membership(
                self._truth,
                self.id,
                self._broker.wake,
                self._broker.flush,
                every=self._settings.survey_seconds,
            )
            await membership.join()
        except BaseException:
            await self._broker.stop()
            raise
        self._membership = membership
        self._upkeep.start()

    async def run(self) -> None:
        """Turn after turn until `stop`. Raises PartLost when another engine has taken the one part."""
        self._running = asyncio.current_task()
        try:
            while not self._stopping:
                await self.turn(self._turner.patience())
        except StoreUnavailable:
            if not self._stopping:
                raise
        finally:
            self._running = None

    async def stop(self, grace: float = GRACE) -> None:
        """End after the current turn, hand over what was sent, give up the parts."""
        self._stopping = True
        self._store.give_up()
        self._broker.wake()
        running = self._running
        if running is not None and running is not asyncio.current_task():
            await asyncio.wait((running,))
        owned = list(self._holdings.parts)
        self._forget()
        await self._upkeep.stop()
        if self._membership is not None:
            await self._membership.leave(grace)
            self._membership = None
        elif owned:
            await self._broker.flush()
            for part in owned:
                await self._truth.release(part, self.id)
        await self._broker.stop()
        self._collector.end()

    async def drain(self) -> None:
        """Dispatch nothing more; returns when nothing is in flight. Runs stay live for the next owner."""
        self._turner.draining = True
        self.wake()
        while self._fleet.flights:
            self._settled.clear()
            await self._settled.wait()

    async def joined(self) -> None:
        """Return when this engine, which must be turning, has found its place among the others: it owns what was free, the
        rest follows."""
        if self._membership is not None:
            await self._membership.settled()

    def wake(self) -> None:
        """Look at the inboxes now. Safe from any thread."""
        for part in tuple(self._holdings.parts.values()):
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
        part = self._holdings.parts.get(self._fixed or 0)
        if part is not None:
            part.to_load.extend(await self._reach.take_up(run))
            part.read_again()
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

    def attach(self, teller: Teller) -> None:
        """Have the cache told of every commit from now on."""
        teller.attached(self._broker.wake)
        self._committer.onlookers.append(teller)

    def show(self, onlooker: Onlooker) -> None:
        """Have somebody look on after every turn from now on."""
        self._committer.onlookers.append(onlooker)

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
        return len(self._holdings.runs) + self._holdings.to_load

    @property
    def parts(self) -> tuple[int, ...]:
        """The parts that it owns now."""
        return tuple(sorted(self._holdings.parts))

    @property
    def epochs(self) -> dict[int, int]:
        """The parts that it owns now, each with the epoch of its ownership."""
        return {number: part.epoch for number, part in self._holdings.parts.items()}

    @property
    def of_parts(self) -> int:
        """How many parts all engines share."""
        return self._children.parts

    @property
    def workers(self) -> int:
        """Workers that were heard in the last seconds."""
        return len(self._fleet.fresh(self._clock.steady()))

    @property
    def engines(self) -> tuple[str, ...]:
        """The live engines as it sees them; none when it keeps to one part."""
        return () if self._membership is None else self._membership.live

    @property
    def broken(self) -> dict[int, str]:
        """Runs of its parts that cannot be decided, and why."""
        return self._holdings.broken

    @property
    def left(self) -> int:
        """Live runs that this engine leaves alone."""
        return self._reach.left

    def leaves(self, run: int) -> bool:
        """Whether the run was live before and is left alone."""
        return self._reach.leaves(run)

    def depths(self) -> dict[str, tuple[int, int, int]]:
        """By queue: how many wait, by class (high, normal, low)."""
        return self._line.depths()

    # -- one turn ------------------------------------------------------------------------------------------------

    async def turn(self, timeout: float | None = 0.0) -> bool:
        """Wait up to `timeout` seconds for something to arrive, then gather, decide, commit and send.

        Answers whether anything was committed. Raises PartLost when the one part is lost; StoreUnavailable only while
        stopping.
        """
        self._require_parts()
        await self._turner.receive(timeout)
        if self._membership is not None:
            self._tenure.change_hands(self._membership)
        try:
            committed = await self._turner.turn()
        except BaseException:
            # Machines have moved and nothing was written: what is in memory no longer agrees with the store.
            self._forget()
            raise
        if not self._fleet.flights:
            self._settled.set()
        self._require_parts()
        return committed

    def _require_parts(self) -> None:
        if self._fixed is not None and not self._holdings.parts:
            raise PartLost(f"part {self._fixed} belongs to another engine now, or was never claimed.")

    # -- parts that go -------------------------------------------------------------------------------------------

    def _lose(self, part: Part) -> None:
        """The fence has shown it: another engine owns the part."""
        self._tenure.drop(part)
        if self._membership is not None:
            self._membership.lost(part.number, part.epoch)

    def _forget(self) -> None:
        """No part is left, and nothing in flight."""
        self._tenure.clear()
        self._settled.set()
