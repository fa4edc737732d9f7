"""How much one request may bring, and how long it may take.

A body is counted while it is read, whatever its head says, and only once somebody has been let in: who may not call a route
has nothing read. A JSON body is looked at for its depth before it is decoded.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import cast

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from headrace.api.problems import Problem

USUAL_BODY, UPLOAD_BODY = 1 << 20, 8 << 20
"""Bytes of a body; the second for routes whose `opt` says `upload`."""
DEEPEST = 64
"""Levels of a JSON body."""
SECONDS, PATIENT_SECONDS = 30.0, 100.0
"""From a request to its answer; the second where somebody asks to wait, or sends a workflow that may wait for its turn."""
LEFTOVER, LEFTOVER_SECONDS = 8 << 20, 2.0
"""What is read of a body that is refused, so that its sender comes to read why."""
LARGE = 64 * 1024
"""Bytes from which a body is looked at on another thread."""

BODY = "headrace_body"
"""Where a JSON body is kept in the scope's state, for an answer that lists all that is wrong with it."""

_TEXT = re.compile(
    rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL
)  # one that does not end takes the rest with it
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class Limits(ASGIMiddleware):
    """Comes before whatever reads bodies. Routes whose `opt` says `upload` take more, and more than JSON."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["type"] != ScopeType.HTTP:
            await next_app(scope, receive, send)
            return
        opt = scope["route_handler"].opt
        patient = opt.get("upload") or b"wait=" in scope["query_string"]
        seconds = PATIENT_SECONDS if patient else SECONDS
        body = _Body(scope, receive, upload=bool(opt.get("upload")))
        answered = False
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds) as limit:

                async def sending(message: Message) -> None:
                    """While an answer goes on, and its client reads, it may take as long as it takes."""
                    nonlocal answered
                    answered = True
                    await send(message)
                    limit.reschedule(None if _is_stream(message, limit) else loop.time() + seconds)

                await next_app(scope, body.receive, sending)
        except TimeoutError:
            if answered or not limit.expired():
                raise
            raise Problem(
                504,
                "timed_out",
                f"This was not answered within {seconds:g} s. What was asked for may have been done: look before asking again, "
                "or ask with an Idempotency-Key.",
            ) from None


def _is_stream(message: Message, limit: asyncio.Timeout) -> bool:
    """Whether an answer has begun that goes on for as long as the client likes, or has done so before."""
    if message["type"] != "http.response.start":
        return limit.when() is None
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message["headers"]
    )


class _Body:
    """A body on its way in."""

    def __init__(self, scope: HTTPScope, receive: Receive, *, upload: bool) -> None:
        heads = dict(scope["headers"])
        self._scope = scope
        self._receive = receive
        self._most = UPLOAD_BODY if upload else USUAL_BODY
        self._upload = upload
        self._encoding = heads.get(b"content-encoding", b"identity").strip().lower()
        self._announced = heads.get(b"content-length", b"0")
        self._waits_for_leave = heads.get(b"expect", b"").lower() == b"100-continue"
        kind = heads.get(b"content-type", b"").partition(b";")[0].strip().lower()
        self._json = kind == b"application/json" or kind.endswith(b"+json")
        self._pieces: list[bytes] = []
        self._size = 0
        self._begun = False

    async def receive(self) -> HTTPReceiveMessage:
        """Raises Problem: 400, 413, 415."""
        if not self._begun:
            self._begun = True
            if self._encoding not in (b"", b"identity"):
                await self._read_away()
                raise Problem(
                    415,
                    "unsupported_encoding",
                    "Send the body as it is, without Content-Encoding: what comes compressed is not opened.",
                    headers={"Connection": "close"},
                )
            with suppress(ValueError):
                if int(self._announced) > self._most:
                    raise await self._too_large()
        message = await self._receive()
        if message["type"] != "http.request":
            return cast("HTTPReceiveMessage", message)
        self._size += len(message["body"])
        if self._size > self._most:
            raise await self._too_large()
        if self._size and not self._upload:
            if not self._json:
                raise Problem(
                    415,
                    "unsupported_media_type",
                    "Send the body as JSON, with Content-Type: application/json.",
                )
            self._pieces.append(message["body"])
            if not message["more_body"]:
                await self._look()
        return message

    async def _look(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._scope["state"][BODY] = data
        deep = await asyncio.to_thread(too_deep, data) if len(data) > LARGE else too_deep(data)
        if deep:
            raise Problem(
                400, "too_deep", f"The body is nested more than {DEEPEST} levels deep, or is no JSON."
            )

    async def _too_large(self) -> Problem:
        await self._read_away()
        return Problem(
            413,
            "too_large",
            f"The body has more than {self._most:,} bytes, which is the most that this route takes.",
            headers={"Connection": "close"},
        )

    async def _read_away(self) -> None:
        """A sender that goes on sending does not look for an answer; one that was told to wait for leave has sent nothing."""
        if self._waits_for_leave:
            return
        left = LEFTOVER
        with suppress(TimeoutError):
            async with asyncio.timeout(LEFTOVER_SECONDS):
                while left > 0:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message["more_body"]:
                        return
                    left -= len(message["body"])


def too_deep(data: bytes, deepest: int = DEEPEST) -> bool:
    """Whether a JSON text is nested deeper than that. One that is no JSON may pass as long as no decoder would follow it for
    more than twice that. Takes time in proportion to the text, however it is made."""
    if data.count(b"[") + data.count(b"{") <= deepest:
        return False
    brackets = _TEXT.sub(b"", data).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(deepest):
        brackets = brackets.replace(b"[]", b"")  # the innermost level of everything
        if not brackets:
            return False
    return b"[]" in brackets or brackets.count(b"[") > deepest
