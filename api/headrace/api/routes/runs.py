"""Runs to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.finding import run_of
from headrace.api.asking.giving import given_out
from headrace.api.asking.listing import found_by
from headrace.api.asking.waiting import patience, until_final
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import Problem, missing
from headrace.api.shapes.runs import (
    NAME,
    TEXT,
    RunDetail,
    RunEntry,
    RunFilter,
    RunStateWord,
    RunStatus,
    run_detail,
    run_entry,
    run_status,
)
from headrace.api.shapes.workflows import PlanDetail
from headrace.api.veiling import Veil
from headrace.engine.core.states import RunState
from headrace.engine.shell.aside import set_aside
from headrace.engine.shell.rows import artifact_of
from headrace.engine.shell.standing import status_of
from headrace.engine.shell.views import RunUnknown

PIECE = 64 * 1024
"""Bytes that are sent at a time."""


@get("/runs", opt=VIEWER, summary="Runs, newest first")
async def list_runs(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    workflow: Annotated[str | None, QueryParameter(pattern=NAME)] = None,
    in_state: Annotated[RunStateWord | None, QueryParameter(name="state")] = None,
    tag: Annotated[str | None, QueryParameter(min_length=1, max_length=500, pattern=TEXT)] = None,
    created_after: FromQuery[str | None] = None,
    created_before: FromQuery[str | None] = None,
    text: Annotated[str | None, QueryParameter(min_length=1, max_length=500, pattern=TEXT)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[RunEntry]:
    """Those for which everything given is true. `text`: how the workflow's name, the run's id or its key begins."""
    wanted = RunFilter(
        workflow=workflow,
        state=in_state,
        tag=tag,
        created_after=created_after,
        created_before=created_before,
        text=text,
    )
    before = place_of(cursor, int)
    rows = await found_by(office, asker.project, wanted, before=before, limit=limit + 1)
    veil = Veil(asker.role, office.secrets)
    listed = page(rows, limit, lambda row: row.no)
    return Page([run_entry(row, veil) for row in listed.items], listed.next)


@get("/runs/{run:str}", opt=VIEWER, summary="One run")
async def get_run(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    wait: FromQuery[str | None] = None,
) -> RunDetail:
    """With `wait` (30s, at most a minute) the answer comes when the run has ended, or as it stands when the time is up. An
    output of more than 64 KiB is read from `/output`."""
    seconds = patience(wait)
    row = await until_final(office, await run_of(office, asker.project, run), seconds)
    kept = artifact_of(row.artifact)
    aside = None if RunState(row.state).final else await set_aside(office.store, row)
    veil = Veil(asker.role, office.secrets)
    return run_detail(row, veil, None if kept is None else kept.size, aside)


@get("/runs/{run:str}/status", opt=VIEWER, summary="How a run stands")
async def get_status(
    office: NamedDependency[Office], asker: NamedDependency[Asker], run: FromPath[str]
) -> RunStatus:
    """Its state and how many tasks are in each: from the cache where it is there, so it may be ten seconds old when an engine
    has just died. Cheap enough to be asked for all the time; to wait for an end, `GET /runs/{run}?wait=` is better."""
    try:
        status = await status_of(office.store, asker.project, run, cache=office.cache, plans=office.plans)
    except RunUnknown:
        raise missing("run", run[:100]) from None
    return run_status(status, office.cache.degraded)


@get("/runs/{run:str}/plan", opt=OPERATOR, summary="The plan that a run goes by")
async def get_plan(
    office: NamedDependency[Office], asker: NamedDependency[Asker], run: FromPath[str]
) -> PlanDetail:
    """The document of the version that it goes by now: a rerun may have gone on with another one."""
    row = await run_of(office, asker.project, run)
    document = await office.store.plan(row.plan)
    if document is None:
        raise Problem(500, "plan_missing", f"plan {row.plan} is not in the store.")
    return PlanDetail(
        run=row.id,
        workflow=row.workflow,
        version=row.version,
        plan=row.plan,
        document=msgspec.json.decode(document),
    )


@get(
    "/runs/{run:str}/output",
    opt={**OPERATOR, "errors": (409,)},
    summary="The output of a run",
    responses={
        200: ResponseSpec(Any, description="The output, whatever JSON it is", generate_examples=False)
    },
)
async def get_output(
    office: NamedDependency[Office], asker: NamedDependency[Asker], run: FromPath[str]
) -> Response[bytes] | Stream:
    """The value alone, however large it is, up to 64 MiB. 409 while the run has not ended."""
    row = await run_of(office, asker.project, run)
    if not RunState(row.state).final:
        raise Problem(
            409,
            "run_not_final",
            "The run has not ended, so it has no output yet: GET /runs/{run}?wait=30s waits.",
        )
    veil = Veil(asker.role, office.secrets)
    kept = artifact_of(row.artifact)
    if kept is None:
        return Response(veil.text(row.output or b"null"), media_type=MediaType.JSON)
    data = await asyncio.to_thread(veil.text, await given_out(office, kept))
    return Stream(_pieces(data), media_type=MediaType.JSON, headers={"Content-Length": str(len(data))})


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


ROUTES = [list_runs, get_run, get_status, get_plan, get_output]
