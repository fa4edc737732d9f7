"""What can be wrong with an expression as written, told with its spot and a way out."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.core.evaluation import PathParts


class ExpressionProblem(Exception):
    """An expression or template that cannot be used. Never raised for what a run's values do: see EvaluationError.

    `offset` counts characters from the start of the text (of the string at `path`, in a template). `others` holds
    what else is wrong in the same template, so that a caller can show everything at once.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        offset: int = 0,
        path: PathParts = (),
        others: Sequence[ExpressionProblem] = (),
    ) -> None:
        self.message, self.hint, self.offset, self.path = message, hint, offset, path
        self.others = tuple(others)
        super().__init__(message + (f" {hint}" if hint else ""))

    def within(self, path: PathParts, offset: int = 0) -> ExpressionProblem:
        """The same problem of a text that lies at `path` in a value, `offset` characters into its string."""
        return ExpressionProblem(self.message, self.hint, self.offset + offset, path, self.others)
