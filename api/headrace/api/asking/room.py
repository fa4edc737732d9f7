"""Room for runs to begin: while no engine takes them, the API accepts so many and no more. No Litestar here."""

from __future__ import annotations

from typing import Protocol

from headrace.api.lately import Lately
from headrace.api.problems import Problem

MOST = 10_000
"""Starts that may wait for an engine."""
SECONDS_LATER = 5


class Starts(Protocol):
    """Where starts wait."""

    async def unapplied(self, kind: str, most: int) -> int:
        """How many commands of a kind no engine has taken yet, counted up to `most`."""


class Room:
    """Counted at most once a second; what is let in meanwhile is added, so that a burst does not go above by more than what other
    processes of the API let in."""

    def __init__(self, starts: Starts, most: int = MOST) -> None:
        self._starts = starts
        self._most = most
        self._lately = Lately()
        self._since = 0

    async def require(self) -> None:
        """Raises Problem (503) when there is none."""
        waiting = await self._lately.get(self._count)
        if waiting + self._since >= self._most:
            raise Problem(
                503,
                "no_room",
                f"{self._most:,} runs wait to begin and no engine takes them. Ask again when the engines have caught up; "
                "headrace workers list and GET /health tell what is missing.",
                headers={"Retry-After": str(SECONDS_LATER)},
            )
        self._since += 1

    async def _count(self) -> int:
        waiting = await self._starts.unapplied("start", self._most)
        self._since = 0
        return waiting
