"""What a server said no with, as a command here would have said it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.failure import Stop
from headrace.engine.core.problems import InvalidWorkflow, Place, Problem

if TYPE_CHECKING:
    from headrace.api.client.errors import ApiError


def refused(error: ApiError) -> Exception:
    """What the server, or an engine, said against a command."""
    return Stop(error.detail) if error.status in (400, 404, 409, 422) else error


def invalid(error: ApiError) -> Exception:
    """What is wrong with a workflow or its parameters, as a check here would say it."""
    if error.status != 422 or not error.problems or "code" not in error.problems[0]:
        return refused(error)
    told = [
        Problem(
            code=one["code"],
            message=one["message"],
            hint=one.get("hint"),
            path=tuple(one.get("path") or ()),
            task=one.get("task"),
            place=Place(one.get("file"), one.get("line"), one.get("column")) if one.get("line") else None,
        )
        for one in error.problems
    ]
    return InvalidWorkflow(told)
