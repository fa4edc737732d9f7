"""Answers that say no, as RFC 9457 problem details. No Litestar here; `app` turns them into responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Problem(Exception):
    """An answer that is not what was asked for.

    Args:
        status: the HTTP status.
        code: a word that programs may rely on: run_final, not_found, workflow_unknown, invalid, …
        detail: what, why and what to do, in a sentence or two.
        problems: for 422, every field that is wrong: {"field", "message"}, or the problems of `validate --json`.
        headers: of the response, such as Retry-After.
        more: further members of the problem object.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        problems: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.problems, self.headers, self.more = tuple(problems), dict(headers or {}), more

    @property
    def document(self) -> dict[str, Any]:
        """The body, as application/problem+json."""
        document: dict[str, Any] = {
            "type": f"urn:headrace:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        if self.problems:
            document["problems"] = [dict(problem) for problem in self.problems]
        return document


def missing(what: str, name: str) -> Problem:
    """404: also for what belongs to another project, of which nothing is said."""
    return Problem(404, "not_found", f"There is no {what} {name}.")
