"""Runs that are started: of a registered workflow, or of a graph that comes along."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import AUTHOR, OPERATOR
from headrace.api.asking.authoring import row_of
from headrace.api.asking.finding import version_of
from headrace.api.asking.pools import sizes
from headrace.api.asking.settings import startable
from headrace.api.asking.starting import Started, recall, start
from headrace.api.office import Office
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.runs import InlineBody, RunEntry, StartBody, begun_entry, run_entry
from headrace.api.veiling import Veil

_EXISTED = {200: ResponseSpec(RunEntry, description="A live run has the key: this one")}


@post(
    "/workflows/{name:str}/runs",
    opt=OPERATOR,
    status_code=202,
    summary="Start a run of a workflow",
    responses=_EXISTED,
)
async def start_run(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    data: JSONBody[StartBody],
    body: RawBody,
) -> Response[RunEntry]:
    """202 and where the run is; it begins when its engine takes it, within moments. 200 with the run that has the `key` and lives,
    when `on_conflict` is `use_existing`; `reject` answers 409 `key_taken`; `cancel_existing` cancels that run and takes its place
    once it has ended. 409 `workflow_paused` for a workflow that is paused. Sent again with the same Idempotency-Key, it
    gets the same answer and starts nothing."""
    whole = asked(request, body)
    if again := await recall(office, asker, whole):
        return answered(request, office, asker, again)
    version = await version_of(office, asker.project, name, data.version)
    settings = await startable(office, asker.project, name)
    started = await start(office, asker, version, data, whole, settings.priority)
    return answered(request, office, asker, started)


@post(
    "/runs",
    opt=AUTHOR,
    status_code=202,
    summary="Start a run of a graph that comes along",
    responses=_EXISTED,
)
async def start_inline_run(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    data: JSONBody[InlineBody],
    body: RawBody,
) -> Response[RunEntry]:
    """The graph is checked as `POST /workflows` checks it and becomes a version of the workflow that it names; then it is
    started as that one would be."""
    whole = asked(request, body)
    if again := await recall(office, asker, whole):
        return answered(request, office, asker, again)
    named = await sizes(office.store, asker.project, office.pools)
    if isinstance(data.workflow, str):
        checked, _ = await office.desk.accept(data.workflow.encode(), json=False, pools=named)
    else:
        checked, _ = await office.desk.accept(msgspec.json.encode(data.workflow), json=True, pools=named)
    settings = await startable(office, asker.project, checked.name)
    act = asker.act("workflow.register", f"workflow {checked.name}", {"plan": checked.plan})
    version = await office.store.register(row_of(checked, asker.project, asker.now), act=act)
    started = await start(office, asker, version, data.start, whole, settings.priority)
    return answered(request, office, asker, started)


def answered(
    request: Request[Any, Any, Any], office: Office, asker: Asker, started: Started
) -> Response[RunEntry]:
    """202 and where the run is, or 200 with the one that there was."""
    veil = Veil(asker.role, office.secrets)
    entry = run_entry if started.existed else begun_entry
    root = re.split("/(?:workflows|schedules)/", request.scope["path"], maxsplit=1)[0].removesuffix("/runs")
    headers = {"Location": f"{root}/runs/{started.row.id}"}
    if started.replayed:
        headers |= REPLAYED
    return Response(entry(started.row, veil), status_code=200 if started.existed else 202, headers=headers)


ROUTES = [start_run, start_inline_run]
