"""Pools: slots that tasks of a project share."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import ADMIN, VIEWER
from headrace.api.asking import pools
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.pools import PoolBody, PoolEntry
from headrace.engine.ports.acts import Repeated


@get("/pools", opt=VIEWER, summary="Pools, and who uses them")
async def list_pools(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[PoolEntry]:
    """By name."""
    after = place_of(cursor, str) or ""
    found = await pools.listed(office.store, office.plans, asker.project, office.pools, after, limit + 1)
    return page(found, limit, lambda entry: entry.name)


@get("/pools/{pool:str}", opt=VIEWER, summary="One pool")
async def get_pool(
    office: NamedDependency[Office], asker: NamedDependency[Asker], pool: FromPath[str]
) -> PoolEntry:
    """Its slots, how many are used, and how many task runs wait for some."""
    return await pools.one(office.store, office.plans, asker.project, office.pools, pool)


@put("/pools/{pool:str}", opt=ADMIN, summary="Give a pool its slots")
async def put_pool(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    pool: FromPath[str],
    data: JSONBody[PoolBody],
    body: RawBody,
) -> Response[PoolEntry]:
    """Makes it, or changes it while tasks run: more slots are granted at once; with fewer than are used, nothing begins until
    enough have ended. 0 closes it."""
    act = asker.act(
        "pool.put", f"pool {pool}", {"slots": data.slots, "note": data.note}, asked(request, body)
    )
    parts, replayed = await office.parts(), False
    try:
        home = await pools.put(
            office.store, asker.project, pool, data.slots, data.note, asker.actor, asker.now, parts, act
        )
        office.nudge(home)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        replayed = True
    entry = await pools.one(office.store, office.plans, asker.project, office.pools, pool)
    return Response(entry, headers=REPLAYED if replayed else None)


@delete("/pools/{pool:str}", opt={**ADMIN, "errors": (409,)}, status_code=204, summary="Delete a pool")
async def delete_pool(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    pool: FromPath[str],
    body: RawBody,
) -> Response[None]:
    """409 `pool_in_use` while the newest version of a workflow names it, or a run that goes on: nothing would limit them."""
    act = asker.act("pool.delete", f"pool {pool}", None, asked(request, body))
    once = asker.once(asked(request, body))
    try:
        if once is not None:  # what was deleted by the first request is not there
            await office.store.recall(once, asker.now)
        home = await pools.drop(
            office.store, office.plans, asker.project, pool, asker.now, await office.parts(), act
        )
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return Response(None, headers=REPLAYED)
    office.nudge(home)
    return Response(None)


ROUTES = [list_pools, get_pool, put_pool, delete_pool]
