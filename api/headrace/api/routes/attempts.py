"""What task runs were given, what they wrote and what came of them: for operators, since it is data of the tasks'."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.giving import artifact_named, artifacts_of, given_out, inputs_of
from headrace.api.asking.looking import snapshot_of, spot_of
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, cursor_of, place_of
from headrace.api.problems import Problem, missing
from headrace.api.routes.queried import Indexes
from headrace.api.shapes.tasks import (
    ArtifactEntry,
    AttemptEntry,
    LogPage,
    TaskInputs,
    attempt_entry,
    log_page,
)
from headrace.api.veiling import Veil
from headrace.engine.core.states import TaskState
from headrace.engine.shell.rows import artifact_of

MOST_LINES = 5_000


@get(
    "/runs/{run:str}/tasks/{task:str}/attempts",
    opt=VIEWER,
    summary="Every attempt of a task run",
)
async def list_task_attempts(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    index: Indexes = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[AttemptEntry]:
    """In order, those of every generation. What history no longer holds is not told."""
    snapshot = await snapshot_of(office, asker.project, run)
    spot = spot_of(snapshot, task, index)
    begin = max(place_of(cursor, int) or 0, 0)
    tried = (await office.attempts.of(snapshot.run)).of(spot.key)
    items = [attempt_entry(one) for one in tried[begin : begin + limit]]
    more = len(tried) > begin + limit
    return Page(items, cursor_of(begin + limit) if more else None)


@get(
    "/runs/{run:str}/tasks/{task:str}/attempts/{attempt:int}/logs",
    opt=OPERATOR,
    summary="What an attempt wrote",
)
async def get_attempt_logs(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    attempt: FromPath[int],
    index: Indexes = None,
    generation: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
    after: Annotated[int, QueryParameter(ge=0, le=2**53)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_LINES)] = 1000,
    last: Annotated[int | None, QueryParameter(ge=1, le=MOST_LINES)] = None,
) -> LogPage:
    """Lines from number `after` on, in the order of writing; with `last` the end of them, so many lines, whatever `after` and `limit` are. `generation`: that of the newest attempt when left out. A line may
    come some moments after it was written; an attempt that wrote nothing, or is still to come, has none."""
    snapshot = await snapshot_of(office, asker.project, run)
    spot = spot_of(snapshot, task, index)
    found = generation or spot.view.generation
    if not 1 <= attempt < 2**31 or found > snapshot.run.generation:
        raise missing("attempt", str(attempt))
    name = (snapshot.run.id, spot.view.id, spot.key.map, found, attempt)
    if last is None:
        lines = await office.logs.read(*name, after, limit + 1)
    else:
        (after, lines), limit = await office.logs.last(*name, last), last
    veil = Veil(asker.role, office.secrets)
    return log_page([veiled(veil, line) for line in lines], after, limit)


@get("/runs/{run:str}/tasks/{task:str}/inputs", opt=OPERATOR, summary="What a task run was given")
async def get_task_inputs(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    index: Indexes = None,
) -> TaskInputs:
    """As they were judged. Secrets stand by their names; large values by their artifacts. 404 `no_inputs` for a task run that has
    not begun."""
    snapshot = await snapshot_of(office, asker.project, run)
    return await inputs_of(office, asker, snapshot, spot_of(snapshot, task, index))


@get(
    "/runs/{run:str}/tasks/{task:str}/output",
    opt={**OPERATOR, "errors": (409, 422)},
    summary="The output of a task run",
    responses={
        200: ResponseSpec(Any, description="The output, whatever JSON it is", generate_examples=False)
    },
)
async def get_task_output(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    task: FromPath[str],
    index: Indexes = None,
) -> Response[bytes]:
    """The value alone, however large it is, up to 64 MiB. 409 `task_not_final` while the task run has not ended."""
    snapshot = await snapshot_of(office, asker.project, run)
    spot = spot_of(snapshot, task, index)
    if not TaskState[spot.view.state.upper()].final:
        raise Problem(409, "task_not_final", f"{spot.view.written} has not ended, so it has no output yet.")
    row = snapshot.layout.row(*spot.key)
    stored = [] if row is None else await office.store.values([(row.run, row.generation, *spot.key)])
    veil = Veil(asker.role, office.secrets)
    kept = artifact_of(stored[0].artifact) if stored else None
    data = (stored[0].output or b"null") if stored else b"null"
    if kept is not None:
        data = await given_out(office, kept)
    return Response(await asyncio.to_thread(veil.text, data), media_type=MediaType.JSON)


@get("/runs/{run:str}/artifacts", opt=OPERATOR, summary="The artifacts of a run")
async def list_run_artifacts(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[ArtifactEntry]:
    """Outputs too large to stand in the database, in the plan's order; the run's own last."""
    snapshot = await snapshot_of(office, asker.project, run)
    begin = max(place_of(cursor, int) or 0, 0)
    found = artifacts_of(snapshot)
    following = cursor_of(begin + limit) if len(found) > begin + limit else None
    return Page(found[begin : begin + limit], following)


@get(
    "/runs/{run:str}/artifacts/{name:str}",
    opt={**OPERATOR, "errors": (422,)},
    summary="An artifact of a run",
    responses={
        200: ResponseSpec(
            Any, description="Its bytes", media_type="application/octet-stream", generate_examples=False
        )
    },
)
async def get_run_artifact(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    name: FromPath[str],
) -> Response[bytes]:
    """`name` is its SHA-256, as the list says it; the bytes are checked against it. Only what this run has made."""
    snapshot = await snapshot_of(office, asker.project, run)
    kept = artifact_named(snapshot, name)
    data = await given_out(office, kept)
    veil = Veil(asker.role, office.secrets)
    return Response(
        await asyncio.to_thread(veil.text, data),
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f'attachment; filename="{kept.digest}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def veiled(veil: Veil, line: Any) -> Any:
    """The line without secrets; the worker has taken out those that it knew."""
    text = veil.text(line.text.encode(errors="backslashreplace")).decode()
    return line if text == line.text else msgspec.structs.replace(line, text=text)


ROUTES = [
    list_task_attempts,
    get_attempt_logs,
    get_task_inputs,
    get_task_output,
    list_run_artifacts,
    get_run_artifact,
]
