"""`headrace why RUN [TASK]`: why a task waits, or what decided it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.here import go
from headrace.cli.where import HERE, RunRef, TaskName, Where


def why(
    run: RunRef,
    task: TaskName | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """Why a task waits, or what decided it."""
    return go(_why(where, run, task, json))
