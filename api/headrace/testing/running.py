"""Running a workflow for a test."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.engine.core.keys import pack, written
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Json, Workflow
from headrace.engine.ports.broker import WorkerSide
from headrace.engine.shell.clock import Clock, SystemClock, VirtualClock
from headrace.engine.shell.rows import artifact_of
from headrace.engine.shell.views import run_view
from headrace.runners.embedded import Embedded
from headrace.testing.mocking import Mock, MockedSide


@dataclass(frozen=True)
class TaskResult:
    """One task run as it ended. `output` is None unless it succeeded."""

    state: str
    reason: str | None
    attempts: int
    output: Json
    error: Mapping[str, str] | None


@dataclass(frozen=True)
class Result:
    """A run as it ended. `tasks` is keyed as task runs are written: "extract", "price[7]"."""

    state: str
    reason: str | None
    output: Json
    params: Mapping[str, Json]
    tasks: Mapping[str, TaskResult]


class RunFailed(Exception):
    """Raised by `WorkflowFunction.run` when the run did not succeed. `result` is the run."""

    def __init__(self, result: Result) -> None:
        self.result = result
        failed = [
            f"{name}: {task.error['message'] if task.error else task.reason}"
            for name, task in result.tasks.items()
            if task.state == "failed"
        ]
        super().__init__(f"The run ended {result.state} ({result.reason}). " + "; ".join(failed))


def run(
    flow: Any,
    params: Mapping[str, Json] | None = None,
    *,
    mocks: Mapping[Any, Mock] | None = None,
    folder: str | Path | None = None,
    virtual_time: bool = True,
) -> Result:
    """Run a workflow to its end and tell how it ended; a failed run is a result, not an exception.

    Args:
        flow: a `@workflow` function, a Workflow value, or the path of a file (`FILE.py:name` for one of several).
        params: its parameters.
        mocks: by task id, item (`price[7]`) or task function: what stands in for the task.
        folder: where its code and files are looked up; by default beside the file that defines it.
        virtual_time: sleeps, retries and deadlines take no time while nothing runs.

    Raises InvalidWorkflow when the workflow or the parameters are invalid.
    """
    return asyncio.run(arun(flow, params, mocks=mocks, folder=folder, virtual_time=virtual_time))


async def arun(
    flow: Any,
    params: Mapping[str, Json] | None = None,
    *,
    mocks: Mapping[Any, Mock] | None = None,
    folder: str | Path | None = None,
    virtual_time: bool = True,
) -> Result:
    """`run` for asynchronous tests."""
    plan, found = planned(flow)
    named = {_name(key): mock for key, mock in (mocks or {}).items()}

    def mocked(side: WorkerSide) -> WorkerSide:
        return MockedSide(side, named) if named else side

    clock: Clock = VirtualClock() if virtual_time else SystemClock()
    with tempfile.TemporaryDirectory(prefix="headrace-test-") as home:
        async with Embedded.open(Path(home), clock=clock, side=mocked) as embedded:
            row = await embedded.submit(
                plan,
                params or {},
                trigger={"kind": "manual", "by": "test"},
                folder=str(folder) if folder is not None else found,
            )
            async for _ in embedded.watch(row):
                pass
            return await _result(embedded, row.no, plan)


def run_workflow(flow: Any, params: Mapping[str, Json]) -> Json:
    """What `WorkflowFunction.run` does: run in real time and give the output. Raises RunFailed."""
    result = run(flow, params, virtual_time=False)
    if result.state != RunState.SUCCEEDED.word:
        raise RunFailed(result)
    return result.output


def planned(flow: Any) -> tuple[Plan, str | None]:
    """The plan of what was given, and the folder of its file if it has one."""
    from headrace.dsl import source
    from headrace.engine.core.planning import build_plan

    if isinstance(flow, Workflow):
        return build_plan(flow)[0], None
    if isinstance(flow, str | Path):
        path, _, name = str(flow).partition(":")
        found = source.load(path, name or None)[0]
        return source.plan(found).plan, found.folder
    code = flow.fn.__code__
    return build_plan(flow.build())[0], str(Path(code.co_filename).resolve().parent)


def _name(key: Any) -> str:
    """A task's id, or the name of the function that it runs."""
    return key if isinstance(key, str) else str(key.fn.__name__)


async def _result(embedded: Embedded, no: int, plan: Plan) -> Result:
    artifacts = embedded.artifacts
    view = await run_view(embedded.store, no, plan, artifacts)
    outputs: dict[tuple[int, int], bytes | None] = {}
    for row in await embedded.store.task_rows(no):
        kept = artifact_of(row.artifact)
        outputs[row.task, row.map] = row.output if kept is None else await artifacts.get(kept)
    tasks = {}
    for task in view.tasks:
        output = outputs.get((plan.index[task.id], pack(task.map_path)))
        tasks[written(task.id, pack(task.map_path))] = TaskResult(
            task.state,
            task.reason,
            task.attempts,
            json.loads(output) if output is not None and task.state == "succeeded" else None,
            task.error,
        )
    run = view.run
    output = json.loads(run.output) if run.output is not None else None
    return Result(RunState(run.state).word, run.reason, output, json.loads(run.params), tasks)
