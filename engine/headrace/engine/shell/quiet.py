"""Letting Python's collector of cycles run rarely, while an engine works."""

from __future__ import annotations

import gc

THRESHOLDS = (100_000, 20, 100)
"""With Python's own, a quarter of the time goes into walking the plans, and what the engine drops has no cycles."""


class QuietCollector:
    """Thresholds that are put back when it is over."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def begin(self) -> None:
        if self._before is None:
            self._before = gc.get_threshold()
            gc.set_threshold(*THRESHOLDS)

    def end(self) -> None:
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None
