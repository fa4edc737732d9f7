"""What is asked of one run: stop, pause, go on, begin again."""

from __future__ import annotations

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from headrace.api.access.guarding import OPERATOR
from headrace.api.asking.finding import SHOWN, plan_of, version_of
from headrace.api.problems import Problem
from headrace.api.routes.commanded import TO_RUN, ToRun, live
from headrace.api.shapes.runs import CancelBody, RerunBody, RunEntry
from headrace.api.showing.documents import state_word
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.commands import Refused, key_of


@post(
    "/runs/{run:str}/cancel",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_RUN,
    summary="Cancel a run; its teardowns still run",
)
async def cancel_run(
    to: NamedDependency[ToRun],
    data: JSONBody[CancelBody | None] = None,
) -> Response[RunEntry]:
    """202 when the command is kept. With `wait` (10s) the answer comes when an engine has decided, with the run as it is then, or
    409 `refused` with the engine's words. 409 `run_final` when it has ended."""
    given = {"reason": data.reason if data else None}
    return await to.tell("cancel", given, live)


@post(
    "/runs/{run:str}/kill",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_RUN,
    summary="End a run at once; nothing more runs",
)
async def kill_run(
    to: NamedDependency[ToRun],
    data: JSONBody[CancelBody | None] = None,
) -> Response[RunEntry]:
    """As cancel, without its teardowns; a run that is being cancelled can still be killed."""
    given = {"reason": data.reason if data else None}
    return await to.tell("kill", given, live)


@post(
    "/runs/{run:str}/pause",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_RUN,
    summary="Start nothing more until resumed",
)
async def pause_run(
    to: NamedDependency[ToRun],
) -> Response[RunEntry]:
    """What runs already goes on. `wait` as for cancel."""
    return await to.tell("pause", {}, live)


@post(
    "/runs/{run:str}/resume",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_RUN,
    summary="Go on with a paused run",
)
async def resume_run(
    to: NamedDependency[ToRun],
) -> Response[RunEntry]:
    """`wait` as for cancel."""
    return await to.tell("resume", {}, live)


@post(
    "/runs/{run:str}/rerun",
    opt=OPERATOR,
    status_code=202,
    dependencies=TO_RUN,
    summary="Run what failed again, or the tasks named",
)
async def rerun_run(
    to: NamedDependency[ToRun],
    data: JSONBody[RerunBody | None] = None,
) -> Response[RunEntry]:
    """Everything downstream of them runs again too, as a new generation; the old attempts stay to be read. 409 `run_not_final`
    while the run lives; 422 for a task that its plan has not."""
    wanted = data or RerunBody()
    row = await to.row()
    if isinstance(wanted.version, int):
        await version_of(to.office, to.asker.project, row.workflow, wanted.version)
    named: str | list[str] = wanted.from_
    if isinstance(named, list):
        _check_tasks(await plan_of(to.office, row.plan), named)
    given = {"from": named, "inputs": wanted.inputs, "version": wanted.version}
    detail = {"from": named, "version": wanted.version, "inputs": sorted(wanted.inputs or ())}
    return await to.tell("rerun", given, _ended, row=row, detail=detail)


def _check_tasks(plan: Plan, named: list[str]) -> None:
    """Raises Problem (422) with everything of `from` that is no task run which the plan can have."""
    problems = [] if named else [{"field": "from", "message": "It names no task."}]
    for place, task in enumerate(named):
        try:
            key_of(plan, task)
        except Refused as refused:
            problems.append({"field": f"from.{place}", "message": str(refused)})
    if problems:
        raise Problem(422, "invalid", problems[0]["message"], problems=problems[:SHOWN])


def _ended(row: RunRow) -> None:
    """Raises Problem (409)."""
    if not RunState(row.state).final:
        raise Problem(
            409,
            "run_not_final",
            f"The run has not ended: it is {state_word(row)}. Wait for it, or cancel it first.",
            run=row.id,
            state=state_word(row),
        )


ROUTES = [cancel_run, kill_run, pause_run, resume_run, rerun_run]
