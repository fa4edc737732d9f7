"""Runs by what they have in common, newest first. No Litestar here."""

from __future__ import annotations

from typing import Any

from headrace.api.office import Office
from headrace.api.shapes.runs import RunFilter
from headrace.api.shapes.times import moment
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow


async def found_by(
    office: Office, project: str, wanted: RunFilter, *, before: int | None, limit: int, body: bool = False
) -> list[RunRow]:
    """At most `limit` runs below the number `before`. `body`: the filter came in a body, else in a query. Raises Problem (422, or
    400) for a time that is none."""
    where, status = ("filter.", 422) if body else ("", 400)
    given: dict[str, Any] = {
        "workflow": wanted.workflow,
        "state": None if wanted.state is None else RunState[wanted.state.upper()],
        "tag": wanted.tag,
        "created_after": moment(wanted.created_after, f"{where}created_after", status=status),
        "created_before": moment(wanted.created_before, f"{where}created_before", status=status),
        "text": wanted.text,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    return await office.store.list_runs(project, **asked, before=before, limit=limit)
