"""How fast this worker goes through tasks, and so how many it may be sent ahead of its free slots."""

from __future__ import annotations

AHEAD_SECONDS = 0.1
MOST_AHEAD = 3000
"""What goes through a worker of no-op tasks within 100 ms. A third of it is gone before an engine under load has gathered, decided and
committed once, and the worker would wait."""


class Pace:
    """A moving average of how long a slot is taken by a task.

    *Ahead* is a time, not a number: what the worker will start within 100 ms. A fixed number either starves it of
    short tasks or lets long ones block everybody behind them.
    """

    def __init__(self, slots: int, ahead: int = 0) -> None:
        self._slots = slots
        self._first = ahead
        self._average: float | None = None
        self._seconds = 0.0
        self._count = 0

    def took(self, seconds: float, tasks: int = 1) -> None:
        """So many tasks held a slot, for that long together."""
        self._seconds += seconds
        self._count += tasks

    def held_up(self, seconds: float) -> None:
        """An attempt waited that long and got no slot: whatever finished before, what runs now lasts."""
        self._average = max(seconds, self._average or 0.0)
        self._seconds, self._count = 0.0, 0

    def ahead(self) -> int:
        """0 to MOST_AHEAD. What has been noted since the last call weighs half, and more if it is much; nothing new: as
        before."""
        if self._count:
            seen, weight = self._seconds / self._count, max(0.5, self._count / (self._count + self._slots))
            self._average = seen if self._average is None else self._average + (seen - self._average) * weight
            self._seconds, self._count = 0.0, 0
        if self._average is None:
            return self._first
        return min(MOST_AHEAD, int(self._slots * AHEAD_SECONDS / max(self._average, 1e-6)))
