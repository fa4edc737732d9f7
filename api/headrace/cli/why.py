"""`headrace why RUN [TASK]`: why a task waits, or what decided it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.here import go
from headrace.cli.where import HERE, Where


def why(
    run: str,
    task: str | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """Why a task waits, or what decided it.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    task
        A task, or one item of it: price, price[7]. Without it, every task that waits.
    """
    return go(_why(where, run, task, json))
