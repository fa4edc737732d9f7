"""The station on a server: asked through the API. A server keeps what it is asked for to itself until an engine has decided."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.api.client.models import Gap, Moved
from headrace.cli import together
from headrace.cli.failure import Status, Stop
from headrace.cli.references import (
    ONCE_FOUND,
    beginning,
    is_whole_id,
    no_run,
    nothing_ran,
    one_of,
    written_of,
)
from headrace.cli.refusals import no_worker, paused
from headrace.cli.remote_backfills import RemoteBackfills
from headrace.cli.remote_letters import RemoteLetters
from headrace.cli.remote_lines import RemoteLines
from headrace.cli.remote_pools import RemotePools
from headrace.cli.remote_refusals import invalid, refused
from headrace.cli.remote_schedules import RemoteSchedules
from headrace.cli.remote_waits import RemoteWaits
from headrace.cli.remote_workflows import RemoteWorkflows
from headrace.cli.station import Explained, RunCommand, Seen, TaskAction

if TYPE_CHECKING:
    from headrace.api.client.aio.runs import Priority
    from headrace.api.shapes.operations import WorkerEntry
    from headrace.api.shapes.runs import DegradedCache, RunDetail, RunEntry, RunStatus
    from headrace.api.shapes.tasks import TaskRun, TaskState, TaskWhy
    from headrace.api.shapes.workflows import VersionDetail
    from headrace.engine.core.plan import Plan

T = TypeVar("T")

DECIDED_WITHIN = 30.0
"""Seconds in which a live engine must have decided about a command."""
LOOKED_THROUGH = 2_000
"""Runs that are looked through for those whose id begins as said: the server also finds what is named so."""
UPSTREAMS = 20
"""How many upstreams of a task a list tells; the task by itself tells all."""


class Moving(NamedTuple):
    """A change of a run or of one of its task runs, as displays take it."""

    at: float
    task: str | None
    before: str
    after: str
    reason: str | None
    attempt: int


class RemoteStation:
    """A server's API, in the project of its client."""

    owns = False

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._from: dict[str, int] = {}
        """Of runs that were begun here, and begun again, the generation from whose beginning they are watched."""
        self.workflows = RemoteWorkflows(client)
        self.schedules = RemoteSchedules(client)
        self.waits = RemoteWaits(client)
        self.pools = RemotePools(client)
        self.backfills = RemoteBackfills(client)
        self.lines = RemoteLines(client)
        self.letters = RemoteLetters(client)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def find(self, text: str) -> RunEntry:
        runs = self._client.runs
        if text == "last":
            newest = [run async for run in runs.list(most=1)]
            if not newest:
                raise nothing_ran()
            return newest[0]
        begins = beginning(text)
        if is_whole_id(text):
            try:
                return await runs.get(begins)
            except ApiError as error:
                raise no_run(text) if error.status == 404 else error from None
        found: list[RunEntry] = []
        async for run in runs.list(text=begins, most=LOOKED_THROUGH):
            if run.run.startswith(begins):
                found.append(run)
                if len(found) == ONCE_FOUND:
                    break
        return one_of(found, text)

    async def runs(self, *, workflow: str | None, state: str | None, limit: int) -> Sequence[RunEntry]:
        return [run async for run in self._client.runs.list(workflow=workflow, state=state, most=limit)]

    async def see(self, run: str) -> Seen:
        # the run first: one that has ended is never shown with tasks that have not
        detail = await self._client.runs.get(run)
        tasks: list[TaskRun] = [task async for task in self._client.tasks.list(run)]
        return Seen(await self._whole(detail), tasks, detail.set_aside)

    async def _whole(self, run: RunDetail) -> RunDetail:
        if run.output_size is None or run.redacted:
            return run
        return msgspec.structs.replace(run, output=await self._client.runs.output(run.run))

    async def status(self, text: str) -> RunStatus:
        run = text.lower() if is_whole_id(text) else (await self.find(text)).run
        try:
            return await self._client.runs.status(run)
        except ApiError as error:
            raise no_run(text) if error.status == 404 else error from None

    async def degraded(self) -> DegradedCache | None:
        return None

    async def explain(self, text: str, task: str | None, most: int | None) -> Explained:
        run = await self.find(text)
        if task is not None:
            return Explained(run, await self._task(run.run, task))
        waiting = [one async for one in self._client.tasks.waiting(run.run)]
        if (
            most is None
        ):  # programs take no sentences: only those with more upstreams than a list tells are asked about
            told = await together.each(waiting, lambda one: self._in_full(run.run, one))
        else:
            told = await together.each(
                waiting[:most], lambda one: self._client.tasks.why(run.run, written_of(one))
            )
        aside = (await self._client.runs.get(run.run)).set_aside
        return Explained(run, told, len(waiting) - len(told), aside)

    async def _task(self, run: str, task: str) -> Sequence[TaskWhy]:
        """One task run; all items of a mapped task that is named without an index."""
        tasks = self._client.tasks
        try:
            found = await tasks.why(run, task)
            if "[" in task or not await self._has(run, f"{task}[0]"):
                return [found]
        except ApiError as error:
            if error.code != "index" or "[" in task:
                raise refused(error) from None
        items = [one async for one in tasks.list(run) if one.id == task]
        return await together.each(items, lambda one: tasks.why(run, written_of(one)))

    async def _has(self, run: str, task: str) -> bool:
        try:
            await self._client.tasks.get(run, task)
        except ApiError as error:
            if error.status in (400, 404):
                return False
            raise
        return True

    async def _in_full(self, run: str, task: TaskState) -> TaskWhy:
        from headrace.api.shapes.tasks import TaskWhy

        if task.upstreams > len(task.upstream):
            return await self._client.tasks.why(run, written_of(task))
        return TaskWhy(**msgspec.structs.asdict(task), sentences=[])

    async def plan(self, run: RunEntry) -> Plan | None:
        from headrace.engine.shell.plans import build

        try:
            found = await self._client.runs.plan(run.run)
        except ApiError as error:
            if error.status == 403:
                return None
            raise
        return build(msgspec.json.encode(found.document))

    async def watch(self, run: RunEntry) -> AsyncGenerator[Moving, None]:
        generation = self._from.pop(run.run, 0)
        after = None if generation else "now"
        ended = False
        while not ended:
            ended = True
            async with aclosing(self._client.runs.events(run.run, after=after)) as events:
                async for event in events:
                    if isinstance(event, Moved) and event.generation >= generation:
                        at = datetime.fromisoformat(event.at).timestamp()
                        yield Moving(at, event.task, event.before, event.state, event.reason, event.attempt)
                    elif isinstance(event, Gap) and event.why == "slow" and event.from_:
                        after, ended = event.from_, False  # what was left out is read from there
                        break

    async def workers(self, *, queue: str | None, gone: bool) -> Sequence[WorkerEntry]:
        return [worker async for worker in self._client.workers(queue=queue, gone=gone)]

    async def drain_worker(self, worker: str) -> WorkerEntry:
        try:
            return await self._client.drain_worker(worker)
        except ApiError as error:
            raise no_worker(worker) if error.status == 404 else error from None

    # -- steering -----------------------------------------------------------------------------------------------------

    async def start(
        self,
        version: VersionDetail,
        plan: Plan,
        params: Mapping[str, Any],
        *,
        folder: str,
        priority: str | None,
        key: str | None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> RunEntry:
        try:
            run = await self._client.runs.trigger(
                version.name,
                params,
                version=version.version,
                priority=cast("Priority | None", priority),
                key=key,
                select=select,
                exclude=exclude,
            )
        except ApiError as error:
            if error.code == "workflow_paused":
                raise paused(version.name) from None
            raise invalid(error) from None
        if run.state == "queued":  # else it is one that had the key
            self._from[run.run] = 1
        return run

    async def command(self, run: RunEntry, kind: RunCommand, body: Mapping[str, Any]) -> RunEntry:
        try:
            now = await self._client.runs.command(run.run, kind, body, wait=DECIDED_WITHIN)
        except ApiError as error:
            raise refused(error) from None
        if kind == "rerun":
            if now.generation <= run.generation:
                raise undecided()
            self._from[run.run] = now.generation
        return now

    async def act(self, run: RunEntry, task: str, action: TaskAction, body: Mapping[str, Any]) -> str:
        try:
            told = await self._client.tasks.command(run.run, task, action, body, wait=DECIDED_WITHIN)
        except ApiError as error:
            raise refused(error) from None
        if not told.decided:
            raise undecided()
        self._from[run.run] = (await self._client.runs.get(run.run)).generation
        return told.task


def undecided() -> Stop:
    """The command is kept, and no engine has taken it."""
    return Stop(
        f"The engines have not taken the command within {DECIDED_WITHIN:.0f} s.",
        hint="The server keeps it, and it takes effect when one of them reads it.",
        status=Status.SERVICE,
    )
