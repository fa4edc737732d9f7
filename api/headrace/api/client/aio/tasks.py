"""Task runs: listed, explained, retried, and what they wrote. A task run is named as everywhere: `price`, `price[7]`, `each.encode[2,1]`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import (
    AttemptEntry,
    LogLine,
    LogPage,
    TaskCommanded,
    TaskInputs,
    TaskState,
    TaskWhy,
)

LINES = 5_000
"""Lines of one answer."""


class AsyncTasks:
    """`client.tasks`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(
        self, run: str, *, state: Sequence[str] = (), most: int | None = None
    ) -> AsyncIterator[TaskState]:
        """In the plan's order and, within a map, by index, with what they wait for; of many upstreams the twenty that matter most."""
        states = list(state) or None
        return self._connection.pages(TaskState, "runs", run, "tasks", most=most, state=states)

    def waiting(self, run: str, *, most: int | None = None) -> AsyncIterator[TaskState]:
        """Those that have not ended, and why; in a run that has, those that did not succeed."""
        return self._connection.pages(TaskState, "runs", run, "why", most=most)

    async def get(self, run: str, task: str) -> TaskState:
        """With all of its upstreams."""
        return await self._connection.get(TaskState, "runs", run, "tasks", task)

    async def why(self, run: str, task: str) -> TaskWhy:
        """Why it waits, or what decided it, in sentences too."""
        return await self._connection.get(TaskWhy, "runs", run, "tasks", task, "why")

    # -- steering -----------------------------------------------------------------------------------------------------
    # `wait`: seconds that the server waits for an engine's decision. Raises ApiError 409 `refused` with the engine's words.

    async def retry(
        self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0
    ) -> TaskCommanded:
        """Try it again now; in a run that has ended, it and all that is downstream run again as a new generation."""
        return await self.command(run, task, "retry", {"reason": reason}, wait=wait)

    async def skip(
        self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0
    ) -> TaskCommanded:
        """It is skipped."""
        return await self.command(run, task, "skip", {"reason": reason}, wait=wait)

    async def succeed(
        self, run: str, task: str, output: Any = None, reason: str | None = None, *, wait: float = 10.0
    ) -> TaskCommanded:
        """It counts as succeeded, with the `output` that downstream tasks read."""
        return await self.command(run, task, "succeed", {"reason": reason, "output": output}, wait=wait)

    async def cancel(
        self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0
    ) -> TaskCommanded:
        """What is downstream goes by its trigger rules."""
        return await self.command(run, task, "cancel", {"reason": reason}, wait=wait)

    async def command(
        self,
        run: str,
        task: str,
        action: Literal["retry", "skip", "succeed", "cancel"],
        body: Mapping[str, Any],
        *,
        wait: float = 10.0,
    ) -> TaskCommanded:
        """Any of these by its name, with the body that the route takes."""
        return await self._connection.post(
            TaskCommanded, "runs", run, "tasks", task, action, body=body, wait=wait
        )

    # -- what they did ------------------------------------------------------------------------------------------------

    def attempts(self, run: str, task: str, *, most: int | None = None) -> AsyncIterator[AttemptEntry]:
        """Those of every generation, in order."""
        return self._connection.pages(AttemptEntry, "runs", run, "tasks", task, "attempts", most=most)

    async def logs(
        self, run: str, task: str, attempt: int, *, generation: int | None = None, last: int | None = None
    ) -> AsyncIterator[LogLine]:
        """What an attempt has written so far; `generation`: the newest when left out; `last`: only so many lines of the end, one or
        more. Takes an operator."""
        path = ("runs", run, "tasks", task, "attempts", attempt, "logs")
        after = 0
        if last is not None:
            end = await self._connection.get(LogPage, *path, generation=generation, last=min(last, LINES))
            if last <= LINES:
                for line in end.items:
                    yield line
                return
            after = max(end.next - last, 0)
        while True:
            found = await self._connection.get(
                LogPage, *path, generation=generation, after=after, limit=LINES
            )
            for line in found.items:
                yield line
            if not found.more:
                return
            after = found.next

    async def inputs(self, run: str, task: str) -> TaskInputs:
        """What it was given. Takes an operator."""
        return await self._connection.get(TaskInputs, "runs", run, "tasks", task, "inputs")

    async def output(self, run: str, task: str) -> Any:
        """Its output. Takes an operator. Raises ApiError 409 `task_not_final` before its end."""
        return await self._connection.get(Any, "runs", run, "tasks", task, "output")
