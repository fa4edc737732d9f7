"""Task runs: how they stand, why, and what is asked of one of them."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.looking import snapshot_of, spot_of, states_page
from headrace.api.asking.looking import why as why_of
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page
from headrace.api.routes.commanded import TO_TASK, ToTask, live
from headrace.api.routes.queried import Indexes
from headrace.api.shapes.tasks import (
    SucceedBody,
    TaskBody,
    TaskCommanded,
    TaskState,
    TaskStateWord,
    TaskWhy,
)
from headrace.engine.core import states
from headrace.engine.core.states import RunState

_WAITING = frozenset(state for state in states.TaskState if not state.final)
_UNSUCCESSFUL = frozenset(states.TaskState) - {states.TaskState.SUCCEEDED, states.TaskState.REMOVED}


@get("/runs/{run:str}/tasks", opt=VIEWER, summary="The task runs of a run, with what they wait for")
async def list_tasks(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    in_state: Annotated[list[TaskStateWord] | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[TaskState]:
    """In the plan's order and, within a map, by index. `state` may be given several times. A task has at most twenty of its
    upstreams told here, those first that are in the way or that decided; the task by itself tells all."""
    wanted = frozenset(states.TaskState[word.upper()] for word in in_state) if in_state else None
    return await states_page(office, await snapshot_of(office, asker.project, run), wanted, cursor, limit)


@get("/runs/{run:str}/why", opt=VIEWER, summary="Every task run that waits, and why")
async def why_run(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[TaskState]:
    """Those that have not ended. In a run that has ended: those that did not succeed, and what decided that."""
    snapshot = await snapshot_of(office, asker.project, run)
    wanted = _UNSUCCESSFUL if RunState(snapshot.run.state).final else _WAITING
    return await states_page(office, snapshot, wanted, cursor, limit)


@get("/runs/{run:str}/tasks/{task:str}", opt=VIEWER, summary="One task run")
async def get_task(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    index: Indexes = None,
) -> TaskState:
    """With all of its upstreams. An item of a map is named by its `index`, `2,1` within two; without one it is the map itself."""
    snapshot = await snapshot_of(office, asker.project, run)
    return await why_of(office, snapshot, spot_of(snapshot, task, index), sentences=False)


@get("/runs/{run:str}/tasks/{task:str}/why", opt=VIEWER, summary="Why a task run waits, or what decided it")
async def why_task(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    index: Indexes = None,
) -> TaskWhy:
    """From the same functions that decide. `sentences` say it to people, the most telling first."""
    snapshot = await snapshot_of(office, asker.project, run)
    return await why_of(office, snapshot, spot_of(snapshot, task, index))


@post(
    "/runs/{run:str}/tasks/{task:str}/retry",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_TASK,
    summary="Try a task again now",
)
async def retry_task(
    to_task: NamedDependency[ToTask],
    data: JSONBody[TaskBody | None] = None,
) -> Response[TaskCommanded]:
    """One that waits for its next attempt or poll gets it at once. In a run that has ended, the task and all that is downstream of it run
    again as a new generation. 202 when the command is kept; with `wait` (10s) when an engine has decided, or 409 `refused`
    with the engine's words."""
    return await to_task.tell("retry", data or TaskBody(), None)


@post(
    "/runs/{run:str}/tasks/{task:str}/cancel",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_TASK,
    summary="Cancel one task run",
)
async def cancel_task(
    to_task: NamedDependency[ToTask],
    data: JSONBody[TaskBody | None] = None,
) -> Response[TaskCommanded]:
    """What is downstream goes by its trigger rules. 409 `run_final` when the run has ended; `wait` as for retry."""
    return await to_task.tell("cancel", data or TaskBody(), live)


@post(
    "/runs/{run:str}/tasks/{task:str}/skip",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_TASK,
    summary="Skip a task that has not ended",
)
async def skip_task(
    to_task: NamedDependency[ToTask],
    data: JSONBody[TaskBody | None] = None,
) -> Response[TaskCommanded]:
    """409 `run_final` when the run has ended; `wait` as for retry."""
    return await to_task.tell("skip", data or TaskBody(), live)


@post(
    "/runs/{run:str}/tasks/{task:str}/succeed",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_TASK,
    summary="Count a task as succeeded",
)
async def succeed_task(
    to_task: NamedDependency[ToTask],
    data: JSONBody[SucceedBody | None] = None,
) -> Response[TaskCommanded]:
    """With the `output` that downstream tasks are to read. 409 `run_final` when the run has ended; `wait` as for retry."""
    given = data or SucceedBody()
    return await to_task.tell("succeed", given, live, {"output": given.output})


ROUTES = [list_tasks, why_run, get_task, why_task, retry_task, cancel_task, skip_task, succeed_task]
