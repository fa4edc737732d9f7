"""The station on a server: asked through the API. A server keeps what it is asked for to itself until an engine has decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.api.client.models import End, Line, Moved
from headrace.cli.failure import Status, Stop
from headrace.cli.references import (
    ONCE_FOUND,
    TaskRef,
    beginning,
    is_whole_id,
    no_run,
    nothing_ran,
    one_of,
    task_ref,
    written_of,
)
from headrace.cli.refusals import no_version, no_workflow, paused
from headrace.cli.remote_letters import RemoteLetters
from headrace.cli.station import Explained, RunCommand, Seen, TaskAction
from headrace.engine.core.problems import InvalidWorkflow, Place, Problem

if TYPE_CHECKING:
    from headrace.api.client.aio.runs import Priority
    from headrace.api.shapes.operations import WorkerEntry
    from headrace.api.shapes.runs import DegradedCache, RunDetail, RunEntry, RunStatus
    from headrace.api.shapes.tasks import TaskRun, TaskState, TaskWhy
    from headrace.api.shapes.workflows import VersionDetail, VersionDiff, VersionEntry, WorkflowEntry
    from headrace.engine.core.plan import Plan

T = TypeVar("T")

DECIDED_WITHIN = 30.0
"""Seconds in which a live engine must have decided about a command."""
TOGETHER = 8
"""Requests under way at once where there are many."""
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
        tasks: list[TaskRun] = [task async for task in self._client.tasks.list(run)]
        detail = await self._client.runs.get(run)
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
            told = await _each(waiting, lambda one: self._in_full(run.run, one))
        else:
            told = await _each(waiting[:most], lambda one: self._client.tasks.why(run.run, written_of(one)))
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
        return await _each(items, lambda one: tasks.why(run, written_of(one)))

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
        generation = self._from.pop(run.run, None)
        after = "now" if generation is None else None
        async with aclosing(self._client.runs.events(run.run, after=after)) as events:
            async for event in events:
                if isinstance(event, Moved) and event.generation >= (generation or 0):
                    at = datetime.fromisoformat(event.at).timestamp()
                    yield Moving(at, event.task, event.before, event.state, event.reason, event.attempt)
                elif isinstance(event, End):
                    return

    async def lines(self, run: RunEntry, task: TaskRef | None, attempt: int | None) -> Sequence[Line]:
        found = [one async for one in self._client.tasks.list(run.run)]
        if task is not None:
            task_ref(str(task), {one.id for one in found})
        wanted = [
            (written_of(one), one.generation, number)
            for one in found
            if one.generation == run.generation and named_by(task, one)
            for number in (range(1, one.attempts + 1) if attempt is None else (attempt,))
        ]
        several = await _each(wanted, lambda which: self._wrote(run.run, *which))
        lines = [line for wrote in several for line in wrote]
        lines.sort(key=lambda line: line.at)  # stable: lines of one attempt stay in the order of writing
        return lines

    async def _wrote(self, run: str, task: str, generation: int, attempt: int) -> list[Line]:
        return [
            Line(task, generation, attempt, line.number, line.at, line.stream, line.text)
            async for line in self._client.tasks.logs(run, task, attempt, generation=generation)
        ]

    async def follow_lines(self, run: RunEntry) -> AsyncGenerator[Line, None]:
        async with aclosing(self._client.runs.logs(run.run)) as events:
            async for event in events:
                if isinstance(event, Line):
                    yield event

    async def last_lines(self, run: str, task: TaskRun, most: int) -> Sequence[str]:
        try:
            wrote = await self._wrote(run, written_of(task), task.generation, max(task.attempts, 1))
        except ApiError as error:
            if error.status == 403:  # who may not see logs is told the rest
                return []
            raise
        return [line.text for line in wrote[-most:]]

    async def workers(self, *, queue: str | None, gone: bool) -> Sequence[WorkerEntry]:
        return [worker async for worker in self._client.workers(queue=queue, gone=gone)]

    # -- workflows ----------------------------------------------------------------------------------------------------

    async def workflows(self) -> Sequence[WorkflowEntry]:
        return [workflow async for workflow in self._client.workflows.list()]

    async def versions(self, name: str) -> Sequence[VersionEntry]:
        try:
            return [version async for version in self._client.workflows.versions(name)]
        except ApiError as error:
            raise await self._unknown(error, name) from None

    async def version(self, name: str, number: int | None) -> VersionDetail:
        known = [version.version for version in await self.versions(name)]
        wanted = known[0] if number is None else number
        if wanted not in known:
            raise no_version(name, wanted, sorted(known))
        return await self._client.workflows.version(name, wanted)

    async def diff(self, name: str, from_: int | None, to: int | None) -> VersionDiff:
        known = sorted(version.version for version in await self.versions(name))
        for number in (from_, to):
            if number is not None and number not in known:
                raise no_version(name, number, known)
        return await self._client.workflows.diff(name, from_, to)

    async def set_paused(self, name: str, paused: bool) -> WorkflowEntry:
        workflows = self._client.workflows
        try:
            return await (workflows.pause(name) if paused else workflows.resume(name))
        except ApiError as error:
            raise await self._unknown(error, name) from None

    async def register(self, plan: Plan) -> VersionEntry:
        from headrace.runners.authored import version_row

        document = msgspec.json.decode(version_row(plan, "", 0.0).document)
        try:
            return cast("VersionEntry", await self._client.workflows.register(document))
        except ApiError as error:
            raise invalid(error) from None

    async def _unknown(self, error: ApiError, name: str) -> Exception:
        if error.status != 404:
            return error
        return no_workflow(name, {entry.name for entry in await self.workflows()})

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
    ) -> RunEntry:
        try:
            run = await self._client.runs.trigger(
                version.name,
                params,
                version=version.version,
                priority=cast("Priority | None", priority),
                key=key,
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


def named_by(ref: TaskRef | None, task: TaskRun) -> bool:
    """Whether a task run is meant: one that is named without an index means all of its items."""
    return ref is None or (task.id == ref.task and tuple(task.map_path[: len(ref.items)]) == ref.items)


def refused(error: ApiError) -> Exception:
    """What the server, or an engine, said against a command."""
    return Stop(error.detail) if error.status in (400, 404, 409, 422) else error


def undecided() -> Stop:
    """The command is kept, and no engine has taken it."""
    return Stop(
        f"The engines have not taken the command within {DECIDED_WITHIN:.0f} s.",
        hint="The server keeps it, and it takes effect when one of them reads it.",
        status=Status.SERVICE,
    )


def invalid(error: ApiError) -> Exception:
    """What is wrong with a workflow or its parameters, as a check here would say it."""
    if error.status != 422 or not error.problems or "code" not in error.problems[0]:
        return refused(error)
    told = [
        Problem(
            code=one["code"],
            message=one["message"],
            hint=one.get("hint"),
            path=tuple(one.get("path") or ()),
            task=one.get("task"),
            place=Place(one.get("file"), one.get("line"), one.get("column")) if one.get("line") else None,
        )
        for one in error.problems
    ]
    return InvalidWorkflow(told)


async def _each(items: Sequence[Any], ask: Any) -> list[Any]:
    """An answer for each, some of them asked for at once."""
    room = asyncio.Semaphore(TOGETHER)

    async def one(item: Any) -> Any:
        async with room:
            return await ask(item)

    return list(await asyncio.gather(*map(one, items)))
