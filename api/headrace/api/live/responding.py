"""A stream as an answer: sent piece by piece to a client that takes it, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from litestar import Request, Response
from litestar.response.base import ASGIResponse

from headrace.api.live.ending import Ending
from headrace.api.live.frames import pieces
from headrace.api.live.tape import Reader

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send

    from headrace.api.live.sharing import Live

Open: TypeAlias = Callable[[AsyncExitStack, Reader], Awaitable[AsyncGenerator[bytes, None]]]
"""Opens what a stream is told from, to be closed with the stack, and gives its pieces."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
EVENT_STREAM = "text/event-stream"


class Stream(Response[None]):
    """Args:
    live: whose bounds hold.
    asker: who is counted for the stream.
    open: see Open; called once there is a seat.
    """

    def __init__(self, live: Live, asker: str, open: Open) -> None:
        super().__init__(None, media_type=EVENT_STREAM, headers=HEADERS)
        self._live, self._asker, self._open = live, asker, open

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], *, headers: Any = None, **more: Any
    ) -> ASGIResponse:
        ending = request.app.state.get("ending") or Ending()
        return _Streamed(self._live, self._asker, self._open, ending, {**(headers or {}), **HEADERS})


class _Streamed(ASGIResponse):
    __slots__ = ("_asker", "_ending", "_live", "_open")

    _should_set_content_length = False

    def __init__(self, live: Live, asker: str, open: Open, ending: Ending, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, media_type=EVENT_STREAM)
        self._live, self._asker, self._open, self._ending = live, asker, open, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = Reader()
        async with AsyncExitStack() as closing:
            closing.enter_context(self._live.seat(self._asker))
            told = await self._open(closing, reader)
            closing.callback(self._ending.watch(reader.end))
            await self.start_response(send)
            listening = asyncio.create_task(_gone(receive), name="headrace-listener")
            listening.add_done_callback(lambda _: reader.end())
            closing.push_async_callback(_cancelled, listening)
            async with aclosing(told) as frames:
                if not await self._send(frames, listening, send):
                    return
            if not listening.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, frames: AsyncIterator[bytes], listening: asyncio.Task[None], send: Send) -> bool:
        """Whether the client took everything: one that takes nothing for a while is left."""
        patience = self._live.bounds.patience
        async for data in frames:
            for piece in pieces(data):
                if listening.done():
                    return True
                try:
                    async with asyncio.timeout(patience):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                except TimeoutError:
                    return False
        return True


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
