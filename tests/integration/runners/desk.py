"""A worker under test, and a desk that stands in for the engine: sends dispatches, gathers reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headrace.engine.artifacts import FileArtifacts, FileLogs
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.ports.messages import (
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Hole,
    Job,
    Limits,
    Report,
    Reports,
)
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.worker import Worker

Key = tuple[int, int, int, int, int]
ME = "w"


def python(function: str, **more: Any) -> Job:
    return job("python", {"function": function}, **more)


def shell(run: str, **more: Any) -> Job:
    return job("shell", {"run": run, "interpreter": ["bash", "-eo", "pipefail", "-c"], "cwd": None}, **more)


def job(kind: str, work: dict[str, Any], *, limits: Limits | None = None, **more: Any) -> Job:
    return Job("flow", more.pop("task_id", "task"), kind, work, limits or Limits(grace=2.0), **more)


class Desk:
    """Args:
    folder: holds code in `app/`, artifacts, logs, the worker's state.
    """

    def __init__(self, folder: Path, **worker: Any) -> None:
        self.folder = folder
        self.app = folder / "app"
        self.app.mkdir(exist_ok=True)
        self.broker = MemoryBroker()
        self.engine = self.broker.engine_side()
        self.logs = FileLogs(folder / "logs")
        self.artifacts = FileArtifacts(folder / "artifacts")
        self.side = self.broker.worker_side(ME, 0)
        self.worker = Worker(
            self.side,
            worker_id=ME,
            app_dir=self.app,
            artifacts=self.artifacts,
            logs=self.logs,
            state_folder=folder / "state",
            **{"http_policy": HttpPolicy(allow_loopback=True), **worker},
        )
        self.reports: list[Report] = []
        self.alive: list[Alive] = []
        self.heard: list[Report | Alive] = []
        self._fresh: list[Report] = []
        self._next = 0

    def write(self, name: str, text: str) -> None:
        """A file beside the workflow."""
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def make(
        self, job: Job, inputs: dict[str, Any] | None = None, *, task: int | None = None, **more: Any
    ) -> Dispatch:
        if task is None:
            self._next += 1
            task = self._next
        given = {"generation": 0, "map": 0, "attempt": 1, "epoch": 1, "n": 1, **more}
        return Dispatch(1, "run-1", task=task, job=job, inputs=inputs or {}, **given)

    def send(self, *items: Dispatch, epoch: int = 1, to: str = ME) -> None:
        self.engine.send("default", 0, Dispatches(to, 0, epoch, list(items)))

    def abort(self, *items: Dispatch, grace: float = 2.0) -> None:
        self.engine.send("default", 0, Abort(ME, 0, 1, [key_of(item) for item in items], grace))

    def ask(self, *items: Dispatch, epoch: int = 1) -> None:
        keys = [key_of(item) for item in items] if items else None
        self.engine.send("default", 0, Ask(ME, 0, epoch, keys))

    async def hear(self, count: int, *kinds: str, within: float = 30.0) -> list[Report]:
        """The next reports of these kinds (without any: all but `started`), in order of arrival."""
        found: list[Report] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    found += [
                        item
                        for item in self._fresh
                        if (item.kind in kinds if kinds else item.kind != "started")
                    ]
                    self._fresh.clear()
                    if len(found) >= count:
                        return found
                    await self._gather()
        except TimeoutError:
            raise AssertionError(f"only {found} of {count} {kinds}; heard {self.heard}") from None

    async def hear_alive(self, within: float = 30.0) -> Alive:
        before = len(self.alive)
        async with asyncio.timeout(within):
            while len(self.alive) == before:
                await self._gather()
        self._fresh.clear()
        return self.alive[before]

    async def beat(self, within: float = 10.0) -> Beat:
        """The next beat."""
        async with asyncio.timeout(within):
            while not (beats := [each for each in self.engine.heard() if isinstance(each, Beat)]):
                await self._gather()
        return beats[-1]

    async def _gather(self) -> None:
        for arrived in await self.engine.receive(None):
            message = arrived.message
            if isinstance(message, Alive):
                self.alive.append(message)
                self.heard.append(message)
            elif isinstance(message, Reports):
                self.reports += message.items
                self.heard += message.items
                self._fresh += message.items

    async def run(self, job: Job, inputs: dict[str, Any] | None = None, **more: Any) -> Report:
        """Send one attempt and return its last report."""
        holes: Sequence[Hole] = more.pop("holes", ())
        dispatch = self.make(job, inputs, holes=list(holes), **more)
        self.send(dispatch)
        while True:
            (report,) = await self.hear(1)
            if report_key(report) == key_of(dispatch):
                return report

    async def log(self, task_id: str = "task", attempt: int = 1, stream: str | None = None) -> list[str]:
        lines = await self.logs.read("run-1", task_id, 0, 0, attempt)
        return [line.text for line in lines if stream in (None, line.stream)]


def key_of(item: Dispatch) -> Key:
    return (item.run, item.generation, item.task, item.map, item.attempt)


def report_key(item: Report) -> Key:
    return (item.run, item.generation, item.task, item.map, item.attempt)


@asynccontextmanager
async def opened(folder: Path, **worker: Any) -> AsyncIterator[Desk]:
    desk = Desk(folder, **worker)
    await desk.engine.start()
    desk.engine.seek(0, 0)
    await desk.worker.start()
    try:
        yield desk
    finally:
        await desk.worker.stop(grace=1.0)
        desk.logs.close()
