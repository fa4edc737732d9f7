"""Stands in for the engine in tests of workers: sends dispatches over any broker, gathers reports and beats."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.messages import (
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Job,
    Limits,
    Report,
    Reports,
)

Key = tuple[int, int, int, int, int]
ME = "w"


def python(function: str, **more: Any) -> Job:
    return job("python", {"function": function}, **more)


def shell(run: str, **more: Any) -> Job:
    return job("shell", {"run": run, "interpreter": ["bash", "-eo", "pipefail", "-c"], "cwd": None}, **more)


def job(kind: str, work: dict[str, Any], *, limits: Limits | None = None, **more: Any) -> Job:
    workflow = more.pop("workflow", "flow")
    return Job(workflow, more.pop("task_id", "task"), kind, work, limits or Limits(grace=2.0), **more)


def key_of(item: Dispatch) -> Key:
    return (item.run, item.generation, item.task, item.map, item.attempt)


def report_key(item: Report) -> Key:
    return (item.run, item.generation, item.task, item.map, item.attempt)


class Office:
    """Args:
    engine: a started side that reads the parts of the test.
    to, queue, inbox, part: whom it writes to unless told otherwise.
    """

    def __init__(
        self, engine: EngineSide, *, to: str = ME, queue: str = "default", inbox: int = 0, part: int = 0
    ) -> None:
        self.engine = engine
        self.to, self.queue, self.inbox, self.part = to, queue, inbox, part
        self.reports: list[Report] = []
        self.alive: list[Alive] = []
        self.heard: list[Report | Alive] = []
        self.beats: list[Beat] = []
        self.reporters: dict[Key, list[str]] = {}
        """By key, who reported: worker ids in order of arrival."""
        self._fresh: list[Report] = []
        self._next = 0

    def make(
        self, job: Job, inputs: dict[str, Any] | None = None, *, task: int | None = None, **more: Any
    ) -> Dispatch:
        if task is None:
            self._next += 1
            task = self._next
        given = {"generation": 0, "map": 0, "attempt": 1, "epoch": 1, "n": 1, **more}
        return Dispatch(1, "run-1", task=task, job=job, inputs=inputs or {}, **given)

    def send(
        self,
        *items: Dispatch,
        epoch: int = 1,
        to: str | None = None,
        part: int | None = None,
        queue: str | None = None,
    ) -> None:
        message = Dispatches(to or self.to, self.part if part is None else part, epoch, list(items))
        self.engine.send(queue or self.queue, self.inbox, message)

    def abort(self, *items: Dispatch, grace: float = 2.0, epoch: int = 1) -> None:
        deliveries = [(item.epoch, item.n) for item in items]
        message = Abort(self.to, self.part, epoch, [key_of(item) for item in items], grace, deliveries)
        self.engine.send(self.queue, self.inbox, message)

    def ask(self, *items: Dispatch, epoch: int = 1, queue: str | None = None) -> None:
        keys = [key_of(item) for item in items] if items else None
        deliveries = [(item.epoch, item.n) for item in items]
        self.engine.send(queue or self.queue, self.inbox, Ask(self.to, self.part, epoch, keys, deliveries))

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

    async def beat(self, of: str | None = None, within: float = 30.0) -> Beat:
        """The next beat, or the newest of those that are there; `of`: that worker's."""
        async with asyncio.timeout(within):
            while True:
                told = [each for each in self.engine.heard() if isinstance(each, Beat)]
                self.beats += told
                if mine := [each for each in told if of in (None, each.worker)]:
                    return mine[-1]
                await self._gather()

    async def _gather(self) -> None:
        for arrived in await self.engine.receive(None):
            message = arrived.message
            if isinstance(message, Alive):
                self.alive.append(message)
                self.heard.append(message)
            elif isinstance(message, Reports):
                for item in message.items:
                    self.reporters.setdefault(report_key(item), []).append(message.worker)
                self.reports += message.items
                self.heard += message.items
                self._fresh += message.items

    async def report_of(self, dispatch: Dispatch, within: float = 30.0) -> Report:
        """Its last report."""
        async with asyncio.timeout(within):
            while True:
                for report in self.reports:
                    if report_key(report) == key_of(dispatch) and report.kind not in (
                        "started",
                        "handed_back",
                    ):
                        return report
                await self._gather()
