"""The description of the API: what Litestar finds out of the routes, and what holds for all of them.

It is made of an application of its own, once, when somebody asks: serving needs none of it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from headrace.api.live.responding import EVENT_STREAM
from headrace.api.problems import PROBLEM_TYPE

TAGS = {
    "workflows": "Workflows",
    "registering": "Workflows",
    "starting": "Runs",
    "runs": "Runs",
    "commands": "Runs",
    "bulk": "Runs",
    "tasks": "Tasks",
    "graph": "Tasks",
    "attempts": "Tasks",
    "schedules": "Schedules",
    "backfills": "Backfills",
    "approvals": "Waits",
    "signals": "Waits",
    "pools": "Operations",
    "live": "Live",
    "letters": "Dead letters",
    "workers": "Operations",
    "queues": "Operations",
    "stats": "Operations",
    "audit": "Access",
    "auth": "Access",
    "users": "Access",
    "tokens": "Access",
    "health": "Health",
}
"""Under which heading the routes of a module stand."""

_ABOUT = {
    "Workflows": "What is registered, version by version.",
    "Runs": "Start, look, wait, steer, again.",
    "Tasks": "Every task of a run: its state, what it waits for and why, what it wrote.",
    "Schedules": "What starts workflows by time: when it comes, how it stands, pause, start now.",
    "Backfills": "Moments of schedules that are made up for: planned, confirmed, followed, cancelled.",
    "Waits": "What tasks wait for from outside: approvals that people decide, signals that programs send.",
    "Live": "Server-sent events, resumable by Last-Event-ID.",
    "Dead letters": "Attempts that failed for good, kept until somebody decides.",
    "Operations": "Who executes, what waits, how much there is; pools, whose slots tasks share.",
    "Access": "Logins, users, API tokens, and the audit of every change.",
    "Health": "For supervisors and balancers.",
}

_DESCRIPTION = """\
Workflows are registered, runs are started and steered, and the state of every task is told, with why.

Send `Authorization: Bearer` with an API token, or with what `POST /api/v1/auth/login` gives; `headrace dev` takes whoever sits at
the machine. Roles: viewer < operator < author < admin; each route says which one it takes.

Every error is a problem (RFC 9457) with a `code` that programs may rely on. Lists are `{items, next}`: give `next` as `cursor`.
Times are RFC 3339 in UTC. Whatever changes something takes an `Idempotency-Key`: sent again with the same key within 24 hours, it
is done once and answered the same. Only what ends logins takes none.
"""

_ERRORS = {
    400: ("BadRequest", "The query or a header cannot be taken, or the body is no JSON"),
    401: ("Unauthenticated", "Nobody known: no credentials came, or they do not hold"),
    403: ("Forbidden", "The route takes another role"),
    404: ("NotFound", "There is no such thing in this project"),
    409: ("Conflict", "It stands in a way that does not allow it"),
    413: ("TooLarge", "The body has too many bytes"),
    415: ("UnsupportedMediaType", "The body is of another type, or compressed"),
    422: ("Invalid", "The body does not say something that can be done; `problems` lists every field"),
    429: ("TooMany", "Too many requests; Retry-After says when to come again"),
    431: ("HeadTooLarge", "The head of the request has too many bytes: its path, its query and its headers"),
    500: ("Fault", "A fault of Headrace, or damaged data, which is named"),
    503: ("Unavailable", "The database is away, or there is no room; Retry-After says when to come again"),
    504: ("TimedOut", "It took too long"),
}
_ANY = (400, 429, 431, 500, 503, 504)
_WITH_LOGINS = ("/auth/", "/users", "/tokens")
"""Routes that are not there where nobody is asked who they are."""
_CHANGES = ("post", "put", "patch", "delete")
_PAGE = re.compile(r"Page_[\w.]*\.(\w+)_")

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An answer that is not what was asked for (RFC 9457). It may have further members, such as `run`.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:headrace:problem:run_final"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "A word that programs may rely on."},
        "detail": {"type": "string", "description": "What, why and what to do."},
        "problems": {
            "type": "array",
            "description": "Every field that is wrong, or the problems of `headrace validate --json`.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                "additionalProperties": True,
            },
        },
    },
    "additionalProperties": True,
}

_EVENT: dict[str, Any] = {
    "type": "object",
    "title": "Event",
    "description": "One server-sent event. A client that sends its last `id` as Last-Event-ID goes on behind it.",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "string", "description": "JSON."},
    },
}

_PARAMETERS: dict[str, Any] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same request with the same key is done once, within 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    },
    "Project": {
        "name": "X-Headrace-Project",
        "in": "header",
        "required": False,
        "description": "For users of several projects; a token has one.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": r"^[^\x00-\x20\x7f/*][^\x00-\x1f\x7f/]*$",
        },
    },
}

_EXAMPLES: dict[str, dict[str, Any]] = {
    "start_run": {"params": {"name": "Ada"}, "priority": "high", "key": "order-4711"},
    "start_inline_run": {
        "workflow": {"workflow": "once", "tasks": {"say": {"shell": "echo hello"}}},
        "params": {},
    },
    "rerun_run": {"from": "failed"},
    "log_in": {"user": "ada", "password": "correct horse battery staple"},
}
"""Bodies, by operation."""


def described(routes: Sequence[ControllerRouterHandler], **application: Any) -> bytes:
    """The OpenAPI 3.1 document of these routes, as JSON. `application`: what the routes need beside themselves."""
    app = Litestar(
        route_handlers=list(routes),
        openapi_config=OpenAPIConfig(
            title="Headrace",
            version=version("headrace"),
            description=_DESCRIPTION,
            use_handler_docstrings=True,
            operation_id_creator=_operation_id,
            render_plugins=[JsonRenderPlugin()],
        ),
        logging_config=None,
        **application,
    )
    document = _renamed(app.openapi_schema.to_schema())
    handlers = {
        (route.path_format, method.lower()): handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            handler = handlers.get((path, method))
            if handler is not None and isinstance(operation, dict):
                _complete(path, method, operation, handler)
    document["components"]["schemas"] |= _schemas(handlers.values())
    _components(document)
    document["security"] = [{"bearer": []}]
    document["tags"] = [{"name": name, "description": about} for name, about in _ABOUT.items()]
    return msgspec.json.encode(document)


def tag_of(module: str) -> str:
    """The heading for the routes of `headrace.api.routes.<module>`."""
    name = module.rpartition(".")[2]
    return TAGS.get(name, name.capitalize())


def _operation_id(handler: HTTPRouteHandler, method: str, _: Any) -> str:
    """The function's name: it is what a client generated from the document calls it too."""
    return (
        handler.handler_name if len(handler.http_methods) == 1 else f"{handler.handler_name}_{method.lower()}"
    )


def _complete(path: str, method: str, operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    public = bool(handler.opt.get("public"))
    errors = [*_ANY]
    if not public:
        errors += [401, 403]
    else:
        operation["security"] = []
    if "{" in path or any(part in path for part in _WITH_LOGINS):
        errors.append(404)
    if method in _CHANGES:
        errors += [409, 422]
    if "requestBody" in operation:
        errors += [413, 415]
        if (example := _EXAMPLES.get(operation["operationId"])) is not None:
            for kind in operation["requestBody"]["content"].values():
                kind.setdefault("examples", {})["usual"] = {"value": example}
    errors += handler.opt.get("errors", ())  # those that only this route has
    responses = operation.setdefault("responses", {})
    responses.get("204", {}).pop("content", None)
    for response in responses.values():
        for kind, content in response.get("content", {}).items():
            content.pop("examples", None)  # made up at random, so that no two descriptions were the same
            if kind == EVENT_STREAM:
                content["schema"] = {"$ref": "#/components/schemas/Event"}
    for status in sorted(set(errors)):
        if status in (400, 500) or str(status) not in responses:
            responses[str(status)] = {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}
    role = handler.opt.get("role")
    if role is not None:
        said = operation.get("description", "")
        operation["description"] = f"{said}\n\nRole: {role.word}.".strip()
        operation["x-headrace-role"] = role.word
        parameters = operation.setdefault("parameters", [])
        parameters.append({"$ref": "#/components/parameters/Project"})
        if method in _CHANGES and handler.opt.get("repeatable", True):
            parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})


def _schemas(handlers: Iterable[HTTPRouteHandler]) -> dict[str, Any]:
    """What bodies and answers are made of, as msgspec tells it, which checks the ones and writes the others. Litestar says
    nothing of what holds for the items of a list, nor of what a shape is for."""
    kinds: list[Any] = []
    for handler in handlers:
        fields = (handler.parsed_data_field, handler.parsed_return_field)
        told = [field.annotation for field in fields if field is not None]
        told += [spec.data_container for spec in (handler.responses or {}).values()]
        kinds += (kind for one in told for kind in _structs(one))
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    for part in _parts(schemas):
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].replace(r"\Z", "$")  # which no other language has
    return schemas


def _structs(kind: Any) -> Iterator[Any]:
    """The structs in a type, those with their parameters as they are."""
    if isinstance(typing.get_origin(kind) or kind, type) and issubclass(
        typing.get_origin(kind) or kind, msgspec.Struct
    ):
        yield kind
        return
    for inner in typing.get_args(kind):
        yield from _structs(inner)


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """With the names that msgspec gives to pages: `Page_RunEntry_`."""
    schemas = document["components"]["schemas"]
    names = {name: _PAGE.sub(r"Page_\1_", name) for name in schemas}
    document["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    for part in _parts(document):
        if isinstance(found := part.get("$ref"), str):
            start, _, name = found.rpartition("/")
            part["$ref"] = f"{start}/{names.get(name, name)}"
    return document


def _parts(document: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from _parts(part)


def _components(document: dict[str, Any]) -> None:
    components = document["components"]
    components["schemas"] |= {"Problem": _PROBLEM, "Event": _EVENT}
    components["parameters"] = _PARAMETERS
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token (`hr_…`), or the token of a login.",
        }
    }
    components["responses"] = {
        name: {
            "description": about,
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": {"X-Request-Id": {"schema": {"type": "string"}, "description": "As the log has it."}},
        }
        for name, about in _ERRORS.values()
    }
