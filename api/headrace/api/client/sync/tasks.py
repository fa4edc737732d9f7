"""Task runs: listed, explained, retried, and what they wrote. A task run is named as everywhere: `price`, `price[7]`, `each.encode[2,1]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from headrace.api.client.models import (
    AttemptEntry,
    LogLine,
    LogPage,
    TaskCommanded,
    TaskInputs,
    TaskState,
    TaskWhy,
)
from headrace.api.client.sync.connection import Connection

LINES = 5_000
"""Lines of one answer."""


class Tasks:
    """`client.tasks`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, run: str, *, state: Sequence[str] = (), most: int | None = None) -> Iterator[TaskState]:
        """In the plan's order and, within a map, by index, with what they wait for; of many upstreams the twenty that matter most."""
        states = list(state) or None
        return self._connection.pages(TaskState, "runs", run, "tasks", most=most, state=states)

    def waiting(self, run: str, *, most: int | None = None) -> Iterator[TaskState]:
        """Those that have not ended, and why; in a run that has, those that did not succeed."""
        return self._connection.pages(TaskState, "runs", run, "why", most=most)

    def get(self, run: str, task: str) -> TaskState:
        """With all of its upstreams."""
        return self._connection.get(TaskState, "runs", run, "tasks", task)

    def why(self, run: str, task: str) -> TaskWhy:
        """Why it waits, or what decided it, in sentences too."""
        return self._connection.get(TaskWhy, "runs", run, "tasks", task, "why")

    # -- steering -----------------------------------------------------------------------------------------------------
    # `wait`: seconds that the server waits for an engine's decision. Raises ApiError 409 `refused` with the engine's words.

    def retry(self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0) -> TaskCommanded:
        """Try it again now; in a run that has ended, it and all that is downstream run again as a new generation."""
        return self.command(run, task, "retry", {"reason": reason}, wait=wait)

    def skip(self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0) -> TaskCommanded:
        """It is skipped."""
        return self.command(run, task, "skip", {"reason": reason}, wait=wait)

    def succeed(
        self, run: str, task: str, output: Any = None, reason: str | None = None, *, wait: float = 10.0
    ) -> TaskCommanded:
        """It counts as succeeded, with the `output` that downstream tasks read."""
        return self.command(run, task, "succeed", {"reason": reason, "output": output}, wait=wait)

    def cancel(self, run: str, task: str, reason: str | None = None, *, wait: float = 10.0) -> TaskCommanded:
        """What is downstream goes by its trigger rules."""
        return self.command(run, task, "cancel", {"reason": reason}, wait=wait)

    def command(
        self,
        run: str,
        task: str,
        action: Literal["retry", "skip", "succeed", "cancel"],
        body: Mapping[str, Any],
        *,
        wait: float = 10.0,
    ) -> TaskCommanded:
        """Any of these by its name, with the body that the route takes."""
        return self._connection.post(TaskCommanded, "runs", run, "tasks", task, action, body=body, wait=wait)

    # -- what they did ------------------------------------------------------------------------------------------------

    def attempts(self, run: str, task: str, *, most: int | None = None) -> Iterator[AttemptEntry]:
        """Those of every generation, in order."""
        return self._connection.pages(AttemptEntry, "runs", run, "tasks", task, "attempts", most=most)

    def logs(
        self, run: str, task: str, attempt: int, *, generation: int | None = None, last: int | None = None
    ) -> Iterator[LogLine]:
        """What an attempt has written so far; `generation`: the newest when left out; `last`: only so many lines of the end, one or
        more. Takes an operator."""
        path = ("runs", run, "tasks", task, "attempts", attempt, "logs")
        after = 0
        if last is not None:
            end = self._connection.get(LogPage, *path, generation=generation, last=min(last, LINES))
            if last <= LINES:
                for line in end.items:
                    yield line
                return
            after = max(end.next - last, 0)
        while True:
            found = self._connection.get(LogPage, *path, generation=generation, after=after, limit=LINES)
            for line in found.items:
                yield line
            if not found.more:
                return
            after = found.next

    def inputs(self, run: str, task: str) -> TaskInputs:
        """What it was given. Takes an operator."""
        return self._connection.get(TaskInputs, "runs", run, "tasks", task, "inputs")

    def output(self, run: str, task: str) -> Any:
        """Its output. Takes an operator. Raises ApiError 409 `task_not_final` before its end."""
        return self._connection.get(Any, "runs", run, "tasks", task, "output")
