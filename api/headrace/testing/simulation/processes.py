"""The processes of a simulated world: engines and workers are the real ones, each on an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.shell.engine import Engine
from headrace.engine.shell.settings import EngineSettings
from headrace.runners.secrets import Secrets
from headrace.runners.worker import Worker
from headrace.testing.simulation.bodies import CANARY, Bodies, Lanes
from headrace.testing.simulation.network import Network
from headrace.testing.simulation.shapes import POOLS, Shape
from headrace.testing.simulation.store import Database, SimulatedStore
from headrace.testing.simulation.timeline import ProcessLoop, Timeline

if TYPE_CHECKING:
    from headrace.runners.line import Line

EVALUATOR = CelEvaluator()
INBOXES = 4
POLL_SECONDS = 2.0
"""Rarer than in production: what nobody was told of is found, only later."""


class ProcessClock:
    """An engine's clock: wall time as the database had it when the process began, and the time since."""

    def __init__(self, process: ProcessLoop, wall: float) -> None:
        self._process = process
        self._offset = wall - process.time()

    def now(self) -> float:
        return self._offset + self._process.time()

    def steady(self) -> float:
        return self._process.time()

    def until(self, due: float, *, idle: bool) -> float:
        return max(0.0, due - self.now())


class Ground:
    """What all processes stand on."""

    def __init__(
        self,
        timeline: Timeline,
        database: Database,
        network: Network,
        broker: MemoryBroker,
        bodies: Bodies,
        shapes: dict[str, Shape],
        survey_seconds: float,
    ) -> None:
        self.timeline = timeline
        self.database = database
        self.network = network
        self.broker = broker
        self.bodies = bodies
        self.shapes = shapes
        self.entropy: Callable[[int], bytes] = Random(timeline.random.random()).randbytes
        self.settings = EngineSettings.shared(
            survey_seconds=survey_seconds,
            poll_seconds=POLL_SECONDS,
            quiet_gc=False,
            pools=POOLS,
            retention_seconds=None,
        )


class Process:
    """One simulated process after the other under one number: `start` begins a new one."""

    kind = "process"

    def __init__(self, ground: Ground, number: int) -> None:
        self.ground = ground
        self.number = number
        self.name = f"{self.kind}-{number}"
        self.renamed = 0
        self.loop: ProcessLoop | None = None
        self.retired = False
        self.failure: BaseException | None = None
        """What ended it, where nobody had told it to end."""

    @property
    def alive(self) -> bool:
        return self.loop is not None and not self.loop.dead

    def start(self) -> None:
        """Begin, unless it lives."""
        if self.alive:
            return
        self.retired = False
        ground = self.ground
        self.loop = loop = ProcessLoop.begin(ground.timeline, self.name)
        loop.on_death.append(lambda: ground.network.died(loop))
        loop.on_halt.append(lambda: ground.network.stopped(loop))
        loop.create_task(self._life(loop))

    def rename(self) -> None:
        self.renamed += 1
        self.name = f"{self.kind}-{self.number}.{self.renamed}"

    def stop(self, steps: int = 0) -> None:
        """SIGSTOP, after so many more callbacks."""
        if self.loop is not None and self.alive:
            if steps:
                self.loop.halts_in = steps
            else:
                self.loop.halt()

    def go_on(self) -> None:
        """SIGCONT."""
        if self.loop is not None and self.alive:
            self.loop.halts_in = None
            self.loop.go_on()
            self.ground.network.went_on(self.loop)

    def retire(self) -> None:
        """SIGTERM: it ends in order, then it is gone."""
        if self.loop is not None and self.alive and not self.retired:
            self.retired = True
            self.loop.create_task(self._end(self.loop))

    async def _life(self, loop: ProcessLoop) -> None:
        raise NotImplementedError

    async def _end(self, loop: ProcessLoop) -> None:
        raise NotImplementedError


class EngineProcess(Process):
    """A process with one engine."""

    kind = "engine"
    engine: Engine | None = None
    gave_up = False
    """It could not begin, for the database was away: its supervisor starts it again."""

    async def _life(self, loop: ProcessLoop) -> None:
        ground = self.ground
        self.gave_up = False
        side = ground.broker.engine_side()
        loop.on_death.append(lambda: ground.broker.sever(side))
        self.engine = engine = Engine(
            SimulatedStore(ground.database, loop),
            side,
            EVALUATOR,
            None,
            ProcessClock(loop, ground.database.now()),
            part=None,
            engine_id=self.name,
            settings=ground.settings,
            entropy=ground.entropy,
        )
        for shape in ground.shapes.values():
            engine.plans.offer(shape.plan)
        try:
            await engine.start()
            await engine.run()
        except StoreUnavailable:
            self.gave_up = True
            loop.die()
        except asyncio.CancelledError:
            raise
        except BaseException as fault:
            self.failure = fault
            raise

    async def _end(self, loop: ProcessLoop) -> None:
        if self.engine is not None:
            await self.engine.stop(2.0)
        loop.die()


class WorkerProcess(Process):
    """A process with one worker."""

    kind = "worker"
    worker: Worker | None = None

    def __init__(self, ground: Ground, number: int, slots: int) -> None:
        super().__init__(ground, number)
        self.slots = slots
        self.incarnation = 0
        self.skew = ground.timeline.random.choice((0.0, 0.0, 0.3, -0.3, 40.0, -40.0))
        """Seconds by which its wall clock is wrong."""
        self.pace = ground.timeline.random.choice((1.0, 1.0, 1.0, 1.0, 3.0))

    def wall(self) -> float:
        return self.ground.database.now() + self.skew

    async def _life(self, loop: ProcessLoop) -> None:
        ground = self.ground
        self.incarnation += 1
        incarnation = f"{self.name}#{self.incarnation}"
        side = ground.broker.worker_side(self.name, self.number % INBOXES)
        loop.on_death.append(lambda: ground.broker.sever(side))

        def lanes(line: Line, ended: Callable[..., None], notice: Callable[[], None]) -> Lanes:
            who = self.name, incarnation
            return Lanes(loop, ground.bodies, who, self.wall, self.pace, line, ended, notice)

        self.worker = worker = Worker(
            side,
            worker_id=self.name,
            incarnation=incarnation,
            queues=("default", "other") if self.number == 0 else ("default",),
            slots=self.slots,
            secrets=Secrets((_OneSecret(),)),
            clock=self.wall,
            monotonic=loop.time,
            lanes=lanes,
        )
        await worker.run()

    async def _end(self, loop: ProcessLoop) -> None:
        if self.worker is not None:
            await self.worker.stop(2.0)
        loop.die()


class _OneSecret:
    """The source of the canary."""

    async def get(self, name: str) -> str | None:
        return CANARY if name == "canary" else None

    def values(self) -> list[str]:
        return [CANARY]
