"""A run as a graph, and in time."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import VIEWER
from headrace.api.asking.looking import listed, snapshot_of
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page
from headrace.api.problems import Problem
from headrace.api.routes.drawing import MEDIA, Drawn
from headrace.api.shapes.tasks import RunGraph, TimelineEntry
from headrace.api.showing.graphs import run_graph
from headrace.api.showing.timelines import timeline
from headrace.engine.core import drawing
from headrace.engine.core.plan import Plan

LARGEST_GRAPH, LARGEST_DRAWING = 100_000, 20_000
"""Nodes and edges that an answer tells at most: as data, and drawn."""

_DRAW = {"mermaid": drawing.mermaid, "dot": drawing.dot, "svg": drawing.svg}


@get(
    "/runs/{run:str}/graph",
    opt={**VIEWER, "errors": (422,)},
    summary="The graph of a run with its states",
    operation_class=Drawn,
    responses={200: ResponseSpec(RunGraph, description="The graph; as text where a drawing was asked for")},
)
async def get_run_graph(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    format: FromQuery[Literal["json", "mermaid", "dot", "svg"]] = "json",
) -> Response[bytes]:
    """A mapped task is one node, whose `counts` tell of its items. The drawings show the graph alone, without states."""
    snapshot = await snapshot_of(office, asker.project, run)
    plan = snapshot.plan
    if format != "json":
        _bounded(plan, LARGEST_DRAWING)
        drawn = await asyncio.to_thread(_DRAW[format], plan)
        return Response(drawn.encode(), media_type=f"{MEDIA[format]}; charset=utf-8")
    _bounded(plan, LARGEST_GRAPH)
    machine = await snapshot.explaining()
    encoded = await asyncio.to_thread(lambda: msgspec.json.encode(run_graph(snapshot, machine)))
    return Response(encoded, media_type=MediaType.JSON)


def _bounded(plan: Plan, most: int) -> None:
    size = len(plan.ids) + plan.facts.edges
    if size > most:
        raise Problem(
            422,
            "graph_too_large",
            f"The graph has {size:,} nodes and edges; an answer of this kind holds {most:,}. "
            "GET /runs/{run}/tasks lists the task runs with their upstreams, a page at a time.",
            size=size,
        )


@get("/runs/{run:str}/timeline", opt=VIEWER, summary="When every attempt of a run was under way")
async def get_run_timeline(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[TimelineEntry]:
    """In the plan's order and, within a map, by index: a chart of bars. Attempts of earlier generations are told too."""
    snapshot = await snapshot_of(office, asker.project, run)
    places, following = listed(snapshot, None, cursor, limit)
    attempts = await office.attempts.of(snapshot.run)
    return Page(list(timeline(snapshot, attempts, places)), following)


ROUTES = [get_run_graph, get_run_timeline]
