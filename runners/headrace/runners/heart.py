"""Says that the worker is there and what it can take: a beat every two seconds, and soon after a change."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from headrace.engine.ports.broker import WorkerSide
from headrace.engine.ports.messages import Beat
from headrace.runners.pace import Pace

EVERY, APART = 2.0, 0.1
"""Seconds between two beats at most, and at least."""


class Heart:
    """Args:
    side: where beats go.
    about: what stays the same in all of them; `inbox` is asked of the side.
    pace: knows how far ahead the worker may be sent tasks.
    held: how many attempts the worker holds.
    monotonic: seconds that only go on.
    """

    def __init__(
        self,
        side: WorkerSide,
        about: Beat,
        pace: Pace,
        held: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.draining = False
        self._side = side
        self._about = about
        self._pace = pace
        self._held = held
        self._monotonic = monotonic
        self._at = 0.0  # monotonic; of the last beat
        self._said: int | None = None  # how far ahead, in the last beat
        self._beating = False

    def changed(self) -> None:
        """What was said last no longer holds."""
        self._said = None

    def held_up(self, seconds: float) -> None:
        """An attempt waited that long for a slot and got none: say soon how many can really be taken."""
        self._pace.held_up(seconds)
        self.changed()

    def wants(self, now: float) -> bool:
        """Whether a beat is due at that time (monotonic seconds)."""
        since = now - self._at
        if since < APART:
            return False
        if since >= EVERY or self._said is None:
            return True
        ahead = self._pace.ahead()
        return not self._said // 2 <= ahead <= max(self._said * 2, self._said + 4)

    async def beat(self) -> None:
        """Say it now. While an earlier beat is still on its way (the broker does not answer) this does nothing: a queue
        of old beats would tell of a worker that no longer is."""
        if self._beating:
            return
        self._beating = True
        self._at = self._monotonic()
        try:
            draining = self.draining
            with suppress(Exception):  # whatever the broker's client raises; the next beat says it anew
                await self._side.beat(self._made())
            if draining != self.draining:
                self.changed()
        finally:
            self._beating = False

    def _made(self) -> Beat:
        ahead = self._said = 0 if self.draining else self._pace.ahead()
        return msgspec.structs.replace(
            self._about, inbox=self._side.inbox, ahead=ahead, held=self._held(), draining=self.draining
        )
