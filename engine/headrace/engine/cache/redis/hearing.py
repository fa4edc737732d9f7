"""One connection that listens to all channels that this process follows, and comes back by itself.

Messages of a channel are lost while nobody is connected, so whenever the connection was gone, and once it is back, every
feed is told to look at the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import RedisError

from headrace.engine.cache.feeds import Channels, Inlet
from headrace.engine.cache.redis.link import Link, said
from headrace.engine.ports.cache import Feed, Word

QUIET_SECONDS = 1.0
"""After so long without a message the server is asked whether it is there."""
ANSWER_SECONDS = 0.5
"""So long it has to connect, to confirm a subscription and to answer."""
AGAIN_SECONDS = 0.5
"""Between two attempts to connect."""


class Hearing:
    """`read` makes a word of a message; None: look at the store."""

    def __init__(self, link: Link, read: Callable[[bytes], Word | None]) -> None:
        self._link = link
        self._read = read
        self._channels = Channels()
        self._confirmed: set[str] = set()
        self._changed = asyncio.Event()  # what is confirmed
        self._connection: Connection | None = None  # once it is connected
        self._listening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def follow(self, channel: str) -> AsyncIterator[Feed]:
        """Entered with a live feed, or, where the server does not answer, with one that becomes live later."""
        feed = Inlet(live=False)
        self._channels.add(channel, feed)
        try:
            await self._subscribe(channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    while channel not in self._confirmed and self._link.degraded is None:
                        self._changed.clear()
                        await self._changed.wait()
            feed.live = channel in self._confirmed
            yield feed
        finally:
            if self._channels.remove(channel, feed):
                await self._unsubscribe(channel)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _subscribe(self, channel: str) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen(), name="headrace-redis-hearing")
        elif channel not in self._confirmed:
            await self._say("SUBSCRIBE", channel)

    async def _unsubscribe(self, channel: str) -> None:
        self._confirmed.discard(channel)
        await self._say("UNSUBSCRIBE", channel)

    async def _say(self, *command: str) -> None:
        """What cannot be said breaks the connection, which whoever listens on it finds out."""
        connection = self._connection
        if connection is not None and connection.is_connected:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.send_command(*command)

    async def _listen(self) -> None:
        while True:
            if self._link.degraded is None:
                connection = self._link.connection()
                try:
                    await self._hear(connection)
                except (RedisError, OSError) as error:
                    self._link.fail(said(error))
                except TimeoutError:
                    self._link.fail(f"no answer within {ANSWER_SECONDS * 1000:.0f} ms")
                finally:
                    self._connection = None
                    self._confirmed.clear()
                    self._changed.set()
                    self._channels.turn(live=False)
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self, connection: Connection) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
            if names := self._channels.names():
                await connection.send_command("SUBSCRIBE", *names)
            self._connection = connection
            for name in set(self._channels.names()).difference(names):  # came while this was connecting
                await connection.send_command("SUBSCRIBE", name)
        asked = bool(names)
        while True:
            patience = ANSWER_SECONDS if asked else QUIET_SECONDS
            message = await connection.read_response(timeout=patience, disconnect_on_error=False)
            if message is not None:
                asked = False
                self._take(message)
            elif asked:
                raise TimeoutError
            else:
                asked = True
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.send_command("PING")

    def _take(self, message: Any) -> None:
        if not isinstance(message, list):
            return  # PONG, before anything was subscribed
        kind = bytes(message[0])
        if kind == b"message":
            word = self._read(message[2])
            for feed in self._channels.feeds(message[1].decode()):
                if word is None:
                    feed.look()
                else:
                    feed.put(word)
        elif kind == b"subscribe":
            name = message[1].decode()
            feeds = self._channels.feeds(name)
            if feeds and name not in self._confirmed:
                self._confirmed.add(name)
                self._changed.set()
                for feed in feeds:
                    feed.turn(live=True)
