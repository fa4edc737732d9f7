"""What stands around every answer, whoever gives it: a request id, headers that keep browsers from doing harm, and the one
place where a fault that nobody foresaw becomes an answer."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

from headrace.api.problems import PROBLEM_TYPE, Problem, fault

_logger = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("headrace_request_id", default=None)
"""Of the request under way in this context; for log lines."""

_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

NO_SCRIPTS = b"default-src 'none'; frame-ancestors 'none'"
DRAWING = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
USUAL = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What browsers and strangers are allowed. `hosts`: names that requests may be sent to, `*.example.com` for all below one;
    none: any. `origins`: sites whose pages may call from a browser; none: none."""

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Border:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._hosts = tuple(name.lower() for name in policy.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:  # websockets: there are none
            await self._app(scope, receive, send)
            return
        http = scope
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        known = request_id.set(name)
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                _complete(message, name)
            await send(message)

        try:
            problem = self._refusal(http)
            if problem is None:
                await self._app(scope, receive, sending)
            else:
                await _answer(problem, sending)
        except Exception as error:
            if isinstance(error, TimeoutError) and began:
                _logger.info("request %s: its answer was not taken in time", name)
                return  # unfinished, so the connection is closed
            _logger.exception("request %s: %s %s", name, http["method"], _shown(http))
            if not began:
                await _answer(fault(), sending)
        finally:
            request_id.reset(known)

    def _refusal(self, scope: HTTPScope) -> Problem | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or not all(_HOST.fullmatch(host) for host in hosts):
            return Problem(400, "bad_request", "The Host header is not one.")
        if not _is_text(scope):
            return Problem(
                400,
                "bad_request",
                "The path or the query holds what is no text: a NUL character, or bytes that are not UTF-8.",
            )
        if self._hosts:
            host = hosts[0].decode().rsplit(":", 1)[0].lower() if hosts else ""
            if not any(
                host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._hosts
            ):
                return Problem(421, "misdirected", "This server does not answer for that host.")
        return None


def _is_text(scope: HTTPScope) -> bool:
    """Whether a database could keep every word of the path and the query. Here, so that no route has to remember it."""
    path, query = scope["path"], scope["query_string"]
    if b"%" in query:
        query = unquote_to_bytes(query)
    if "\0" in path or b"\0" in query:
        return False
    try:
        path.encode()  # fails for half of a surrogate pair
        unquote_to_bytes(scope.get("raw_path") or b"").decode()
        query.decode()
    except UnicodeError:
        return False
    return True


def _complete(message: HTTPResponseStartEvent, name: str) -> None:
    headers = list(message["headers"])
    has = {key.lower(): value for key, value in headers}
    kind = has.get(b"content-type", b"")
    csp = DRAWING if kind.startswith(b"image/svg") else PAGE if kind.startswith(b"text/html") else NO_SCRIPTS
    usual = (*USUAL, (b"content-security-policy", csp))
    headers.extend(header for header in usual if header[0] not in has)
    headers.append((b"x-request-id", name.encode()))
    message["headers"] = headers


async def _answer(problem: Problem, send: Send) -> None:
    body = msgspec.json.encode(problem.document)
    start: Any = {
        "type": "http.response.start",
        "status": problem.status,
        "headers": [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _shown(scope: HTTPScope) -> str:
    """The path, fit for a log line."""
    return scope["path"][:200].encode("unicode_escape").decode()
