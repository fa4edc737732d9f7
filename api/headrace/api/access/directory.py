"""Users and tokens as they were a moment ago: what was found is kept for a few seconds, so that a request does not cost a
query. What was not found is asked for again. No Litestar here."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from headrace.engine.ports.access import AccessStore, Token, User

T = TypeVar("T")

KEPT_SECONDS = 5.0
"""The most that a role taken away, a user disabled or a token revoked by another process still counts here."""
MOST = 10_000
"""Users, and tokens, that are kept; the oldest go first."""


class Directory:
    """One for the process. `clock` gives seconds that only grow."""

    def __init__(self, store: AccessStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._users = _Kept[User](clock)
        self._tokens = _Kept[Token](clock)

    def knows(self, *, user: str | None = None, digest: str | None = None) -> bool:
        """Whether it answers without asking the database."""
        return (user is not None and self._users.get(user) is not None) or (
            digest is not None and self._tokens.get(digest) is not None
        )

    async def user(self, name: str) -> User | None:
        return await self._users.found(name, self._store.user)

    async def token(self, digest: str) -> Token | None:
        return await self._tokens.found(digest, self._store.token)

    def forget(self) -> None:
        """Somebody was changed through this process: here it holds from now on."""
        self._users.clear()
        self._tokens.clear()


class _Kept(Generic[T]):
    """What was found, for a while. Many who look for the same at once are one question."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[T | None]] = {}

    def get(self, key: str) -> T | None:
        until, value = self._found.get(key, (0.0, None))
        return value if self._clock() < until else None

    async def found(self, key: str, ask: Callable[[str], Awaitable[T | None]]) -> T | None:
        """Raises what `ask` raises."""
        value = self.get(key)
        if value is not None:
            return value
        asking = self._asked.get(key)
        if asking is None:
            asking = self._asked[key] = asyncio.create_task(self._ask(key, ask), name="headrace-directory")
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)

    async def _ask(self, key: str, ask: Callable[[str], Awaitable[T | None]]) -> T | None:
        me = asyncio.current_task()
        try:
            value = await ask(key)
            if value is not None and self._asked.get(key) is me:  # else it may be as it was before a change
                self._put(key, value)
            return value
        finally:
            if self._asked.get(key) is me:
                del self._asked[key]

    def _put(self, key: str, value: T) -> None:
        self._found[key] = (self._clock() + KEPT_SECONDS, value)
        self._found.move_to_end(key)
        if len(self._found) > MOST:
            self._found.popitem(last=False)

    def clear(self) -> None:
        """Whoever looks from now on asks anew, whatever is being asked at the moment."""
        self._found.clear()
        self._asked.clear()
