"""Errors of every kind as problems: ours, the engine's, Litestar's, and those nobody foresaw."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from headrace.api.checking import wrongs
from headrace.api.headers import request_id
from headrace.api.limits import BODY
from headrace.api.problems import PROBLEM_TYPE, Problem, fault, problem_of

_logger = logging.getLogger(__name__)
_AT = re.compile(r" - at `\$\.?(?:data\.?)?(.*)`$")
MOST = 100
"""Fields that one answer lists."""

Handler = Callable[[Request[Any, Any, Any], Any], Response[Any]]


def answer(_: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, Any]]:
    """The problem as a response."""
    return Response(
        problem.document, status_code=problem.status, media_type=PROBLEM_TYPE, headers=problem.headers
    )


def of_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """What Litestar refuses before a route is reached."""
    return answer(request, _problem(request, error))


def of_anything(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """What the engine says no with; anything else is a fault of ours, told to the log and to nobody else."""
    problem = problem_of(error)
    if problem is None:
        _log(request, error)
        problem = fault()
    elif problem.status >= 500:
        _logger.warning("request %s: %s: %s", request_id.get(), type(error).__name__, error)
    return answer(request, problem)


def _problem(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    match error:
        case ValidationException():
            return _invalid(request, error)
        case NotFoundException():
            return Problem(
                404, "not_found", "There is nothing at this address: GET /schema/openapi.json lists what is."
            )
        case MethodNotAllowedException():
            methods = set((error.headers or {}).get("allow", "").split(", "))
            allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
            return Problem(
                405, "method_not_allowed", f"This address takes {allowed}.", headers={"Allow": allowed}
            )
        case ClientException():
            detail = f"The request cannot be read: {error.detail[:500].rstrip('.')}."
            return Problem(error.status_code, "bad_request", detail, headers=error.headers)
        case InternalServerException() if "disconnected" in error.detail:
            return Problem(400, "bad_request", "The client went away before its body was here.")
    _log(request, error)
    return fault()


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """A query that is wrong is 400; a body, 422 with every field of it that is."""
    told: list[dict[str, str]] = []
    body = False
    for entry in error.extra if isinstance(error.extra, list) else ():
        if entry.get("source") in ("query", "path", "header", "cookie"):
            told.append({"field": _called(request, entry), "message": _AT.sub("", str(entry["message"]))})
        else:
            body = True
            at = _AT.search(str(entry["message"]))
            told.append({"field": at[1] if at else "", "message": _AT.sub("", str(entry["message"]))})
    if body:
        told = _of_body(request) or told
    names = ", ".join(sorted({one["field"] for one in told if one["field"]})[:10])
    what = "The body" if body else "The query"
    detail = f"{what} cannot be taken" + (f": {names}." if names else ".")
    return Problem(422 if body else 400, "invalid", detail, problems=told[:MOST])


def _called(request: Request[Any, Any, Any], entry: Any) -> str:
    """A parameter's name as the client knows it, not the function."""
    name = str(entry.get("key", ""))
    known = request.route_handler.parsed_fn_signature.parameters.get(name)
    definition = known.kwarg_definition if known is not None else None
    return getattr(definition, "query", None) or getattr(definition, "name", None) or name


def _of_body(request: Request[Any, Any, Any]) -> list[dict[str, str]]:
    data = request.scope["state"].get(BODY)
    parsed = request.route_handler.parsed_data_field
    if data is None or parsed is None:
        return []
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return []
    return wrongs(parsed.annotation, value)


def _log(request: Request[Any, Any, Any], error: Exception) -> None:
    path = request.scope["path"][:200].encode("unicode_escape").decode()
    _logger.error("request %s: %s %s", request_id.get(), request.method, path, exc_info=error)


HANDLERS: dict[int | type[Exception], Handler] = {
    Problem: answer,
    HTTPException: of_litestar,
    Exception: of_anything,
}
