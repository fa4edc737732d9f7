"""An answer that is good for a moment: asked for by many, found out by one. No Litestar here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class Lately:
    """Args:
    seconds: how long an answer is good.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._found: tuple[float, Any] | None = None
        self._asking: asyncio.Task[Any] | None = None

    async def get(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What was found out at most `seconds` ago, else what `ask` says now, once for all who wait. Raises what `ask` raises."""
        if self._found is not None and monotonic() - self._found[0] < self._seconds:
            found: T = self._found[1]
            return found
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(ask))
        answer: T = await asyncio.shield(self._asking)
        return answer

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await ask()
            self._found = (monotonic(), answer)
            return answer
        finally:
            self._asking = None
