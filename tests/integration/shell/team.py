"""Several engines on one PostgreSQL and one broker, in this process or Kafka, and workers that speak the whole protocol.

Nothing runs by itself but the engines' looks at each other: `until` lets everybody take turns until a condition holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import ensure
from headrace.engine.broker.kafka.worker_side import KafkaWorkerSide
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.broker import EngineSide, WorkerSide
from headrace.engine.ports.messages import (
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Report,
    Reports,
    ToWorker,
)
from headrace.engine.ports.store import InboxRow, NewRun, RunRow, Store, VersionRow
from headrace.engine.shell import commands
from headrace.engine.shell.children import part_of, run_id
from headrace.engine.shell.clock import SystemClock
from headrace.engine.shell.engine import Engine
from headrace.engine.shell.replay import replay
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.views import run_view
from headrace.engine.store import open_store
from tests.unit.shell.rig import HOLD, Answer, Body

WITHIN = 30.0


class HonestWorker:
    """Holds what its body says it holds, drops what comes from an old epoch, answers every question."""

    def __init__(self, side: WorkerSide, worker: str = "w1", *, slots: int = 10) -> None:
        self.side = side
        self.worker, self.incarnation, self.slots = worker, f"{worker}-1", slots
        self.body: Body = lambda dispatch: Answer()
        self.held: dict[tuple[int, int, int, int, int], tuple[int, Dispatch]] = {}
        self.seen: list[Dispatch] = []
        self.asked: list[Ask] = []
        self.dropped: list[ToWorker] = []
        self.answers = True
        self._epochs: dict[int, int] = {}
        self._on: dict[int, dict[str, int]] = {}
        self._finished: dict[tuple[int, int, int, int, int], tuple[Dispatch, Answer]] = {}

    @property
    def names(self) -> list[str]:
        return [dispatch.job.task_id for dispatch in self.seen]

    async def beat(self) -> None:
        held = len(self.held)
        await self.side.beat(
            Beat(self.worker, self.incarnation, self.side.inbox, ["default"], {}, self.slots, 0, held)
        )

    async def step(self) -> None:
        for queue, message in await self.side.receive(0):
            if message.to != self.worker:
                continue
            part, epoch = message.part, message.epoch
            if epoch < self._epochs.get(part, 0):
                self.dropped.append(message)
                continue
            self._epochs[part] = epoch
            self._on.setdefault(part, {})[queue] = epoch
            if isinstance(message, Dispatches):
                for item in message.items:
                    await self._dispatched(part, item)
            elif isinstance(message, Abort):
                for key in message.keys:
                    found = self.held.pop(key, None)
                    if found is not None:
                        await self.report(part, found[1], Answer("cancelled"))
            else:
                self.asked.append(message)
                if self.answers:
                    await self._answer(message)

    async def _dispatched(self, part: int, item: Dispatch) -> None:
        key = (item.run, item.generation, item.task, item.map, item.attempt)
        if key in self.held:
            self.held[key] = (part, item)
            return
        if key in self._finished:
            await self.report(part, item, self._finished[key][1])
            return
        self.seen.append(item)
        answer = self.body(item)
        if isinstance(answer, str):
            self.held[key] = (part, item)
        else:
            self._finished[key] = (item, answer)
            await self.report(part, item, answer)

    async def _answer(self, ask: Ask) -> None:
        for key, (epoch, n) in zip(ask.keys or (), ask.deliveries, strict=True):
            if tuple(key) in self._finished:
                item, answer = self._finished[key]
                await self.report(ask.part, item, answer)
            elif tuple(key) not in self.held:
                run, generation, task, map_, attempt = key
                report = Report(run, generation, task, map_, attempt, epoch, n, "unknown")
                await self.side.report(ask.part, Reports(self.worker, self.incarnation, [report]))
        held = [key for key, (part, _) in self.held.items() if part == ask.part]
        seen = dict(self._on.get(ask.part, {}))
        await self.side.report(ask.part, Alive(self.worker, self.incarnation, ask.part, seen, held))

    async def report(self, part: int, item: Dispatch, answer: Answer) -> None:
        report = Report(
            item.run,
            item.generation,
            item.task,
            item.map,
            item.attempt,
            item.epoch,
            item.n,
            answer.kind,
            output=None if answer.output is None else msgspec.json.encode(answer.output),
            error=answer.error,
        )
        await self.side.report(part, Reports(self.worker, self.incarnation, [report]))

    async def finish_all(self, answer: Answer | None = None) -> None:
        """End everything held."""
        for key, (part, item) in list(self.held.items()):
            del self.held[key]
            self._finished[key] = (item, answer or Answer())
            await self.report(part, item, answer or Answer())


class Team:
    """The engines, by name; the store that whoever stands outside reads and posts to."""

    def __init__(self, url: str, outside: Store, parts: int, kafka: KafkaSettings | None) -> None:
        self.url = url
        self.outside = outside
        self.parts = parts
        self.kafka = kafka
        self.broker = MemoryBroker(parts=parts, inboxes=4)
        self.engines: dict[str, Engine] = {}
        self.stores: dict[str, Store] = {}
        self.workers: list[HonestWorker] = []
        self._beat_at = 0.0

    @classmethod
    async def open(cls, url: str, kafka: KafkaSettings | None = None) -> Team:
        """`kafka` None: an in-process broker."""
        outside = await open_store(url)
        parts = await outside.parts()
        if kafka is not None:
            await ensure(kafka, parts, ["default"])
        return cls(url, outside, parts, kafka)

    def engine_side(self, name: str) -> EngineSide:
        return self.broker.engine_side() if self.kafka is None else KafkaEngineSide(self.kafka, name)

    def worker_side(self, name: str, inbox: int) -> WorkerSide:
        if self.kafka is None:
            return self.broker.worker_side(name, inbox)
        return KafkaWorkerSide(self.kafka, name, ["default"])

    async def close(self) -> None:
        for worker in self.workers:
            await worker.side.stop()
        for name in list(self.engines):
            await self.leave(name)
        await self.outside.close()

    async def enter(self, name: str, **settings: Any) -> Engine:
        """One more engine."""
        quick = {
            "sole": False,
            "quiet_gc": False,
            "survey_seconds": 0.02,
            "poll_seconds": 0.05,
            "change_seconds": 0.0,
        }
        store = self.stores[name] = await open_store(self.url)
        engine = self.engines[name] = Engine(
            store,
            self.engine_side(name),
            CelEvaluator(),
            None,
            SystemClock(),
            part=None,
            engine_id=name,
            settings=EngineSettings(**quick | settings),
        )
        await engine.start()
        return engine

    async def leave(self, name: str) -> None:
        """An orderly end."""
        await self.engines.pop(name).stop()
        await self.stores.pop(name).close()

    async def die(self, name: str) -> Engine:
        """The engine ends without a word: its connections close, and that is all."""
        engine = self.engines.pop(name)
        membership = engine._membership
        assert membership is not None
        looking = membership._looking
        assert looking is not None
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await engine._broker.stop()
        return engine

    async def hire(self, name: str = "w1", *, slots: int = 10, inbox: int = 0) -> HonestWorker:
        worker = HonestWorker(self.worker_side(name, inbox), name, slots=slots)
        await worker.side.start()
        await worker.beat()
        self.workers.append(worker)
        return worker

    async def turn(self) -> None:
        """Everybody once."""
        for engine in tuple(self.engines.values()):
            await engine.turn(0.001)
        for worker in self.workers:
            await worker.step()
        now = time.monotonic()
        if now - self._beat_at >= 1.0:
            self._beat_at = now
            for worker in self.workers:
                await worker.beat()

    async def until(self, holds: Callable[[], bool | Awaitable[bool]]) -> None:
        """Take turns until it holds."""
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    found = holds()
                    if found is True or (not isinstance(found, bool) and await found):
                        return
                    await self.turn()
        except TimeoutError:
            owned = {name: engine.parts for name, engine in self.engines.items()}
            raise AssertionError(f"not within {WITHIN:.0f} s; {owned}") from None

    def settled(self) -> bool:
        """Whether every part has one owner, and no engine more than its share."""
        owned = sorted(part for engine in self.engines.values() for part in engine.parts)
        share = -(-self.parts // len(self.engines))
        return owned == list(range(self.parts)) and all(
            len(engine.parts) <= share for engine in self.engines.values()
        )

    async def register(self, plan: Plan, name: str | None = None) -> VersionRow:
        document = canonical_json(to_document(plan.workflow))
        row = VersionRow("default", name or plan.workflow.name, 0, plan.hash, document, None, (), 0.0)
        return await self.outside.register(row)

    async def submit(
        self, plan: Plan, part: int | None = None, params: Mapping[str, Any] | None = None, **keys: Any
    ) -> RunRow:
        version = await self.register(plan)
        now = SystemClock().now()
        identity = run_id(now)
        while part is not None and part_of(identity, self.parts) != part:
            identity = run_id(now)
        fields: dict[str, Any] = {
            "id": identity,
            "project": "default",
            "workflow": version.name,
            "version": version.version,
            "plan": plan.hash,
            "part": part_of(identity, self.parts),
            "params": msgspec.json.encode(dict(params or {})),
            "trigger": b'{"kind": "manual"}',
            "created_at": now,
            "scheduled_at": now,
            "priority": "normal",
        }
        created = await self.outside.create_run(NewRun(**(fields | keys)))
        for engine in self.engines.values():
            engine.wake()
        return await self.row(created.no)

    async def command(self, row: RunRow, kind: str, body: Any) -> None:
        inbox = InboxRow(0, row.part, row.no, kind, commands.encode(kind, body), SystemClock().now())
        await self.outside.post(inbox)

    async def row(self, no: int) -> RunRow:
        row = await self.outside.run(no)
        assert row is not None
        return row

    async def ended(self, *runs: RunRow) -> bool:
        return all([RunState((await self.row(run.no)).state).final for run in runs])

    async def states(self, run: RunRow) -> dict[str, str]:
        return {task.written: task.state for task in (await run_view(self.outside, run.no)).tasks}

    async def agrees(self, run: RunRow) -> None:
        assert await replay(self.outside, CelEvaluator(), run.no) == []


__all__ = ["HOLD", "HonestWorker", "Team"]
