"""Schedules: what starts workflows by time. They come and go with the versions of their workflows; here they are looked at,
paused, and made to start at once."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.schedules import schedule_of, set_paused, shown, start_now
from headrace.api.asking.starting import recall
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import Problem
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.routes.starting import answered
from headrace.api.shapes.runs import TEXT, RunEntry
from headrace.api.shapes.schedules import PauseBody, Preview, ScheduleEntry
from headrace.api.shapes.times import moment
from headrace.api.showing.schedules import preview
from headrace.engine.calendars import IanaCalendar

MOST_MOMENTS = 1000


@get("/schedules", opt=VIEWER, summary="Schedules")
async def list_schedules(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    workflow: Annotated[str | None, QueryParameter(min_length=1, max_length=100, pattern=TEXT)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[ScheduleEntry]:
    """By id, of one workflow or of all."""
    rows = await office.store.schedules(
        asker.project, workflow=workflow, after=place_of(cursor, str), limit=limit + 1
    )
    return page(await shown(office, asker, rows), limit, lambda entry: entry.id)


@get("/schedules/{schedule:str}", opt=VIEWER, summary="One schedule")
async def get_schedule(
    office: NamedDependency[Office], asker: NamedDependency[Asker], schedule: FromPath[str]
) -> ScheduleEntry:
    """How it stands, and what comes next."""
    [entry] = await shown(office, asker, [await schedule_of(office, asker, schedule)])
    return entry


@get("/schedules/{schedule:str}/preview", opt=VIEWER, summary="When a schedule comes")
async def preview_schedule(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    schedule: FromPath[str],
    count: Annotated[int, QueryParameter(ge=1, le=MOST_MOMENTS)] = 10,
    after: Annotated[str | None, QueryParameter(min_length=1, max_length=50)] = None,
) -> Preview:
    """The next moments after now, or after a time. Days on which the clock changes say by how much."""
    row = await schedule_of(office, asker, schedule)
    since = moment(after, "after", status=400)
    try:
        return preview(row, IanaCalendar(), asker.now if since is None else since, count)
    except (ValueError, OverflowError, OSError) as wrong:
        raise Problem(422, "invalid_schedule", f"Its moments cannot be had: {wrong}.") from None


@post("/schedules/{schedule:str}/pause", opt=OPERATOR, status_code=200, summary="Pause a schedule")
async def pause_schedule(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    schedule: FromPath[str],
    body: RawBody,
    data: JSONBody[PauseBody | None] = None,
) -> Response[ScheduleEntry]:
    """It starts nothing until it is resumed; runs that have begun go on, and what waits for one to end goes."""
    why = None if data is None else data.reason
    entry, again = await set_paused(office, asker, schedule, True, why, asked(request, body))
    return Response(entry, headers=REPLAYED if again else None)


@post("/schedules/{schedule:str}/resume", opt=OPERATOR, status_code=200, summary="Resume a schedule")
async def resume_schedule(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    schedule: FromPath[str],
    body: RawBody,
) -> Response[ScheduleEntry]:
    """It goes on with the next moment: what came while it was paused is passed over, whatever its `catchup` says."""
    entry, again = await set_paused(office, asker, schedule, False, None, asked(request, body))
    return Response(entry, headers=REPLAYED if again else None)


@post(
    "/schedules/{schedule:str}/trigger", opt=OPERATOR, status_code=202, summary="Start a schedule's run now"
)
async def trigger_schedule(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    schedule: FromPath[str],
    body: RawBody,
) -> Response[RunEntry]:
    """A run for this moment, with the parameters that the schedule gives, beside its own runs: whatever `overlap` says, and
    though it is paused. 409 `workflow_paused` where its workflow is."""
    whole = asked(request, body)
    if again := await recall(office, asker, whole):
        return answered(request, office, asker, again)
    return answered(request, office, asker, await start_now(office, asker, schedule, whole))


ROUTES = [
    list_schedules,
    get_schedule,
    preview_schedule,
    pause_schedule,
    resume_schedule,
    trigger_schedule,
]
