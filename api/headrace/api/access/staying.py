"""Answers that go on for longer than the right to them: a stream is closed once its client would no longer be let in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from litestar.types import Message, Receive, Send
from litestar.types.asgi_types import HTTPReceiveMessage, WebSocketReceiveMessage

from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable

_logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
"""Between two looks at whether a stream's client may stay; what is looked at may be as old again."""


class Stay:
    """One request's way in and out. To whoever streams, a client that may not stay is one that has gone.

    Args:
        still: whether the client may stay.
    """

    def __init__(self, still: Callable[[], Awaitable[bool]], receive: Receive, send: Send) -> None:
        self._still, self._receive, self._send = still, receive, send
        self._streams = False
        self._cut = False
        self._whole = False

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        if not self._streams:
            return await self._receive()
        coming = asyncio.ensure_future(self._receive())
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=EVERY_SECONDS)
                if done:
                    return coming.result()
                if not await self._may_stay():
                    self._cut = True
                    return {"type": "http.disconnect"}
        finally:
            coming.cancel()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._streams = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
        elif message["type"] == "http.response.body":
            self._whole = not message["more_body"]
        await self._send(message)

    async def ended(self) -> None:
        """The answer was given; one that was cut off is brought to an end, so that the client asks again and is told why."""
        if self._cut and not self._whole:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _may_stay(self) -> bool:
        try:
            return await self._still()
        except (StoreUnavailable, OutcomeUnknown):  # who cannot be asked about stays
            _logger.debug("nobody could be asked who may stay")
            return True
