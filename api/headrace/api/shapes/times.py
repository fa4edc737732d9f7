"""Times in questions: RFC 3339. Those in answers are `headrace.api.showing.times`. No Litestar here."""

from __future__ import annotations

from datetime import datetime

from headrace.api.problems import Problem
from headrace.api.showing.times import instant


def moment(text: str | None, field: str, *, status: int = 422) -> float | None:
    """Seconds since the epoch. Raises Problem that names the field: 422 for one of a body, 400 for one of a query."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None or len(text) < len("2026-03-01T06:00Z"):
            raise ValueError
        seconds = read.timestamp()
        instant(seconds)
    except (ValueError, OverflowError, OSError):
        raise Problem(
            status,
            "invalid",
            f"{field} is no time: write RFC 3339 with Z or an offset, such as 2026-03-01T06:00:00Z.",
            problems=[{"field": field, "message": "no RFC 3339 time with Z or an offset"}],
        ) from None
    return seconds
