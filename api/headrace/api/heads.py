"""HEAD is answered wherever GET is, with the same status and headers and nothing behind them. Here, so that no route has to be
written, described and guarded twice."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send


class Heads:
    """Wraps the application, which sees a GET whose client leaves as soon as the headers are out: so no stream is told to nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        http, begun = scope, False

        async def sending(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                http["method"] = "HEAD"  # whoever stands around us, and the server, counts and frames by it
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receiving() -> ReceiveMessage:
            return {"type": "http.disconnect"} if begun else await receive()

        # In place: what the application notes in the scope (the route, the asker) is read outside.
        http["method"] = "GET"
        try:
            await self._app(scope, receiving, sending)
        finally:
            http["method"] = "HEAD"
