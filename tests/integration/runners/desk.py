"""A worker under test, and a desk that stands in for the engine: sends dispatches, gathers reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headrace.engine.artifacts import FileArtifacts, FileLogs
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.ports.messages import Hole, Job, Report
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.worker import Worker
from tests.support.office import ME, Key, Office, job, key_of, python, report_key, shell

__all__ = ["ME", "TASKS", "Desk", "Key", "job", "key_of", "module", "opened", "python", "report_key", "shell"]

TASKS = """
import threading, time
from pathlib import Path
gate = threading.Event()
entered = threading.Event()
calls = []
def noop(): pass
def count(): calls.append(1); return len(calls)
def wait():
    entered.set()
    while not gate.wait(0.005): pass
    return "done"
def stubborn():
    entered.set()
    while True:
        try:
            while not gate.wait(0.005): pass
            return
        except BaseException:
            pass
def fail(): raise ValueError("no")
async def anoop(): pass
"""


class Desk(Office):
    """Args:
    folder: holds code in `app/`, artifacts, logs, the worker's state.
    """

    def __init__(self, folder: Path, **worker: Any) -> None:
        self.folder = folder
        self.app = folder / "app"
        self.app.mkdir(exist_ok=True)
        self.broker = MemoryBroker()
        super().__init__(self.broker.engine_side())
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

    def write(self, name: str, text: str) -> None:
        """A file beside the workflow."""
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

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


def module(desk: Desk):  # type: ignore[no-untyped-def]
    """The users' module as the worker has imported it."""
    from headrace.runners.modules import Folder

    return Folder.at(str(desk.app)).load("tasks")
