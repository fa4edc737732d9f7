"""Time as the engine sees it: one wall-clock reading at the start, and from then on a clock that never goes back."""

from __future__ import annotations

import time
from typing import Protocol

# CLOCK_BOOTTIME goes on while the machine is suspended, so a laptop that slept fires what fell due meanwhile.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def _steady() -> float:
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class Clock(Protocol):
    """Where the shell takes `at` from."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. Never goes back."""

    def steady(self) -> float:
        """Seconds from an arbitrary start, for leases and freshness: jumps of `now` do not show in it."""

    def until(self, due: float, *, idle: bool) -> float:
        """How many real seconds to wait for `due`. `idle`: nothing is in flight, only time can bring anything."""


class SystemClock:
    """Wall time at the start plus the steady time since: a step of the system's clock moves no timer.

    `wall` sets the starting point, in seconds since the epoch; an engine on a shared database gives the database's.
    """

    def __init__(self, wall: float | None = None) -> None:
        self._offset = (time.time() if wall is None else wall) - _steady()

    def now(self) -> float:
        return self._offset + _steady()

    def steady(self) -> float:
        return time.monotonic()

    def until(self, due: float, *, idle: bool) -> float:
        return max(0.0, due - self.now())


class VirtualClock:
    """Time that moves only when told to, for tests and simulations.

    With `jumps`, an idle engine is taken straight to its next timer, so a workflow that sleeps a day ends at once.
    """

    def __init__(self, start: float = 1_700_000_000.0, *, jumps: bool = True) -> None:
        self._now = start
        self._steady = 0.0
        self._jumps = jumps

    def now(self) -> float:
        return self._now

    def steady(self) -> float:
        return self._steady

    def advance(self, seconds: float) -> None:
        """Move on. Raises ValueError for a negative step: time does not go back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
        self._steady += seconds

    def until(self, due: float, *, idle: bool) -> float:
        if due > self._now:
            if not (idle and self._jumps):
                return 60.0  # whoever advances the clock also wakes the engine
            self._now = due
        return 0.0
