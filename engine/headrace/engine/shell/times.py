"""Times in words: RFC 3339 in UTC, and the day of a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

SECONDS_A_DAY = 86_400


def rfc3339(at: float) -> str:
    """`2026-03-01T06:00:00.5Z`: as many digits of the second as there are."""
    text = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "")
    return (text.rstrip("0") if "." in text else text) + "Z"


def day_of(at: float) -> str:
    """The day in UTC, `2026-03-01`."""
    return _day(int(at // SECONDS_A_DAY))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    """Most runs of a while are of the same day."""
    return datetime.fromtimestamp(number * SECONDS_A_DAY, UTC).date().isoformat()
