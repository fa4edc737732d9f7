"""Runs `http` tasks: one request, its redirects as far as they are allowed, the answer as a value."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.http_policy import AddressRefused, HttpPolicy
from headrace.runners.values import LONGEST_MESSAGE, NoJson, compact, decode_json, encode_json, failure

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of an answer, after decompression."""

LONGEST_RETRY_AFTER = 3600.0
CONNECT_WITHIN = 30.0
RETRIED = frozenset((408, 425, 429))
"""The only statuses of 4xx that another try may change."""

SCHEMES = frozenset(("http", "https"))
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE_ELSEWHERE = frozenset(("accept", "accept-language", "content-type", "user-agent"))
_KEYED_METHODS = frozenset(("POST", "PATCH"))


class HttpRunner:
    """Keeps connections for all attempts of a worker. Used on one event loop; `close` it there."""

    def __init__(self, policy: HttpPolicy, *, largest_body: int = LARGEST_BODY) -> None:
        self._policy = policy
        self._largest = largest_body
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt; asyncio.CancelledError passes through."""
        if self._client is None:
            self._client = httpx2.AsyncClient(
                transport=_CheckedTransport(self._policy),
                timeout=httpx2.Timeout(None, connect=CONNECT_WITHIN),
                trust_env=False,  # a proxy would make the connection, and nobody would check where to
                follow_redirects=False,
            )
        began = time.monotonic()
        try:
            request = self._request(self._client, attempt)
        except (ValueError, TypeError, NoJson, httpx2.InvalidURL, UnicodeError) as error:
            return failure("invalid_input", f"No request can be made of the inputs: {error}")
        shown = f"{request.method} {_shown(request.url)}"
        try:
            status, headers, body = await self._answer(
                request, attempt.dispatch.job.work.get("redirects") or 0
            )
        except AddressRefused as error:
            return failure("address_refused", f"{shown}: {error}")
        except _TooLarge:
            return failure("invalid_output", f"{shown}: the answer has more than {self._largest} bytes.")
        except httpx2.TimeoutException as error:
            return failure("timed_out", f"{shown}: {_words(error)}.", "timeout")
        except httpx2.LocalProtocolError as error:
            return failure("invalid_input", f"{shown}: {error}")
        except (httpx2.RequestError, OSError) as error:
            names = [
                "http",
                *(cls.__name__ for cls in type(error).__mro__ if cls not in (object, BaseException)),
            ]
            info = ErrorInfo("http", f"{shown}: {_words(error)}."[:LONGEST_MESSAGE], names)
            return Outcome("failed", error=info)
        lines = attempt.lines()
        if lines is not None:
            lines.line("log", f"{shown} answered {status} after {time.monotonic() - began:.3f} s")
        if not _expected(status, attempt.dispatch.job.work.get("expect")):
            if lines is not None and body:
                lines.line("log", body[:LONGEST_MESSAGE].decode(errors="replace"))
            return _refused(shown, status, headers)
        try:
            value = _body(headers, body)
            output = encode_json({"status": status, "headers": _named(headers), "body": value})
        except NoJson as error:
            return failure("invalid_output", f"{shown}: the answer says that it is JSON, but is {error}")
        return Outcome("succeeded", output)

    def _request(self, client: httpx2.AsyncClient, attempt: Attempt) -> httpx2.Request:
        given, work = attempt.given, attempt.dispatch.job.work
        url = given["url"]
        if not isinstance(url, str):
            raise TypeError("`url` is no text.")
        method = str(work.get("method") or "GET").upper()
        headers = httpx2.Headers({"User-Agent": "headrace"})
        content: bytes | None = None
        if "json" in given:
            content = encode_json(given["json"]) or b"null"
            headers["Content-Type"] = "application/json"
        elif given.get("form") is not None:
            content = str(httpx2.QueryParams(_pairs(given["form"]))).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif given.get("body") is not None:
            content = compact(given["body"]).encode()
        if method in _KEYED_METHODS:
            headers["Idempotency-Key"] = attempt.view().effect_key
        for name, value in (given.get("headers") or {}).items():
            text = compact(value)
            if not _HEADER_NAME.fullmatch(name) or any(character in text for character in "\r\n\0"):
                raise ValueError(f"{name!r} is no header, or its value holds a line break.")
            headers[name] = text
        target = httpx2.URL(url)
        if target.scheme in SCHEMES and (not target.host or not 0 < (target.port or 80) < 65536):
            raise ValueError("`url` names no host, or a port that cannot be.")
        if given.get("query"):
            target = target.copy_merge_params(_pairs(given["query"]))
        return client.build_request(method, target, headers=headers, content=content)

    async def _answer(self, request: httpx2.Request, redirects: int) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers and body, of the last redirect that is followed."""
        assert self._client is not None
        while True:
            if request.url.scheme not in SCHEMES:
                raise AddressRefused(f'"{request.url.scheme}:" is neither http nor https.')
            response = await self._client.send(request, stream=True)
            try:
                following = response.next_request
                if following is None or redirects <= 0:
                    return response.status_code, response.headers, await self._read(response)
            finally:
                await response.aclose()
            redirects -= 1
            if _origin(following.url) != _origin(request.url):
                for name in [name for name in following.headers if name.lower() not in _SAFE_ELSEWHERE]:
                    # whatever the author put there, a token above all, was meant for the first server
                    if name.lower() not in ("host", "content-length", "accept-encoding", "connection"):
                        del following.headers[name]
            request = following

    async def _read(self, response: httpx2.Response) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.aiter_bytes():
            size += len(piece)
            if size > self._largest:
                raise _TooLarge
            pieces.append(piece)
        return b"".join(pieces)


class _TooLarge(Exception):
    """The answer exceeds what is allowed."""


class _CheckedTransport(httpx2.AsyncHTTPTransport):
    """The usual transport, connecting through a policy."""

    def __init__(self, policy: HttpPolicy) -> None:
        # from the environment it takes SSL_CERT_FILE and SSL_CERT_DIR, never a proxy
        context = httpx2.create_ssl_context()
        super().__init__(verify=context, trust_env=False)
        # the transport takes no network backend of its own; its pool does
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1000,
            max_keepalive_connections=100,
            keepalive_expiry=15.0,
            network_backend=_CheckedBackend(policy),
        )


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a name once, checks every address found, connects to one that may be reached."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._policy = policy
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = [str(address[4][0]) for address in found]
        for address in addresses:
            self._policy.check(host, address)
        last: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                last = error
        raise last or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused("a socket of this machine cannot be reached.")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def _refused(shown: str, status: int, headers: httpx2.Headers) -> Outcome:
    """The server answered with a status that is not expected."""
    phrase = httpx2.codes.get_reason_phrase(status)
    error = ErrorInfo(
        kind="http",
        message=f"{shown} answered {status} {phrase}".rstrip() + ".",
        kinds=["http"],
        status=status,
        retryable=not 400 <= status < 500 or status in RETRIED,
    )
    return Outcome("failed", error=error, retry_after=_retry_after(headers.get("retry-after")))


def _retry_after(text: str | None) -> float | None:
    """Seconds, from a number or a date; at most an hour."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None


def _expected(status: int, ranges: Any) -> bool:
    for expected in ranges or ((200, 299),):
        low, high = (expected, expected) if isinstance(expected, int) else expected
        if low <= status <= high:
            return True
    return False


def _body(headers: httpx2.Headers, body: bytes) -> Any:
    """JSON as its value, everything else as text, nothing as null."""
    if not body:
        return None
    kind, _, rest = headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return decode_json(body)
    charset = rest.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return body.decode(charset, errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _named(headers: httpx2.Headers) -> dict[str, str]:
    """Lower-case names; several of one name joined by a comma."""
    named: dict[str, str] = {}
    for name, value in headers.multi_items():
        key = name.lower()
        named[key] = f"{named[key]}, {value}" if key in named else value
    return named


def _pairs(given: Any) -> list[tuple[str, str | int | float | bool | None]]:
    """A map as pairs: a list gives one pair per element, null none."""
    if not isinstance(given, dict):
        raise TypeError("`query` and `form` are maps.")
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        pairs += ((name, compact(item)) for item in values if item is not None)
    return pairs


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(url: httpx2.URL) -> str:
    """For messages: without user and query, where credentials would stand."""
    port = f":{url.port}" if url.port is not None else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{port}{url.path}"


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
