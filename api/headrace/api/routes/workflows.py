"""Workflows and their versions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import VIEWER
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import missing


class WorkflowEntry(msgspec.Struct, kw_only=True):
    """A workflow in its newest version."""

    name: str
    version: int
    description: str | None


@get("/workflows", opt=VIEWER, summary="Registered workflows")
async def list_workflows(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[WorkflowEntry]:
    """By name."""
    after = place_of(cursor, str) or ""
    newest = {row.name: row for row in await office.store.versions(asker.project) if row.name > after}
    found = [
        WorkflowEntry(name=row.name, version=row.version, description=row.description)
        for row in list(newest.values())[: limit + 1]
    ]
    return page(found, limit, lambda entry: entry.name)


@get("/workflows/{name:str}", opt=VIEWER, summary="One workflow")
async def get_workflow(
    office: NamedDependency[Office], asker: NamedDependency[Asker], name: FromPath[str]
) -> WorkflowEntry:
    """In its newest version."""
    row = await office.store.version(asker.project, name)
    if row is None:
        raise missing("workflow", name)
    return WorkflowEntry(name=row.name, version=row.version, description=row.description)


ROUTES = [list_workflows, get_workflow]
