"""Backfills: moments of a schedule that are made up for, in two steps; then looked at, changed, paused, cancelled."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking import backfills
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import Problem
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.backfills import (
    BackfillBody,
    BackfillCancel,
    BackfillChange,
    BackfillEntry,
    BackfillMomentEntry,
    BackfillPause,
    BackfillPlan,
    BackfillState,
    MomentState,
)
from headrace.api.shapes.runs import TEXT
from headrace.api.showing.backfills import moment_entries
from headrace.engine.calendars import IanaCalendar
from headrace.engine.shell import commands
from headrace.engine.shell.schedules.asking import Wanted


@post(
    "/backfills",
    opt={**OPERATOR, "errors": (404,)},
    status_code=202,
    summary="Make up for moments of a schedule",
    responses={
        202: ResponseSpec(BackfillEntry, description="The backfill has begun"),
        200: ResponseSpec(BackfillPlan, description="The plan; nothing is done yet"),
    },
)
async def create_backfill(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    body: RawBody,
    data: JSONBody[BackfillBody],
) -> Response[Any]:
    """In two steps. What is wanted is answered with a plan (200): which moments, and how many have a run already. Within five minutes
    `{"confirm": plan_id}` begins it (202). Every run is the one that the schedule would have begun, and no moment has two but where
    `reprocess` says so. At most 10,000 moments; `max_active` of its runs go on at once."""
    firing = await backfills.firing_of(office)
    if data.confirm is not None:
        if data != BackfillBody(confirm=data.confirm):
            raise _unclear("confirm", "stands alone: the plan says everything else")
        whole = asked(request, body)
        row, again = await backfills.confirm(
            office.store,
            firing,
            asker.project,
            data.confirm,
            asker.actor,
            asker.now,
            lambda detail: asker.act("backfill.create", "backfill", detail, whole),
        )
        [entry] = await backfills.shown(office, asker, [row])
        return Response(entry, status_code=202, headers=REPLAYED if again else None)
    if data.workflow is None:
        raise _unclear("workflow", "is missing; or send `confirm` with the id of a plan")
    wanted = Wanted(
        workflow=data.workflow,
        schedule=data.schedule,
        begin=data.from_,
        end=data.to,
        dates=tuple(data.dates),
        params=data.params,
        reprocess=data.reprocess,
        order=data.order,
        max_active=data.max_active,
        priority=data.priority,
        select=tuple(data.select),
        exclude=tuple(data.exclude),
    )
    plan = await backfills.plan(office.store, firing, asker.project, wanted, asker.actor, asker.now)
    return Response(plan, status_code=200)


@get("/backfills", opt=VIEWER, summary="Backfills")
async def list_backfills(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    workflow: Annotated[str | None, QueryParameter(min_length=1, max_length=100, pattern=TEXT)] = None,
    in_state: Annotated[BackfillState | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[BackfillEntry]:
    """The newest first."""
    rows = await office.store.backfills(
        asker.project, workflow=workflow, state=in_state, before=place_of(cursor, int), limit=limit + 1
    )
    return page(await backfills.shown(office, asker, rows), limit, lambda entry: entry.backfill)


@get("/backfills/{backfill:int}", opt=VIEWER, summary="One backfill")
async def get_backfill(
    office: NamedDependency[Office], asker: NamedDependency[Asker], backfill: FromPath[int]
) -> BackfillEntry:
    """How far it is, and what it waits for."""
    [entry] = await backfills.shown(office, asker, [await backfills.backfill_of(office, asker, backfill)])
    return entry


@get("/backfills/{backfill:int}/moments", opt=VIEWER, summary="The moments of a backfill")
async def list_moments(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    backfill: FromPath[int],
    in_state: Annotated[MomentState | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[BackfillMomentEntry]:
    """In the order of their turns, with the run of each."""
    row = await backfills.backfill_of(office, asker, backfill)
    after = place_of(cursor, int)
    found = await office.store.backfill_moments(
        row.no, state=in_state, after=-1 if after is None else after, limit=limit + 1
    )
    return page(moment_entries(row, found, IanaCalendar()), limit, lambda entry: entry.place)


@patch("/backfills/{backfill:int}", opt=OPERATOR, summary="Change a backfill")
async def change_backfill(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    backfill: FromPath[int],
    body: RawBody,
    data: JSONBody[BackfillChange],
) -> Response[BackfillEntry]:
    """How many of its runs may go on at once, and the priority of those that begin from now on."""
    values = {"max_active": data.max_active, "priority": data.priority}
    said = {name: value for name, value in values.items() if value is not None}
    whole = asked(request, body)
    return _told(await backfills.change(office, asker, backfill, "backfill.change", said, whole, **said))


@post("/backfills/{backfill:int}/pause", opt=OPERATOR, status_code=200, summary="Pause a backfill")
async def pause_backfill(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    backfill: FromPath[int],
    body: RawBody,
    data: JSONBody[BackfillPause | None] = None,
) -> Response[BackfillEntry]:
    """It begins nothing until it is resumed; runs that have begun go on."""
    why = None if data is None else data.reason
    told = {"reason": why} if why else {}
    whole = asked(request, body)
    return _told(
        await backfills.change(
            office, asker, backfill, "backfill.pause", told, whole, state="paused", why=why
        )
    )


@post("/backfills/{backfill:int}/resume", opt=OPERATOR, status_code=200, summary="Resume a backfill")
async def resume_backfill(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    backfill: FromPath[int],
    body: RawBody,
) -> Response[BackfillEntry]:
    """It goes on with the next moment."""
    whole = asked(request, body)
    return _told(
        await backfills.change(office, asker, backfill, "backfill.resume", {}, whole, state="running")
    )


@post("/backfills/{backfill:int}/cancel", opt=OPERATOR, status_code=200, summary="Cancel a backfill")
async def cancel_backfill(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    backfill: FromPath[int],
    body: RawBody,
    data: JSONBody[BackfillCancel | None] = None,
) -> Response[BackfillEntry]:
    """It begins nothing more, for good. With `runs`, those that go on are cancelled too; without, they go on."""
    said = BackfillCancel() if data is None else data
    why = said.reason or f"backfill {backfill} is cancelled"
    stop = commands.encode("cancel", commands.StopBody(asker.actor, why)) if said.runs else None
    told = {"runs": said.runs, **({"reason": said.reason} if said.reason else {})}
    whole = asked(request, body)
    return _told(
        await backfills.change(
            office, asker, backfill, "backfill.cancel", told, whole, state="cancelled", stop=stop
        )
    )


def _told(made: tuple[BackfillEntry, bool]) -> Response[BackfillEntry]:
    entry, again = made
    return Response(entry, headers=REPLAYED if again else None)


def _unclear(field: str, message: str) -> Problem:
    return Problem(422, "invalid", f"{field} {message}.", problems=[{"field": field, "message": message}])


ROUTES = [
    create_backfill,
    list_backfills,
    get_backfill,
    list_moments,
    change_backfill,
    pause_backfill,
    resume_backfill,
    cancel_backfill,
]
