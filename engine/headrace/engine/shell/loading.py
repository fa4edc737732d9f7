"""Bringing runs into memory: new ones, and all live ones after a claim, in bulk."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping

from headrace.engine.core.evaluation import Evaluator
from headrace.engine.core.events import Event, HandedBack, Resumed, Started, WorkerLost
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.store import Loaded, RowDamaged, RunRow
from headrace.engine.shell.aside import note
from headrace.engine.shell.flights import Flight, Member
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Part, Turn
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.rows import machine_rows, run_info, run_status

_logger = logging.getLogger(__name__)
draw: Callable[[], float] = random.random


def over(flight: Flight, live: LiveRun, now: float) -> Event:
    """What a flight that nobody holds any more comes to.

    One that had not started goes to the line again and costs no attempt, unless its task says `on_lost: fail`; one
    that had is lost, and the retry policy decides.
    """
    fails = live.using.plan.tasks[flight.key.task].on_lost == "fail" and not flight.aborted
    if flight.running or fails:
        return WorkerLost(now, flight.key, flight.attempt, draw())
    return HandedBack(now, flight.key, flight.attempt, flight.epoch, flight.n)


class Loader:
    """Loads runs into a turn, with the first event of each."""

    def __init__(
        self,
        store: PatientStore,
        plans: Plans,
        evaluator: Evaluator,
        memory: Memory,
        *,
        sole: bool,
        alarm: Callable[[int, Exception], None],
    ) -> None:
        self._alarm = alarm
        self._store = store
        self.plans = plans
        self._evaluator = evaluator
        self._fleet = memory.fleet
        self._line = memory.line
        self._pools = memory.pools
        self._holdings = memory.holdings
        self._sole = sole
        self._offered: dict[int, RunRow] = {}
        self._newest = 0  # of all runs that were asked for

    def offer(self, row: RunRow) -> None:
        """A run as it was just created. Taken only for one that was never loaded: its row is still what is stored."""
        if row.no > self._newest:
            self._offered[row.no] = row

    def live(self, run: int) -> LiveRun | None:
        """A run in memory."""
        return self._holdings.runs.get(run)

    def forget(self) -> None:
        """What was offered may be out of date: the part was lost, or is about to be."""
        self._offered.clear()

    async def load(self, turn: Turn, numbers: Mapping[int, Part]) -> None:
        """Load runs that are not in memory, of the parts given. One that is damaged or has no readable plan is set aside,
        alone."""
        runs = self._holdings.runs
        wanted = [no for no, part in numbers.items() if no not in runs and no not in part.broken]
        if wanted:
            self._newest = max(self._newest, *wanted)
        if self._offered:
            stored = []
            for no in wanted:
                row = self._offered.pop(no, None)
                if row is None:
                    stored.append(no)
                else:
                    await self._admit(numbers[no], turn, Loaded(row, [], []))
            wanted = stored
        while wanted:
            try:
                loads = await self._store.load(wanted)
            except RowDamaged as damaged:
                self._set_aside(turn, numbers[damaged.run], damaged.run, str(damaged), damaged)
                wanted.remove(damaged.run)
                continue
            for loaded in loads:
                await self._admit(numbers[loaded.run.no], turn, loaded)
            return

    async def _admit(self, part: Part, turn: Turn, loaded: Loaded) -> None:
        row = loaded.run
        if row.part != part.number:
            return
        try:
            using = await self.plans.get(row.plan)
            info, status = run_info(row), run_status(row)
            machine = RunMachine.restore(
                using.plan, info, self._evaluator, status, machine_rows(loaded.tasks), grants=True
            )
        except PlanMissing as missing:
            self._set_aside(turn, part, row.no, str(missing), missing)
            return
        except Exception as fault:
            _logger.exception("run %s cannot be restored", row.id)
            why = f"it cannot be restored: {type(fault).__name__}: {fault}"
            self._set_aside(turn, part, row.no, why, fault)
            return
        live = LiveRun(part, row, info, machine, using)
        holdings = self._holdings
        holdings.add(live)
        turn.touched[live] = None
        holdings.timers.restore(loaded.timers)
        if status.state is RunState.QUEUED:
            for admitted in holdings.admission.ask(live):
                turn.add(admitted, Started(turn.now))
        elif not status.state.final:
            holdings.admission.started(live)
            if status.started_at is not None or status.state is RunState.CANCELLING:
                turn.add(live, Resumed(turn.now))
                self._take_over(live, turn)
                self._ask_again(live, loaded)

    def _take_over(self, live: LiveRun, turn: Turn) -> None:
        """The attempts in flight: over when their workers died with the last owner, else theirs to confirm."""
        for key, state, attempt, epoch, n, worker in live.machine.in_flight():
            member = self._fleet.member(worker) or Member(worker, None, turn.mono)
            profile = live.profile(key.task, self._line)
            part, generation = live.part.number, live.machine.generation
            flight = Flight(part, (live.no, key), attempt, epoch, n, member, profile, turn.mono, generation)
            flight.running = state is TaskState.RUNNING
            self._hold(live, key)
            if self._sole:
                turn.add(live, over(flight, live, turn.now))
            else:
                self._fleet.restore(flight, worker, flight.running, turn.mono)

    def _hold(self, live: LiveRun, key: Key) -> None:
        pool = live.using.plan.tasks[key.task].pool
        if pool is not None:
            self._pools.take((live.row.project, pool.name), (live.no, key), pool.cost)

    def _ask_again(self, live: LiveRun, loaded: Loaded) -> None:
        """Requests for slots lived in memory only: whoever is queued asks again, and is granted in the first turns."""
        for row in loaded.tasks:
            key = Key(row.task, row.map)
            pool = live.using.plan.tasks[row.task].pool
            if pool is not None and live.machine.state_of(key) is TaskState.QUEUED:
                priority = live.priority(live.profile(row.task, self._line))
                self._pools.want((live.row.project, pool.name), (live.no, key), pool.cost, priority)

    def _set_aside(self, turn: Turn, part: Part, run: int, why: str, fault: Exception) -> None:
        _logger.error("run %d is set aside: %s", run, why)
        part.broken[run] = why
        turn.portion(part).batch.inbox_new.append(note(part, run, why, turn.now))
        self._alarm(run, fault)
