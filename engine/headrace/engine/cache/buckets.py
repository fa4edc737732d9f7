"""Token buckets in this process: what a rate limit is where there is no server to count for all processes together."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

MOST = 10_000
"""Buckets kept, at most; a full one is as good as none."""


def check(rate: float, burst: float, cost: float) -> None:
    """Raises ValueError for a bucket that never fills, and for a cost that it never holds."""
    if rate <= 0 or burst <= 0:
        raise ValueError(f"a bucket needs a rate and a burst above 0, not {rate:g} and {burst:g}.")
    if not 0 <= cost <= burst:
        raise ValueError(f"a cost of {cost:g} never fits into a burst of {burst:g}.")


class Buckets:
    """By name. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}  # when each will be full, which says how much is in it now

    def take(self, name: str, rate: float, burst: float, cost: float) -> float:
        """As Cache.take."""
        check(rate, burst, cost)
        now = self._clock()
        held = min(burst, burst - (self._full_at.get(name, now) - now) * rate)
        if held < cost:
            return (cost - held) / rate
        self._full_at[name] = now + (burst - held + cost) / rate
        if len(self._full_at) > MOST:
            self._thin(now)
        return 0.0

    def _thin(self, now: float) -> None:
        """Forget the full ones; and where there are as many others, the fullest, which have the least to lose. A quarter goes at
        once, so that whoever asks under ever new names does not have all of them looked through each time."""
        kept = ((other, full) for other, full in self._full_at.items() if full > now)
        self._full_at = dict(heapq.nlargest(MOST - MOST // 4, kept, key=lambda one: one[1]))
