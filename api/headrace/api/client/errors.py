"""What goes wrong when the API is asked: one exception, told apart by `status` and `code`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNREACHABLE = "unreachable"
"""The code where no answer came: nobody listens there, or the connection broke."""
TIMED_OUT = "timed_out"
"""The code where no answer came in time."""
UNREADABLE = "unreadable"
"""The code where what answered is not this API, or a release of it that says other things."""


class ApiError(Exception):
    """The API said no, or said nothing.

    Args:
        status: the HTTP status; None when no answer came.
        code: a word that programs may rely on: run_final, not_found, workflow_paused, …; or one of this module's.
        detail: what, why and what to do, for people.
        problems: for 422, every field or place that is wrong.
        more: further members of the problem.
        request_id: under which the server's log tells of it.
        retry_after: seconds after which the server wants to be asked again.
    """

    def __init__(
        self,
        status: int | None,
        code: str,
        detail: str,
        *,
        problems: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.problems, self.more = tuple(problems), dict(more or {})
        self.request_id, self.retry_after = request_id, retry_after

    @property
    def unanswered(self) -> bool:
        """Whether no answer came: what was asked for may have been done all the same."""
        return self.status is None
