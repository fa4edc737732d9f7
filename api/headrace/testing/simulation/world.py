"""One simulated world: built from a script, run to its end, judged.

From the script's `heals_at` on nothing goes wrong any more: who was stopped goes on, who is dead comes back, paused runs are
resumed. Then every run must end within PATIENCE virtual seconds, and nothing may be left over.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Workflow
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.replay import replay
from headrace.engine.store.checksums import checksum
from headrace.testing.simulation.bodies import Bodies, Does
from headrace.testing.simulation.client import Client, version_of
from headrace.testing.simulation.faults import CALM, Act, Livelock
from headrace.testing.simulation.judge import Judge
from headrace.testing.simulation.network import Network
from headrace.testing.simulation.processes import (
    EVALUATOR,
    INBOXES,
    EngineProcess,
    Ground,
    Process,
    WorkerProcess,
)
from headrace.testing.simulation.script import COMMANDS, Script
from headrace.testing.simulation.shapes import Shape, planned, shape, without
from headrace.testing.simulation.store import Database, SimulatedStore
from headrace.testing.simulation.timeline import ProcessLoop, Timeline

WALL = 1_900_000_000.0
"""Seconds since the epoch at the beginning of every world."""

PATIENCE = 1_500.0
BACK_AFTER = 1.0
"""Within so many seconds a supervisor starts a process again that ended by itself."""


class Verdict(NamedTuple):
    """What came of a script. `broken`: what should not be; none: all is well. `seconds`: virtual ones; `hash`: the same for equal
    worlds; `story`: what happened, where it was asked for."""

    script: Script
    broken: tuple[str, ...]
    hash: str
    seconds: float
    steps: int
    attempts: int
    story: tuple[str, ...] = ()


def simulate(script: Script, *, told: bool = False) -> Verdict:
    """Run the world of the script. `told`: with its story."""
    return World(script, told=told).run()


class World:
    """Everything that lives in one simulation.

    `workflows`: what is run in place of the script's shapes, in the order of what is asked for; `does`: what all tasks do in place
    of what the seed says.
    """

    def __init__(
        self,
        script: Script,
        *,
        told: bool = False,
        workflows: Sequence[Workflow] = (),
        does: Does | None = None,
    ) -> None:
        self.script = script
        draws = random.Random(f"world {script.seed}")
        self.timeline = Timeline(draws)
        self.loop = ProcessLoop.begin(self.timeline, "world")
        less: dict[int, tuple[str, ...]] = {}  # runs of one shape are of one workflow
        for asked in script.asked:
            less[asked.shape] = (*less.get(asked.shape, ()), *asked.less)
        shapes = [planned(-1 - place, workflow) for place, workflow in enumerate(workflows)] or [
            _asked(asked.shape, tuple(dict.fromkeys(less[asked.shape]))) for asked in script.asked
        ]
        named = {each.plan.workflow.name: each for each in shapes}
        for number in sorted({child for each in shapes for child in each.children}):
            named[f"w{number}"] = shape(number)
        self.database = _database()
        self.database.open(self.timeline, script, WALL)
        self.database.register((version_of(each), checksum(each.document)) for each in named.values())
        self.network = Network(self.timeline, script.weather, self.loop)
        self.broker = MemoryBroker(script.parts, INBOXES, links=self.network)
        self.bodies = Bodies(script.seed, named, does)
        self.judge = Judge(self.timeline, self.database, self.bodies, named, calm=script.calm, told=told)
        self.ground = Ground(
            self.timeline,
            self.database,
            self.network,
            self.broker,
            self.bodies,
            named,
            script.survey_seconds,
        )
        self.engines = [EngineProcess(self.ground, number) for number in range(script.engines)]
        self.workers = [
            WorkerProcess(self.ground, number, slots) for number, slots in enumerate(script.workers)
        ]
        self.client = Client(self.ground, script.asked, shapes)
        self.healed = False
        self._stale: list[Process] = []
        self.database.on_claim = self._claimed

    @property
    def processes(self) -> list[Process]:
        return [*self.engines, *self.workers, self.client]

    def run(self) -> Verdict:
        """To the end. Once."""
        with _quiet() as logged:
            random.seed(self.script.seed)  # whatever of the engine draws from the process's own generator
            try:
                self._run()
            except Livelock as livelock:
                self.judge.fault(f"I9: {livelock}")
            finally:
                for loop in self.timeline.loops:
                    loop.bury()
                asyncio._set_running_loop(None)
        for line in logged:
            self.judge.fault(f"logged: {line}")
        return Verdict(
            self.script,
            tuple(self.judge.broken),
            self.judge.hash,
            self.timeline.now,
            self.timeline.steps,
            sum(map(len, self.bodies.executions.values())),
            tuple(self.judge.story),
        )

    def _run(self) -> None:
        script, timeline = self.script, self.timeline
        for process in self.processes:
            process.start()
        for act in script.acts:
            self.loop.call_at(act.at, self._act, act)
        self.loop.call_at(script.heals_at, self._heal)
        self.loop.call_later(BACK_AFTER, self._supervise)
        later = sum(abs(act.amount) for act in script.acts if act.what == "step_engines")
        if not timeline.run(self._over, script.heals_at + PATIENCE + later):
            self._stuck()
            return
        if script.orderly:
            self._closing = True
            for process in self.processes:
                process.retire()
            if not timeline.run(lambda: not any(p.alive for p in self.processes), timeline.now + 60):
                names = [process.name for process in self.processes if process.alive]
                self.judge.fault(f"63: {names} did not stop")
        self._check()

    # faults -----------------------------------------------------------------------------------------------------

    def _act(self, act: Act) -> None:
        self.judge.note("***", *act)
        what = act.what
        if what in COMMANDS:
            self.client.command(act)
            return
        verb, _, kind = what.partition("_")
        if verb == "dark":
            self.network.dark_until = self.timeline.now + act.seconds
        elif verb == "away":
            self.database.away_until = self.timeline.now + act.seconds
        elif verb == "power":
            for process in self.engines if kind else self.processes:
                self._kill(process, 0, act.seconds)
        elif verb == "more":
            self._add_engine()
        elif what == "step_worker":
            self.workers[act.whom % len(self.workers)].skew += act.amount
        elif what == "step_engines":
            self.database.wall += act.amount
        else:
            some: list[Process] = {"engine": self.engines, "worker": self.workers, "client": [self.client]}[
                kind
            ]  # type: ignore[assignment]
            self._trouble(verb, some[act.whom % len(some)], act)

    def _trouble(self, verb: str, process: Process, act: Act) -> None:
        if verb in ("kill", "rename"):
            if verb == "rename":
                process.rename()
            self._kill(process, act.amount, act.seconds)
        elif verb in ("stop", "stale"):
            process.stop(act.amount)
            self.loop.call_later(act.seconds, process.go_on)
            if verb == "stale":
                self._stale.append(process)
        else:
            process.retire()
            self.loop.call_later(act.seconds + 3, self._back, process)

    def _claimed(self, owner: str) -> None:
        """Whoever was stopped until another claims what it had goes on a moment later."""
        stale = [process for process in self._stale if process.name != owner]
        for process in stale:
            self._stale.remove(process)
            self.loop.call_later(self.timeline.random.random() ** 3 * 0.05, process.go_on)

    def _kill(self, process: Process, steps: int, seconds: float) -> None:
        loop = process.loop
        if loop is None or loop.dead:
            return
        if steps and loop.stopped_at is None:
            loop.dies_in = steps
            loop.on_death.append(lambda: self.judge.note("***", process.name, "is dead"))
        else:
            loop.die()
        self.loop.call_later(seconds + 0.01, self._back, process)

    def _back(self, process: Process) -> None:
        if process.loop is not None and process.loop.dies_in is not None:
            process.loop.die()
        if not self._closing:
            process.start()

    def _add_engine(self) -> None:
        engine = EngineProcess(self.ground, len(self.engines))
        self.engines.append(engine)
        engine.start()

    def _supervise(self) -> None:
        """Start again what ended by itself, and resume what is paused once all is well."""
        if self._closing:
            return
        for process in self.processes:
            ended = isinstance(process, EngineProcess) and process.gave_up
            if self.healed or ended:
                process.start()
        if self.healed:
            self._resume()
        self.loop.call_later(BACK_AFTER, self._supervise)

    def _resume(self) -> None:
        if int(self.timeline.now) % 3 or self.client.wants("resume"):
            return
        paused = self.database.lane.raw.execute("SELECT no FROM runs WHERE paused AND finished_at IS NULL")
        for (no,) in paused.fetchall():
            places = [place for place, number in self.client.accepted.items() if number == no]
            if places:
                index = sorted(self.client.accepted).index(places[0])
                self.client.command(Act(self.timeline.now, "resume", index))

    def _heal(self) -> None:
        self.judge.note("*** all is well from now on")
        self.healed = True
        self.network.weather = self.database.weather = CALM
        self.network.dark_until = self.database.away_until = 0.0
        for process in self.processes:
            if process.loop is not None and process.loop.dies_in is not None:
                process.loop.dies_in = None
            process.go_on()
            process.start()

    # its end ----------------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        if not self.healed or self.client.busy:
            return False
        if self.judge.moved:
            self.judge.moved = False
            raw = self.database.lane.raw
            row = raw.execute(
                "SELECT EXISTS (SELECT 1 FROM runs WHERE finished_at IS NULL) OR EXISTS (SELECT 1 FROM inbox)"
            ).fetchone()
            self._settled = not row[0]
        if not self._settled:
            return False
        return not any(
            (process.engine is not None and (process.engine.live or process.engine.in_flight))
            for process in self.engines
        ) and not any(process.worker is not None and process.worker.held for process in self.workers)

    _settled = _closing = False

    def _stuck(self) -> None:
        raw = self.database.lane.raw
        for no, state in raw.execute("SELECT no, state FROM runs WHERE finished_at IS NULL"):
            self.judge.fault(f"I9: run {no} is {RunState(state).word} {PATIENCE:.0f} s after all was well")
        for row in raw.execute("SELECT id, part, run, kind FROM inbox"):
            self.judge.fault(f"I9: inbox row {row} is not taken")
        for process in self.engines:
            engine = process.engine
            if engine is not None and (engine.live or engine.in_flight):
                self.judge.fault(
                    f"I10: {process.name} keeps {engine.live} runs and {engine.in_flight} attempts, broken: {engine.broken}"
                )
        for worker in self.workers:
            if worker.worker is not None and worker.worker.held:
                self.judge.fault(f"I10: {worker.name} holds {worker.worker.held} attempts")
        if self.client.busy:
            self.judge.fault("I9: the client is not answered")

    def _check(self) -> None:
        judge = self.judge
        judge.after(self.client.accepted.values())
        if self.script.only_engines:
            judge.executed_once()
        for process in self.engines:
            engine = process.engine
            if engine is not None and engine.broken:
                judge.fault(f"I1: {process.name} has set runs aside: {engine.broken}")
        for run, task in self.database.lane.raw.execute("SELECT run, task FROM waits"):
            judge.fault(f"I10: run {run} has ended, and others still find that task {task} of it waits")
        for loop in self.timeline.loops:
            for fault in loop.faults:
                judge.fault(f"nobody has taken an exception of {fault}")
        self._replay()

    def _replay(self) -> None:
        """I6: whatever was decided is decided again."""
        loop = ProcessLoop.begin(self.timeline, "replay")
        self.database.weather, self.database.away_until = CALM, 0.0
        store = SimulatedStore(self.database, loop)
        plans = Plans(store)
        for each in self.ground.shapes.values():
            plans.offer(each.plan)
        numbers = [no for (no,) in self.database.lane.raw.execute("SELECT no FROM runs ORDER BY no")]

        async def again() -> None:
            for no in numbers:
                for difference in await replay(store, EVALUATOR, no, plans=plans):
                    self.judge.fault(f"I6: run {no}: {difference}")

        task = loop.create_task(again())
        self.timeline.run(task.done, self.timeline.now + 600)
        if not task.done():
            self.judge.fault("I6: replay does not end")
        elif task.exception() is not None:
            self.judge.fault(f"I6: replay failed: {task.exception()!r}")


@lru_cache(maxsize=1)
def _database() -> Database:
    return Database()


@lru_cache(maxsize=10_000)
def _asked(number: int, less: tuple[str, ...]) -> Shape:
    found = shape(number)
    for task in less:
        found = without(found, task) or found
    return found


class _Errors(logging.Handler):
    """Collects what the engine says with an exception: such a fault has no other way out."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.lines.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Logs go to the judge alone, and Python's own generator and collector of cycles are given back as they were."""
    logger = logging.getLogger("headrace")
    before = logger.level, logger.propagate, logger.handlers[:]
    errors = _Errors()
    logger.handlers, logger.propagate = [errors], False
    logger.setLevel(logging.ERROR)
    state, collecting = random.getstate(), gc.isenabled()
    gc.disable()
    try:
        yield errors.lines
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1], before[2]
        random.setstate(state)
        if collecting:
            gc.enable()
