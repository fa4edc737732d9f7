"""Answers that say no, as RFC 9457 problem details. No Litestar here; `app` turns them into responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROBLEM_TYPE = "application/problem+json"


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


def fault() -> Problem:
    """500, for what nobody foresaw: nothing is told but that it was written down."""
    return Problem(
        500,
        "fault",
        "This is a fault of Headrace. Its log tells more, under the id in the header X-Request-Id.",
    )


def problem_of(error: Exception) -> Problem | None:
    """The answer for what the engine and its adapters say no with; None for what they do not say. What they tell of
    addresses and files stays in the log."""
    from headrace.engine.core.drawing import problem_document
    from headrace.engine.core.problems import InvalidWorkflow
    from headrace.engine.ports.artifacts import ArtifactMissing
    from headrace.engine.ports.broker import BrokerUnavailable
    from headrace.engine.ports.store import OutcomeUnknown, RowDamaged, StoreUnavailable
    from headrace.engine.shell.commands import Refused
    from headrace.engine.shell.plans import PlanMissing

    match error:
        case StoreUnavailable():
            return _later(
                "store_unavailable",
                "The database cannot be used at the moment. Nothing was changed by this request.",
            )
        case BrokerUnavailable():
            return _later("broker_unavailable", "Kafka cannot be used at the moment.")
        case OutcomeUnknown():
            return _later(
                "outcome_unknown",
                "The database went away before it said whether this was done. Look before asking again; a request with an "
                "Idempotency-Key can be sent again as it is.",
            )
        case RowDamaged():
            return Problem(500, "row_damaged", str(error))
        case PlanMissing():
            return Problem(500, "plan_missing", str(error)[:500])
        case ArtifactMissing():
            return Problem(404, "value_missing", "The value is not where it was kept.")
        case Refused():
            return Problem(422, "invalid", str(error)[:1000])
        case InvalidWorkflow():
            return Problem(
                422,
                "invalid_workflow",
                str(error)[:1000],
                problems=[problem_document(one) for one in error.problems[:500]],
                warnings=[problem_document(one) for one in error.warnings[:500]],
            )
    return None


def _later(code: str, detail: str) -> Problem:
    return Problem(503, code, detail, headers={"Retry-After": "2"})


def missing(what: str, name: str) -> Problem:
    """404: also for what belongs to another project, of which nothing is said."""
    return Problem(404, "not_found", f"There is no {what} {name}.")
