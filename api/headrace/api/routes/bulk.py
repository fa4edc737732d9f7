"""Many runs at once."""

from __future__ import annotations

from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR
from headrace.api.asking import bulk
from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.api.shapes.runs import BulkApplied, BulkBody, BulkPlan


@post(
    "/runs/bulk",
    opt=OPERATOR,
    status_code=202,
    summary="Cancel, kill, pause, resume or rerun many runs",
    responses={
        202: ResponseSpec(BulkApplied, description="The plan is applied"),
        200: ResponseSpec(BulkPlan, description="The plan; nothing is done yet"),
    },
)
async def act_on_runs(
    office: NamedDependency[Office], asker: NamedDependency[Asker], data: JSONBody[BulkBody]
) -> Response[Any]:
    """In two steps. `action` and `filter` are answered with a plan (200): how many runs, and the first of them. Within five minutes
    `{"confirm": plan_id}` applies it (202) to exactly these runs, but for those that it means nothing to any more. To confirm it
    again does nothing twice. At most 10,000 runs; each decision is its engine's, as for a single run."""
    if data.confirm is not None:
        if data.action is not None or data.filter is not None or data.reason is not None:
            raise _unclear("confirm", "stands alone: the plan says everything else")
        return Response(await bulk.apply(office, asker, data.confirm), status_code=202)
    if data.action is None:
        raise _unclear("action", "is missing; or send `confirm` with the id of a plan")
    if data.filter is None:
        raise _unclear("filter", "is missing; {} means every run")
    plan = await bulk.plan(office, asker, data.action, data.filter, data.reason)
    return Response(plan, status_code=200)


def _unclear(field: str, message: str) -> Problem:
    return Problem(422, "invalid", f"{field} {message}.", problems=[{"field": field, "message": message}])


ROUTES = [act_on_runs]
