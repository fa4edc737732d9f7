"""Who follows what: words are handed to every feed of a channel, each with room for so many and no more."""

from __future__ import annotations

import asyncio
from collections import deque

from headrace.engine.ports.cache import Word

ROOM = 256
"""Words that wait for a slow reader. More, and they are dropped: it is told to look at the store."""


class Inlet:
    """One follower's feed (ports.cache.Feed)."""

    __slots__ = ("_look", "_waiter", "_words", "live")

    def __init__(self, live: bool) -> None:
        self.live = live
        self._words: deque[Word] = deque()
        self._look = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, word: Word) -> None:
        if len(self._words) >= ROOM:
            self.look()
            return
        self._words.append(word)
        self._wake()

    def look(self) -> None:
        """Something may have been missed."""
        self._words.clear()
        self._look = True
        self._wake()

    def turn(self, live: bool) -> None:
        """Words come from now on, or come no longer; either way some may have been missed."""
        self.live = live
        self.look()

    async def next(self, timeout: float) -> Word | None:
        if not self._look and not self._words:
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(timeout, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        if self._look:
            self._look = False
            return None
        return self._words.popleft() if self._words else None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Channels:
    """The feeds of this process by channel."""

    def __init__(self) -> None:
        self._feeds: dict[str, list[Inlet]] = {}

    def names(self) -> list[str]:
        return list(self._feeds)

    def feeds(self, name: str) -> list[Inlet]:
        return self._feeds.get(name, [])

    def add(self, name: str, feed: Inlet) -> bool:
        """Whether it is the channel's first."""
        feeds = self._feeds.setdefault(name, [])
        feeds.append(feed)
        return len(feeds) == 1

    def remove(self, name: str, feed: Inlet) -> bool:
        """Whether it was the channel's last."""
        feeds = self._feeds[name]
        feeds.remove(feed)
        if not feeds:
            del self._feeds[name]
        return not feeds

    def turn(self, live: bool) -> None:
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.turn(live)
