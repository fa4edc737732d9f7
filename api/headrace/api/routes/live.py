"""What happens, as it happens: server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.finding import run_of
from headrace.api.live.frames import Place, place_of
from headrace.api.live.marks import counts_of
from headrace.api.live.responding import EVENT_STREAM, Stream
from headrace.api.live.tape import Reader
from headrace.api.office import Office
from headrace.engine.core.states import RunState
from headrace.engine.ports.access import Role

Id = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", max_length=6_000, description="The id of the last event that the client has"
    ),
]
After = Annotated[
    str | None,
    QueryParameter(
        max_length=6_000, description="The same, for clients that cannot set the header, which goes before it"
    ),
]
NOW = "now"


def _stream(about: str) -> dict[int, ResponseSpec]:
    return {200: ResponseSpec(str, media_type=EVENT_STREAM, description=about, generate_examples=False)}


@get(
    "/runs/{run:str}/events",
    opt=VIEWER,
    summary="What happens to a run, as it happens",
    responses={
        **_stream("Events run, task, gap and end; comments while nothing happens"),
        204: ResponseSpec(None, description="The client has had everything: it need not come again"),
    },
)
async def run_events(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    last_event_id: Id = None,
    after: After = None,
) -> Response[None]:
    """Server-sent events. Without an id everything from the run's beginning, then what comes, until the run has ended: event `end`.
    `run` and `task` tell one move each, `{run, seq, at, task, before, state, reason, attempt, generation, error}`; their ids are places
    in the run's history, so a client that sends its last one goes on exactly there, at any server. `after=now`: what is to come alone.
    `gap` `{from, to, why}`: something was left out. Operators see what failed tasks said. 204 tells a client that has had `end`
    to stop."""
    row = await run_of(office, asker.project, run)
    said = last_event_id or after
    place = Place(row.seq) if said == NOW else place_of(said) if said else Place(0)
    if place.ended and RunState(row.state).final and place.seq == row.seq:
        return Response(None, status_code=204)
    full = asker.role >= Role.OPERATOR

    async def opened(closing: AsyncExitStack, reader: Reader) -> AsyncGenerator[bytes, None]:
        tale = await closing.enter_async_context(office.live.run(row))
        return tale.told(reader, place, row.seq, full)

    return Stream(office.live, _name(asker), opened)


@get(
    "/runs/{run:str}/logs",
    opt=OPERATOR,
    summary="What the tasks of a run write, as they write it",
    responses=_stream("Events lines, gap and end; comments while nothing is written"),
)
async def run_logs(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    last_event_id: Id = None,
    after: After = None,
) -> Response[None]:
    """Server-sent events. `lines` `{lines: [{task, generation, attempt, number, at, stream, text}]}`: those of one attempt in the order of
    writing, each once; its id says how many of each attempt there were, so a client that sends its last one gets the rest.
    `end` comes soon after the run has ended and its last lines were told."""
    row = await run_of(office, asker.project, run)
    seen = counts_of(last_event_id or after or "")

    async def opened(closing: AsyncExitStack, reader: Reader) -> AsyncGenerator[bytes, None]:
        tale = await closing.enter_async_context(office.live.run(row))
        lines = await closing.enter_async_context(office.live.lines(row))
        return lines.told(reader, seen, tale, row.seq)

    return Stream(office.live, _name(asker), opened)


@get(
    "/events",
    opt=VIEWER,
    summary="How the runs of the project stand, as that changes",
    responses=_stream("Events ready, status and gap; comments while nothing changes"),
)
async def project_events(office: NamedDependency[Office], asker: NamedDependency[Asker]) -> Response[None]:
    """Server-sent events. First `ready`: list the runs now, for nothing that happens from here on is left out. Then `status` with how
    a run stands, whenever that has changed; several changes may be told as one. They have no ids: a client that comes back, or gets
    `gap`, lists the runs again."""

    async def opened(closing: AsyncExitStack, reader: Reader) -> AsyncGenerator[bytes, None]:
        tale = await closing.enter_async_context(office.live.project(asker.project))
        return tale.told(reader)

    return Stream(office.live, _name(asker), opened)


def _name(asker: Asker) -> str:
    return f"{asker.project}/{asker.actor}"


ROUTES: list[Any] = [run_events, run_logs, project_events]
