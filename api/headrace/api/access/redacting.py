"""No answer and no log line holds a secret, wherever it came from: the last thing that looks at what leaves the process.

Values are veiled where they are read (`headrace.api.veiling`); this is for what nobody thought of: a message of a library, a
name, a header. Secrets shorter than `SHORTEST` characters are left to the veil, because they would hide ordinary words.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable

import msgspec
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from headrace.runners.redaction import Redactor

SHORTEST = 8
LARGE = 256 * 1024
"""Bytes of an answer from which on it is looked at on a thread."""
_TEXT = re.compile(rb"application/(?:[\w.+-]+\+)?json|text/|image/svg|application/(?:yaml|xml)")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def redactor(secrets: Iterable[str]) -> Redactor | None:
    """None: there is nothing to hide."""
    long = sorted({secret for secret in secrets if len(secret.strip()) >= SHORTEST})
    return Redactor(long) if long else None


class Redaction(ASGIMiddleware):
    """Redacts bodies and headers of every answer that is text. A streamed answer is redacted piece by piece: whoever streams sends
    a whole line or event at a time."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        held: HTTPResponseStartEvent | None = None
        is_text = False

        async def redacted(message: Message) -> None:
            nonlocal held, is_text
            if message["type"] == "http.response.start":
                headers = [(name.lower(), value) for name, value in message["headers"]]
                is_text = _TEXT.match(dict(headers).get(b"content-type", b"")) is not None
                message["headers"] = [(name, self._header(value)) for name, value in headers]
                if is_text and any(name == b"content-length" for name, _ in headers):
                    held = message  # its length is known once the body is
                    return
            elif message["type"] == "http.response.body" and is_text:
                body = message["body"]
                message["body"] = await self._body(body)
                if held is not None:
                    whole = not message.get("more_body")
                    if body:
                        held["headers"] = list(
                            _measured(held["headers"], len(message["body"]) if whole else None)
                        )
                    await send(held)
                    held = None
            await send(message)

        await next_app(scope, receive, redacted)

    def _header(self, value: bytes) -> bytes:
        return self._redactor.text(value.decode("latin-1")).encode("latin-1")

    async def _body(self, body: bytes) -> bytes:
        return await asyncio.to_thread(self._clean, body) if len(body) > LARGE else self._clean(body)

    def _clean(self, body: bytes) -> bytes:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return body
        found = self._redactor.text(text)
        if found == text:
            return body
        try:  # inside JSON a mark must not break what stands around it
            return msgspec.json.encode(self._redactor.value(msgspec.json.decode(body)))
        except msgspec.DecodeError:
            return found.encode()


def _measured(headers: Iterable[tuple[bytes, bytes]], length: int | None) -> Iterable[tuple[bytes, bytes]]:
    """With the length as it is now; without one for a body that comes in pieces, whose length nobody knows any more."""
    for name, value in headers:
        if name != b"content-length":
            yield name, value
        elif length is not None:
            yield name, str(length).encode()


class CleanLines(logging.Filter):
    """Log lines without secrets, and without characters that forge lines or steer terminals. Put it on handlers."""

    def __init__(self, redactor: Redactor | None) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._clean(record.getMessage().replace("\n", "\\n")), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._clean(record.exc_text)
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        return True

    def _clean(self, text: str) -> str:
        if self._redactor is not None:
            text = self._redactor.text(text)
        return _CONTROL.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
