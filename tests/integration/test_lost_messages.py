"""Engines and a worker as they are, and a broker that loses what it is told to lose, or brings it much later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headrace.engine.broker.memory import MemoryBroker, MemoryEngineSide
from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.decision import Decision
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import PythonCall, Task
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.messages import Abort, Dispatches, ToWorker
from headrace.engine.ports.store import InboxRow, NewRun, RunRow, Store, VersionRow
from headrace.engine.shell import commands
from headrace.engine.shell.children import run_id
from headrace.engine.shell.clock import SystemClock
from headrace.engine.shell.commands import StopBody
from headrace.engine.shell.engine import Engine
from headrace.engine.shell.replay import replay
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.views import RunView, run_view
from headrace.engine.store import open_store
from headrace.runners.modules import Folder
from headrace.runners.worker import Worker
from tests.support.flows import flow, py, tries

WITHIN = 30.0

BODIES = """
import threading
calls, entered, gate = [], threading.Event(), threading.Event()
def body():
    calls.append(1)
    entered.set()
def held():
    entered.set()
    while not gate.wait(0.005): pass
"""


class Lossy(MemoryEngineSide):
    """Loses what `loses` says, and keeps it, so that it may come late."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.loses: Callable[[ToWorker], bool] = lambda message: False
        self.sent: list[ToWorker] = []
        self.lost: list[tuple[str, int, ToWorker]] = []

    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        self.sent.append(message)
        if self.loses(message):
            self.lost.append((queue, inbox, message))
        else:
            super().send(queue, inbox, message)

    def lose_first(self, kind: type[Dispatches] | type[Abort], count: int = 1) -> None:
        self.loses = lambda message: isinstance(message, kind) and len(self.lost) < count

    def bring_late(self) -> None:
        for each in self.lost:
            super().send(*each)


class Place:
    """A database, a broker, a worker; engines come and go."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store = store
        self.broker = MemoryBroker()
        (folder / "bodies.py").write_text(BODIES)
        self._app = folder
        self.worker = Worker(self.broker.worker_side("w", 0), worker_id="w", app_dir=folder, slots=4)
        self.side: Lossy
        self.engine: Engine
        self._turning: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    @property
    def bodies(self) -> ModuleType:
        return Folder.at(str(self._app)).load("bodies")

    async def enter(self) -> None:
        """An engine takes the part over."""
        self.side = Lossy(self.broker)
        quick: dict[str, Any] = {"patience_seconds": 0.2, "sweep_seconds": 0.05, "poll_seconds": 0.05}
        settings = EngineSettings(sole=False, quiet_gc=False, **quick)
        self.engine = Engine(self.store, self.side, CelEvaluator(), settings=settings)
        self.engine.listen(self._note)
        await self.engine.start()
        self._turning = asyncio.create_task(self.engine.run())

    async def leave(self) -> None:
        await self.engine.stop()
        if self._turning is not None:
            await self._turning

    def _note(self, run: int, decision: Decision) -> None:
        self._moved.set()

    async def submit(self, plan: Plan) -> RunRow:
        document, now = canonical_json(to_document(plan.workflow)), SystemClock().now()
        name = plan.workflow.name
        version = await self.store.register(
            VersionRow("default", name, 0, plan.hash, document, None, (), now)
        )
        fields: dict[str, Any] = {
            "id": run_id(now),
            "project": "default",
            "workflow": name,
            "version": version.version,
            "plan": plan.hash,
            "part": 0,
            "params": b"{}",
            "trigger": b'{"kind": "manual"}',
            "created_at": now,
            "scheduled_at": now,
            "priority": "normal",
        }
        created = await self.store.create_run(NewRun(**fields))
        self.engine.wake()
        row = await self.store.run(created.no)
        assert row is not None
        return row

    async def cancel(self, row: RunRow) -> None:
        body = commands.encode("cancel", StopBody("ann"))
        await self.store.post(InboxRow(0, 0, row.no, "cancel", body, SystemClock().now()))
        self.engine.wake()
        await self.until(row, lambda view: view.run.state >= RunState.CANCELLING)

    async def until(self, row: RunRow, holds: Callable[[RunView], bool]) -> RunView:
        """The run, as soon as it is so."""
        async with asyncio.timeout(WITHIN):
            while True:
                self._moved.clear()
                view = await run_view(self.store, row.no)
                if holds(view):
                    return view
                await self._moved.wait()

    async def ended(self, row: RunRow) -> RunView:
        view = await self.until(row, lambda view: RunState(view.run.state).final)
        assert await replay(self.store, CelEvaluator(), row.no) == []
        return view


def _held(id: str, **keys: Any) -> Task:
    """A task that ends only when it is told to."""
    return Task(id, PythonCall("bodies:held"), **keys)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = await open_store(f"sqlite:///{tmp_path}/place.db")
    made = Place(tmp_path, store)
    await made.worker.start()
    await made.enter()
    try:
        yield made
    finally:
        await made.leave()
        await made.worker.stop(grace=1.0)
        await store.close()


async def test_a_dispatch_that_is_lost_is_asked_after_and_sent_again(place: Place) -> None:
    """Crash point 10, W7: the worker's `unknown` counts, so that the question is asked once."""
    place.side.lose_first(Dispatches)
    row = await place.submit(flow(py("a")))
    view = await place.ended(row)
    assert [(task.state, task.attempts) for task in view.tasks] == [("succeeded", 1)]
    assert len(place.bodies.calls) == 1
    assert len([message for message in place.side.sent if isinstance(message, Dispatches)]) == 2


async def test_a_dispatch_that_comes_after_its_run_was_cancelled_is_not_executed(place: Place) -> None:
    """W7, W8: whoever has said that an attempt is over here never starts it."""
    place.side.lose_first(Dispatches)
    row = await place.submit(flow(py("a", retry=tries(3))))
    await place.until(row, lambda view: bool(place.side.lost))
    await place.cancel(row)
    view = await place.ended(row)
    assert [(task.state, task.reason) for task in view.tasks] == [("cancelled", "run_cancelled")]
    place.side.bring_late()
    await place.ended(await place.submit(flow(py("b"))))
    assert len(place.bodies.calls) == 1, "only the task that came behind it"


async def test_a_stop_that_is_lost_is_said_again(place: Place) -> None:
    """The sweeper: a task without an end would run for ever."""
    row = await place.submit(flow(_held("a", retry=tries(3)), py("z", "a")))
    await asyncio.to_thread(place.bodies.entered.wait, WITHIN)
    place.side.lose_first(Abort, 2)
    await place.cancel(row)
    view = await place.ended(row)
    assert [(task.state, task.attempts) for task in view.tasks] == [("cancelled", 1), ("cancelled", 0)]
    assert len(place.side.lost) == 2


@pytest.mark.parametrize("heard", [False, True])
async def test_a_new_owner_says_again_what_is_to_stop(place: Place, heard: bool) -> None:
    """E9: the cancellation is committed, and its owner dies before the word is out."""
    row = await place.submit(flow(_held("a")))
    await asyncio.to_thread(place.bodies.entered.wait, WITHIN)
    if heard:  # that it runs
        await place.until(row, lambda view: view.tasks[0].state == "running")
    place.side.loses = lambda message: isinstance(message, Abort)
    await place.cancel(row)
    await place.leave()
    assert place.side.lost
    await place.enter()
    view = await place.ended(row)
    assert [(task.state, task.reason, task.attempts) for task in view.tasks] == [
        ("cancelled", "run_cancelled", 1)
    ]
