"""Times in questions: RFC 3339. Those in answers are `headrace.api.showing.times`. No Litestar here."""

from __future__ import annotations

from datetime import datetime

from headrace.api.problems import Problem
from headrace.api.showing.times import instant


def moment(text: str | None, field: str) -> float | None:
    """The other way round: seconds since the epoch. Raises Problem (400) that names the field."""
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
            400,
            "invalid",
            f"{field} is no time: write RFC 3339 with Z or an offset, such as 2026-03-01T06:00:00Z.",
            problems=[{"field": field, "message": "no RFC 3339 time with Z or an offset"}],
        ) from None
    return seconds
