"""Workflows and their versions: what is registered."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, patch
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, PUBLIC, VIEWER
from headrace.api.asking.comparing import NoSuchVersion, chosen, compare
from headrace.api.asking.finding import LARGEST, plan_of, version_of, versions_of
from headrace.api.asking.settings import settings_of
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import missing
from headrace.api.routes.drawing import MEDIA, Drawn, Format
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.runs import TEXT
from headrace.api.shapes.workflows import (
    VersionDetail,
    VersionDiff,
    VersionEntry,
    WorkflowChange,
    WorkflowEntry,
    version_detail,
    version_entry,
    workflow_entry,
)
from headrace.dsl.schema import workflow_schema
from headrace.engine.core.drawing import DRAWINGS, graph_document
from headrace.engine.ports.acts import Repeated

LARGE_GRAPH = 500
"""Tasks from which on a graph is drawn on a thread."""


@get("/workflows", opt=VIEWER, summary="Registered workflows")
async def list_workflows(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    tag: Annotated[str | None, QueryParameter(min_length=1, max_length=500, pattern=TEXT)] = None,
    text: Annotated[str | None, QueryParameter(min_length=1, max_length=500, pattern=TEXT)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[WorkflowEntry]:
    """By name, each in its newest version. `text`: part of its name or description."""
    rows = await office.store.newest_versions(
        asker.project, tag=tag, text=text, after=place_of(cursor, str), limit=limit + 1
    )
    settings = await office.store.workflow_settings(asker.project, [row.name for row in rows])
    found = [workflow_entry(row, settings.get(row.name)) for row in rows]
    return page(found, limit, lambda entry: entry.name)


@get("/workflows/{name:str}", opt=VIEWER, summary="One workflow")
async def get_workflow(
    office: NamedDependency[Office], asker: NamedDependency[Asker], name: FromPath[str]
) -> WorkflowEntry:
    """In its newest version."""
    row = await version_of(office, asker.project, name)
    return workflow_entry(row, await settings_of(office, asker.project, name))


@patch(
    "/workflows/{name:str}",
    opt=OPERATOR,
    summary="Pause or resume a workflow, or set the priority of its runs",
)
async def change_workflow(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    data: JSONBody[WorkflowChange],
    body: RawBody,
) -> Response[WorkflowEntry]:
    """What is left out stays as it is. Nothing starts a workflow that is paused; runs that have begun go on. The priority holds for
    runs to come for which neither trigger nor caller says one."""
    row = await version_of(office, asker.project, name)
    given = msgspec.to_builtins(data)
    headers: dict[str, str] = {}
    settings = await settings_of(office, asker.project, name)
    if given:
        act = asker.act("workflow.set", f"workflow {name}", given, asked(request, body))
        try:
            settings = await office.store.set_workflow(
                asker.project,
                name,
                asker.now,
                paused=given.get("paused"),
                priority=(given["priority"] or "") if "priority" in given else None,
                act=act,
            )
        except Repeated as repeated:
            if not repeated.same:
                raise key_reused() from None
            headers = REPLAYED
    return Response(workflow_entry(row, settings), headers=headers)


@get("/workflows/{name:str}/versions", opt=VIEWER, summary="The versions of a workflow")
async def list_versions(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[VersionEntry]:
    """Newest first."""
    before = place_of(cursor, int)
    rows = reversed(await versions_of(office, asker.project, name))
    found = [version_entry(row) for row in rows if before is None or row.version < before]
    return page(found, limit, lambda entry: entry.version)


@get("/workflows/{name:str}/versions/{version:int}", opt=OPERATOR, summary="One version, with its document")
async def get_version(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    version: FromPath[int],
) -> VersionDetail:
    """The document is what was registered, in canonical form. It holds what tasks are given, so it takes an operator."""
    return version_detail(await version_of(office, asker.project, name, version))


@get("/workflows/{name:str}/diff", opt=OPERATOR, summary="What changed between two versions")
async def diff_versions(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    from_: Annotated[int | None, QueryParameter(name="from", ge=1, le=LARGEST)] = None,
    to: Annotated[int | None, QueryParameter(ge=1, le=LARGEST)] = None,
) -> VersionDiff:
    """Two versions as YAML, compared line by line. `to` is the newest when it is left out, `from` the one before `to`."""
    try:
        meant = chosen(await versions_of(office, asker.project, name), from_, to)
    except NoSuchVersion as unknown:
        raise missing("version", f"{unknown.number} of workflow {name}") from None
    rows = [await version_of(office, asker.project, name, number) for number in meant]
    found = await asyncio.to_thread(compare, *rows)
    return VersionDiff(workflow=name, from_=found.before, to=found.after, diff=found.lines)


@get(
    "/workflows/{name:str}/graph",
    opt=VIEWER,
    summary="The graph of a workflow",
    operation_class=Drawn,
    responses={
        200: ResponseSpec(
            dict[str, Any], description="As JSON, or drawn, by `format`", generate_examples=False
        )
    },
)
async def get_graph(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    version: Annotated[int | None, QueryParameter(ge=1, le=LARGEST)] = None,
    format: FromQuery[Format] = "json",
) -> Response[Any]:
    """Nodes with their upstreams and trigger rules, and measures of the whole: `headrace graph --format json`. As `mermaid`,
    `dot`, `svg` or `text` when `format` says so."""
    row = await version_of(office, asker.project, name, version)
    plan = await plan_of(office, row.plan)
    draw: Any = graph_document if format == "json" else DRAWINGS[format]
    drawn = await asyncio.to_thread(draw, plan) if len(plan.ids) > LARGE_GRAPH else draw(plan)
    return Response(drawn, media_type=MEDIA[format])


@get("/schema/workflow", opt=PUBLIC, summary="The JSON Schema of workflow documents", sync_to_thread=False)
def get_schema() -> dict[str, Any]:
    """For editors to complete and check from: `headrace schema`. It is the same for everybody, so it asks for no login."""
    return workflow_schema()


ROUTES = [
    list_workflows,
    get_workflow,
    change_workflow,
    list_versions,
    get_version,
    diff_versions,
    get_graph,
    get_schema,
]
