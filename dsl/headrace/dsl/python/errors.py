"""The error of writing a workflow in Python: always one problem, at the user's own line, with the way out."""

from __future__ import annotations

from headrace.dsl.python.places import here_exactly
from headrace.engine.core.problems import InvalidWorkflow, Place, Problem


class BuildError(InvalidWorkflow):
    """A workflow function does what a workflow cannot do. `problems[0]` says what, where, and what to write instead."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        code: str = "invalid_expression",
        place: Place | None = None,
        task: str | None = None,
    ) -> None:
        if message[-1] not in ".?!":
            message += "."
        problem = Problem(
            code=code,
            message=message,
            hint=hint,
            task=task,
            place=place if place is not None else here_exactly(),
        )
        super().__init__((problem,))
