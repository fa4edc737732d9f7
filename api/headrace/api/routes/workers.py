"""Who executes tasks, where they listen, and figures."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import ADMIN, VIEWER
from headrace.api.asking.draining import drain
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.routes.queried import Words
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.operations import (
    QueueEntry,
    Stats,
    Waiting,
    WorkerEntry,
    live_states,
    task_states,
    worker_entry,
)
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.shell.roster import FRESH_SECONDS

MOST_TASKS = 50_000
"""Task runs that the figures count."""


@get("/workers", opt=VIEWER, summary="The workers that engines hear")
async def list_workers(
    office: NamedDependency[Office],
    queue: Words = None,
    gone: FromQuery[bool] = False,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[WorkerEntry]:
    """By id. `gone`: also those that were not heard of late. Where engine and worker are this process, there is none to list."""
    after = place_of(cursor, str) or ""
    fresh = office.now() - FRESH_SECONDS
    found = [
        worker_entry(worker, worker.seen_at >= fresh)
        for worker in await office.store.workers(0.0 if gone else fresh)
        if worker.id > after and (queue is None or queue in worker.queues)
    ]
    return page(found, limit, lambda worker: worker.id)


@post(
    "/workers/{worker:str}/drain",
    opt=ADMIN,
    status_code=202,
    summary="Have a worker take nothing more, finish what it holds, and leave",
)
async def drain_worker(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    worker: FromPath[str],
    body: RawBody,
) -> Response[WorkerEntry]:
    """However long its tasks take. Workers belong to no project, so only admins of the first one may. 202 when the request is kept, with the worker as it was heard last: a few seconds later its
    `state` is `draining`, and when it has left, `gone`. Its next start takes tasks again."""
    entry, replayed = await drain(office, asker, worker, asked(request, body))
    return Response(entry, status_code=202, headers=REPLAYED if replayed else None)


@get("/queues", opt=VIEWER, summary="Where workers listen, and what waits")
async def list_queues(office: NamedDependency[Office]) -> Page[QueueEntry]:
    """Every queue that a live worker listens to or on which something is known to wait, by name; there is one page."""
    listening: dict[str, list[WorkerRow]] = {}
    for worker in await office.store.workers(office.now() - FRESH_SECONDS):
        for queue in worker.queues:
            listening.setdefault(queue, []).append(worker)
    depths = None if office.depths is None else office.depths()
    items = []
    for name in sorted(listening.keys() | (depths or {}).keys()):
        workers = listening.get(name, [])
        depth = None if depths is None else depths.get(name, (0, 0, 0))
        items.append(
            QueueEntry(
                name=name,
                workers=len(workers),
                draining=sum(worker.draining for worker in workers),
                slots=sum(worker.slots for worker in workers if not worker.draining),
                held=sum(worker.held for worker in workers),
                waiting=None if depth is None else Waiting(high=depth[0], normal=depth[1], low=depth[2]),
            )
        )
    return Page(items)


@get("/stats", opt=VIEWER, summary="How much lives, ended of late, and failed for good")
async def get_stats(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    minutes: Annotated[int, QueryParameter(ge=1, le=1440)] = 15,
) -> Stats:
    """A few counts; cheap enough for a dashboard to ask every few seconds."""
    now = office.now()
    words, live, ended = live_states(await office.store.count_runs(asker.project, now - 60.0 * minutes))
    tasks = await office.store.count_tasks(asker.project, MOST_TASKS + 1)
    counted = sum(tasks.values())
    workers = await office.store.workers(now - FRESH_SECONDS)
    return Stats(
        minutes=minutes,
        runs=words,
        live=live,
        ended=ended,
        ended_per_minute=round(ended / minutes, 3),
        tasks=task_states(tasks),
        tasks_complete=counted <= MOST_TASKS,
        dead_letters=await office.store.count_letters(asker.project),
        workers=len(workers),
        slots=sum(worker.slots for worker in workers),
        held=sum(worker.held for worker in workers),
        engines=len((await office.store.survey()).engines),
    )


ROUTES = [list_workers, drain_worker, list_queues, get_stats]
