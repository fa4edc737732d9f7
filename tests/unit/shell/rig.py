"""A rig for the engine: a real SQLite store, the real in-process broker, a clock that is moved by hand, and a scripted
worker. Nothing runs by itself: `settle` lets engine and worker take turns until nothing is left to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.decision import Decision
from headrace.engine.core.plan import Plan
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.messages import (
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Drain,
    ErrorInfo,
    Report,
    Reports,
)
from headrace.engine.ports.store import InboxRow, NewRun, RunRow, Store, VersionRow
from headrace.engine.shell import commands
from headrace.engine.shell.children import run_id
from headrace.engine.shell.clock import VirtualClock
from headrace.engine.shell.engine import Engine
from headrace.engine.shell.replay import replay
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.views import RunView, run_view
from headrace.engine.store import open_store

HOLD = "hold"
"""An answer of a body: nothing is reported; the attempt stays with the worker."""


@dataclass
class Answer:
    """What an attempt comes to. `kind` as in Report."""

    kind: str = "succeeded"
    output: Any = None
    error: ErrorInfo | None = None


Body = Callable[[Dispatch], Answer | str]


def fails(message: str = "it broke", kind: str = "ValueError", retryable: bool = True) -> Answer:
    return Answer("failed", error=ErrorInfo(kind, message, retryable=retryable))


class ScriptedWorker:
    """Speaks the worker's side of the protocol and answers every attempt as `body` says."""

    def __init__(
        self,
        broker: MemoryBroker,
        clock: VirtualClock,
        *,
        worker: str = "w1",
        incarnation: str = "i1",
        slots: int = 10,
        queues: Sequence[str] = ("default",),
        labels: Mapping[str, str] | None = None,
        inbox: int = 0,
    ) -> None:
        self.side = broker.worker_side(worker, inbox)
        self.clock = clock
        self.worker, self.incarnation, self.inbox = worker, incarnation, inbox
        self.slots, self.queues, self.labels = slots, list(queues), dict(labels or {})
        self.body: Body = lambda dispatch: Answer()
        self.held: dict[tuple[int, int, int, int], Dispatch] = {}
        self.seen: list[Dispatch] = []
        self.aborted: list[tuple[int, int, int, int, int]] = []
        self.asked: list[Ask | Drain] = []
        self.draining = False
        self.deaf = False
        """Whether it goes on with what it is told to stop."""

    @property
    def names(self) -> list[str]:
        """The tasks of the attempts that came, in order."""
        return [dispatch.job.task_id for dispatch in self.seen]

    async def beat(self) -> None:
        await self.side.beat(
            Beat(
                self.worker,
                self.incarnation,
                self.inbox,
                self.queues,
                self.labels,
                self.slots,
                0,
                len(self.held),
                self.draining,
            )
        )

    async def step(self) -> bool:
        """Take what is there and answer. Whether there was anything."""
        told = await self.side.receive(0)
        for _, message in told:
            if message.to != self.worker:
                continue
            if isinstance(message, Dispatches):
                for item in message.items:
                    self.seen.append(item)
                    answer = self.body(item)
                    if isinstance(answer, str):
                        self.held[item.run, item.generation, item.task, item.map] = item
                    else:
                        await self.report(item, answer)
            elif isinstance(message, Abort):
                self.aborted.extend(message.keys)
                for key in () if self.deaf else message.keys:
                    held = self.held.pop(key[:4], None)
                    if held is not None:
                        await self.report(held, Answer("cancelled"))
            else:
                self.asked.append(message)
        return bool(told)

    async def report(self, item: Dispatch, answer: Answer, **changed: Any) -> None:
        now = self.clock.now()
        report = Report(
            item.run,
            item.generation,
            item.task,
            item.map,
            item.attempt,
            item.epoch,
            item.n,
            answer.kind,
            now,
            now,
            None if answer.output is None else msgspec.json.encode(answer.output),
            None,
            answer.error,
        )
        await self.side.report(
            0, Reports(self.worker, self.incarnation, [msgspec.structs.replace(report, **changed)])
        )

    async def finish(self, name: str, answer: Answer | None = None) -> None:
        """End the held attempt of a task."""
        for key, item in list(self.held.items()):
            if item.job.task_id == name:
                del self.held[key]
                await self.report(item, answer or Answer())
                return
        raise AssertionError(f"{name} is not held: {[i.job.task_id for i in self.held.values()]}")

    async def alive(self, epoch: int) -> None:
        held = [(*key, item.attempt) for key, item in self.held.items()]
        seen = dict.fromkeys(self.queues, epoch)
        await self.side.report(0, Alive(self.worker, self.incarnation, 0, seen, held))


@dataclass
class Rig:
    """Engine, store, broker, worker and clock."""

    store: Store
    clock: VirtualClock
    settings: EngineSettings
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    engine: Engine = field(init=False)
    worker: ScriptedWorker = field(init=False)

    def make(self, store: Store | None = None, side: EngineSide | None = None, **keys: Any) -> Engine:
        self.engine = Engine(
            store or self.store,
            side or self.broker.engine_side(),
            CelEvaluator(),
            None,
            self.clock,
            settings=self.settings,
            **keys,
        )
        self.engine.listen(lambda run, decision: self.decisions.append((run, decision)))
        return self.engine

    async def start(self) -> None:
        await self.engine.start()
        await self.worker.side.start()
        await self.worker.beat()

    async def settle(self, *workers: ScriptedWorker) -> None:
        """Let engine and workers take turns until two rounds bring nothing."""
        quiet = 0
        for _ in range(2_000):
            moved = await self.engine.turn(0)
            for worker in workers or (self.worker,):
                moved = await worker.step() or moved
            quiet = 0 if moved or not self.engine._turner.patience() else quiet + 1
            if quiet == 2:
                return
        raise AssertionError("it never settles")

    async def register(self, plan: Plan, name: str | None = None) -> VersionRow:
        document = canonical_json(to_document(plan.workflow))
        return await self.store.register(
            VersionRow(
                "default",
                name or plan.workflow.name,
                0,
                plan.hash,
                document,
                None,
                (),
                self.clock.now(),
            )
        )

    async def submit(self, plan: Plan, params: Mapping[str, Any] | None = None, **keys: Any) -> RunRow:
        version = await self.register(plan)
        now = self.clock.now()
        fields: dict[str, Any] = {
            "id": run_id(now),
            "project": "default",
            "workflow": version.name,
            "version": version.version,
            "plan": plan.hash,
            "part": 0,
            "params": msgspec.json.encode(dict(params or {})),
            "trigger": b'{"kind": "manual"}',
            "created_at": now,
            "scheduled_at": now,
            "priority": "normal",
        }
        created = await self.store.create_run(NewRun(**(fields | keys)))
        self.engine.wake()
        return await self.row(created.no)

    async def row(self, no: int) -> RunRow:
        row = await self.store.run(no)
        assert row is not None
        return row

    async def run(self, plan: Plan, params: Mapping[str, Any] | None = None, **keys: Any) -> RunView:
        """Submit, settle and show."""
        row = await self.submit(plan, params, **keys)
        await self.settle()
        return await self.view(row.no)

    async def view(self, no: int) -> RunView:
        return await run_view(self.store, no)

    async def states(self, no: int) -> dict[str, str]:
        return {task.written: task.state for task in (await self.view(no)).tasks}

    async def command(self, run: int, kind: str, body: Any) -> None:
        await self.store.post(InboxRow(0, 0, run, kind, commands.encode(kind, body), self.clock.now()))
        self.engine.wake()

    async def advance(self, seconds: float) -> None:
        """Let time pass, the worker beating."""
        self.clock.advance(seconds)
        await self.worker.beat()
        await self.settle()

    async def agrees(self, no: int) -> None:
        """The run decided again from its history is the run that is stored."""
        assert await replay(self.store, CelEvaluator(), no) == []


@asynccontextmanager
async def rig(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    store = await open_store(f"sqlite:///{folder}/rig.db")
    quiet = {"quiet_gc": False, "poll_seconds": 0.01} | settings
    made = Rig(store, VirtualClock(jumps=False), EngineSettings(**quiet))
    made.make()
    made.worker = ScriptedWorker(made.broker, made.clock)
    await made.start()
    try:
        yield made
    finally:
        await made.engine.stop()
        await store.close()


async def crash(bench: Rig) -> None:
    """The engine dies without a word; a new one claims the part."""
    bench.engine._forget()
    await bench.store.release(0, "engine")
    bench.make()
    await bench.engine.start()
