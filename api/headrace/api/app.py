"""The Litestar application: routes, who may call them, and how every error is answered."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.di import Provide

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import Gate, asker, guard
from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.api.routes import (
    attempts,
    audit,
    auth,
    bulk,
    commands,
    graph,
    registering,
    runs,
    starting,
    tasks,
    tokens,
    users,
    workflows,
)

PROBLEM_TYPE = "application/problem+json"
ROOT = "/api/v1"
PARTS = (
    workflows,
    registering,
    starting,
    runs,
    commands,
    bulk,
    tasks,
    graph,
    attempts,
    auth,
    users,
    tokens,
    audit,
)


def create_app(office: Office, gate: Gate) -> Litestar:
    """The application over an open office. `gate` says who asks."""

    async def provide_office() -> Office:
        return office

    root = Router(path=ROOT, route_handlers=[route for part in PARTS for route in part.ROUTES])
    return Litestar(
        route_handlers=[root],
        dependencies={"office": Provide(provide_office), "asker": Provide(asker)},
        guards=[guard],
        middleware=[gate],
        exception_handlers={Problem: _answer},
        signature_types=[Office, Asker],
        debug=False,
    )


def _answer(_: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, Any]]:
    return Response(
        problem.document, status_code=problem.status, media_type=PROBLEM_TYPE, headers=problem.headers
    )
