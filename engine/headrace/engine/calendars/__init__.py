"""What cron lines and zones mean: the adapter behind `headrace.engine.core.schedules.timetable.Calendar`, on cronsim and the IANA
zones.

Lines are read on wall times without a zone: what happens where the clock changes is decided by the core, one way for all
lines, and not by the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["IanaCalendar"]

_NAME = re.compile(r"[\w+/-]{1,64}", re.ASCII)


class IanaCalendar:
    """Without state of its own: one instance serves all threads."""

    def walls(self, line: str, after: datetime) -> Iterator[datetime]:
        """Raises ValueError for what is no line."""
        from cronsim import CronSim, CronSimError

        try:
            return CronSim(line, after)
        except CronSimError as problem:
            text = str(problem)
            raise ValueError(f"{text[:1].lower()}{text[1:]}") from None

    def zone(self, name: str) -> tzinfo:
        """Raises ValueError when there is none."""
        if name == "UTC":
            return UTC
        try:
            if not _NAME.fullmatch(name):
                raise ValueError
            return ZoneInfo(name)
        except (ValueError, OSError, LookupError):  # not there, a folder, or a path that leads out
            raise ValueError(f"there is no time zone {name}") from None
