"""Times as programs get them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def instant(seconds: float) -> str: ...
@overload
def instant(seconds: None) -> None: ...
@overload
def instant(seconds: float | None) -> str | None: ...
def instant(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds: `2026-03-01T06:00:00.000Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
