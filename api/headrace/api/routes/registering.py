"""Workflows that come in: a text becomes a version, or a list of what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromQuery, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import AUTHOR
from headrace.api.asking.authoring import refused, row_of
from headrace.api.asking.finding import versions_of
from headrace.api.asking.pools import sizes
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.workflows import Registered, Verdict, Warned, registered
from headrace.engine.ports.acts import Repeated
from headrace.engine.ports.store import VersionRow
from headrace.engine.shell.schedules.reading import by_time

YAML = frozenset(("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"))
JSON = "application/json"

_EXAMPLE = """\
workflow: hello
params:
  name: {type: string, default: world}
tasks:
  greet: {shell: 'echo "Hello, $NAME"', env: {NAME: "${{ params.name }}"}}
"""


@dataclass
class Upload(Operation):
    """The operation whose body is a document in either spelling."""

    requestBody: Any = field(
        default_factory=lambda: RequestBody(
            required=True,
            description="A workflow document (docs/language.md), as YAML or as JSON.",
            content={
                "application/yaml": OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING), examples={"hello": Example(value=_EXAMPLE)}
                ),
                JSON: OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT)),
            },
        )
    )

    def __post_init__(self) -> None:
        if self.request_body is None:
            self.request_body = self.requestBody


_FOUND: Any = Registered | Verdict


@post(
    "/workflows",
    opt={**AUTHOR, "upload": True},
    status_code=201,
    summary="Register a version of a workflow, or only check one",
    operation_class=Upload,
    responses={
        201: ResponseSpec(Registered, description="A new version"),
        200: ResponseSpec(
            _FOUND,
            description="The plan is a version already; or dry_run: it is valid",
            generate_examples=False,
        ),
    },
)
async def register_workflow(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    body: RawBody,
    dry_run: FromQuery[bool] = False,
) -> Response[Any]:
    """YAML or JSON, by the content type. The answer is 201 with a new version; 200 with the version that the same plan is
    already, its description, tags and schedules renewed; 422 with the problems of `headrace validate --json`. With
    `dry_run` nothing is registered. Nothing of the text is run here: Python tasks are found where workers have them."""
    named = await sizes(office.store, asker.project, office.pools)
    checked = await office.desk.check(body, json=is_json(request), pools=named)
    if checked.version is None:
        raise refused(checked)
    if dry_run:
        return Response(msgspec.convert(checked.report, Verdict), status_code=200)
    version = checked.version
    row = row_of(version, asker.project, asker.now)
    detail = {"plan": version.plan}
    act = asker.act("workflow.register", f"workflow {version.name}", detail, asked(request, body))
    headers: dict[str, str] = {}
    try:
        kept = await office.store.register(row, schedules=by_time(version.name, version.triggers), act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        kept, headers = await _kept(office, row), REPLAYED
    new = kept.created_at == row.created_at and not headers
    warnings = msgspec.convert(checked.report["warnings"], list[Warned])
    where = f"{request.url.path}/{kept.name}/versions/{kept.version}"
    return Response(
        registered(kept, warnings), status_code=201 if new else 200, headers={"Location": where, **headers}
    )


def is_json(request: Request[Any, Any, Any]) -> bool:
    """The spelling, by the content type. Raises Problem (415)."""
    kind = request.content_type[0].lower()
    if kind == JSON:
        return True
    if kind in YAML:
        return False
    raise Problem(
        415,
        "unsupported_media_type",
        "Send the workflow as Content-Type: application/yaml, or application/json.",
    )


async def _kept(office: Office, row: VersionRow) -> VersionRow:
    """The version that was registered before. Raises Problem (404)."""
    for version in await versions_of(office, row.project, row.name):
        if version.plan == row.plan:
            return row._replace(**version._asdict())
    raise missing("workflow", row.name)


ROUTES = [register_workflow]
