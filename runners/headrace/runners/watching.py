"""A run's changes as they are committed: from the engine in this process, or from history when another one owns it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from headrace.engine.core.decision import Decision, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import written
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.store import Store
from headrace.engine.shell import history

EVERY = 0.1
"""Seconds between looks at another process's history."""


class Change(NamedTuple):
    """One committed move of the run (`task` None) or of a task run, named as written. `at`: seconds since the epoch."""

    at: float
    task: str | None
    before: str
    after: str
    reason: str | None
    attempt: int


def changes(plan: Plan, at: float, transitions: Iterable[Transition]) -> list[Change]:
    """Moves of task runs; groups are left out, and so is the expansion of a map."""
    return [
        Change(
            at,
            written(plan.ids[t.key.task], t.key.map),
            TaskState(t.before).word,
            TaskState(t.after).word,
            t.reason,
            t.attempt,
        )
        for t in transitions
        if t.key.task not in plan.members and not (t.reason == "expanded" and t.after == TaskState.WAITING)
    ]


class Watched:
    """One watcher of one run in this process: fed by the engine after each commit."""

    def __init__(self, plan: Plan, run: int, state: RunState) -> None:
        self.plan, self.run, self.state = plan, run, state
        self._queue: asyncio.Queue[list[Change] | BaseException] = asyncio.Queue()

    def heard(self, run: int, decision: Decision) -> None:
        """The engine's listener."""
        if run != self.run:
            return
        at = decision.events[-1].at if decision.events else 0.0
        found = changes(self.plan, at, decision.transitions)
        if decision.run is not None and decision.run.state is not self.state:
            found.append(Change(at, None, self.state.word, decision.run.state.word, decision.run.reason, 0))
            self.state = decision.run.state
        if found:
            self._queue.put_nowait(found)

    def broke(self, engine: asyncio.Task[None]) -> None:
        """The engine ended before the run did; whoever follows gets its fault."""
        fault = None if engine.cancelled() else engine.exception()
        self._queue.put_nowait(fault or RuntimeError("the engine has stopped"))

    async def follow(self) -> AsyncIterator[Change]:
        """Until the run is final. Raises the engine's fault when it breaks before."""
        if self.state.final:
            return
        while True:
            heard = await self._queue.get()
            if isinstance(heard, BaseException):
                raise heard
            for change in heard:
                yield change
                if change.task is None and RunState[change.after.upper()].final:
                    return


class _Nothing:
    """History without its payloads."""

    def output(self, digest: bytes) -> bytes | None:
        return None

    def artifact(self, digest: str) -> Artifact | None:
        return None


async def follow_history(store: Store, plan: Plan, run: int) -> AsyncIterator[Change]:
    """Until the run is final, by looking at what its owner commits."""
    row = await store.run(run)
    assert row is not None
    state, seq = RunState(row.state), row.seq
    while not state.final:
        for entry in await store.history(run, after=seq):
            seq = entry.seq
            recorded = history.decode(entry.body, _Nothing())
            for change in changes(plan, entry.at, recorded.transitions):
                yield change
            if recorded.run is not None and RunState(recorded.run["state"]) is not state:
                after = RunState(recorded.run["state"])
                yield Change(entry.at, None, state.word, after.word, recorded.run["reason"], 0)
                state = after
        if not state.final:
            await asyncio.sleep(EVERY)
