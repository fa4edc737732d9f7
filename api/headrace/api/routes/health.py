"""Whether this process lives and can do its work. Strangers learn no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from headrace.api.access.guarding import PUBLIC, VIEWER
from headrace.api.office import Office
from headrace.api.showing.times import instant
from headrace.engine.ports.ownership import Survey

WITHIN = 2.0
"""Seconds in which the database must answer."""

Word = Literal["ok", "degraded", "unavailable"]
Answer = Literal["ok", "unavailable"]


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """`unavailable`: the database cannot be used, so nothing can be asked for. `degraded`: Kafka or Redis is away; everything is
    answered, some of it slower."""

    status: Word


class Part(msgspec.Struct):
    """One thing that the API stands on. `since`: when it was last found missing, where that is known."""

    status: Answer
    detail: str | None = None
    since: str | None = None


class Health(msgspec.Struct):
    """Each thing that the API stands on; null: there is none. `engines`: how many engines decide; a database without one
    keeps what it is asked for until one comes."""

    status: Word
    degraded: bool
    store: Part
    kafka: Part | None
    redis: Part | None
    engines: int | None


@get("/health/live", opt=PUBLIC, summary="Whether the process lives")
async def live() -> Alive:
    """200 for as long as requests are answered at all. For a supervisor that restarts what hangs."""
    return Alive()


@get(
    "/health/ready",
    opt=PUBLIC,
    summary="Whether requests can be served",
    responses={503: ResponseSpec(Ready, description="The database cannot be used")},
)
async def ready(office: NamedDependency[Office]) -> Response[Ready]:
    """200, also while `degraded`; 503 while the database cannot be used. For a balancer that sends requests elsewhere."""
    status = (await _health(office)).status
    return Response(Ready(status), status_code=503 if status == "unavailable" else 200)


@get("/health", opt=VIEWER, summary="What the API stands on, one by one")
async def health(office: NamedDependency[Office]) -> Health:
    """The same as `/health/ready`, with the reasons."""
    return await _health(office)


async def _health(office: Office) -> Health:
    """At most once a second, however many ask."""
    return await office.checked.get(lambda: _checked(office))


async def _checked(office: Office) -> Health:
    engines: int | None = None
    try:
        survey = await _in_time(office.store.survey())
        engines = len(survey.engines)
        store = Part("ok")
    except Exception as error:  # whatever it is, the database did not answer
        store = Part("unavailable", str(error)[:500] or f"No answer within {WITHIN:g} s.")
    trouble = office.kafka() if office.kafka is not None else None
    kafka = None
    if office.kafka is not None:
        kafka = Part("ok") if trouble is None else Part("unavailable", trouble[:500])
    redis = None
    if office.has_redis:
        found = office.cache.degraded
        redis = Part("ok") if found is None else Part("unavailable", found.why[:500], instant(found.since))
    degraded = any(part is not None and part.status != "ok" for part in (kafka, redis))
    status: Word = "unavailable" if store.status != "ok" else "degraded" if degraded else "ok"
    return Health(status, degraded, store, kafka, redis, engines)


async def _in_time(asked: Awaitable[Survey]) -> Survey:
    async with asyncio.timeout(WITHIN):
        return await asked


ROUTES = [live, ready]
INNER = [health]
