"""What is sent and what comes back, without the sending: addresses, headers, bodies, problems, and when to ask again.

Both clients go by it; nothing here waits or opens anything.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from headrace.api.client.errors import TIMED_OUT, UNREACHABLE, UNREADABLE, ApiError

T = TypeVar("T")

ROOT = "/api/v1"
JSON, YAML = "application/json", "application/yaml"
PASSING = frozenset((429, 502, 503, 504))
"""Statuses of what may be otherwise in a moment."""
LONGEST_PAUSE = 30.0
"""Seconds; a server that wants to be left alone for longer is not asked again."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often and how soon a request is sent again.

    Args:
        times: attempts beside the first one.
        first: seconds before the second attempt; every further pause is twice as long, up to `most`, and random within that.
    """

    times: int = 4
    first: float = 0.25
    most: float = 8.0

    def pause(self, tried: int, error: ApiError) -> float | None:
        """Seconds until the request is sent again when `tried` attempts have failed; None: it is not."""
        if tried > self.times or (error.status is not None and error.status not in PASSING):
            return None
        if error.code == UNREADABLE:
            return None
        drawn: float = random.uniform(0.5, 1.0) * min(self.most, self.first * 2 ** (tried - 1))
        if error.retry_after is None:
            return drawn
        return None if error.retry_after > LONGEST_PAUSE else error.retry_after + drawn * 0.1


class Asked(NamedTuple):
    """One request. `key`: its Idempotency-Key. `patience`: seconds that the server was asked to wait before it answers."""

    method: str
    path: str
    query: Mapping[str, Any] = {}
    body: bytes | None = None
    content_type: str = JSON
    key: str | None = None
    patience: float = 0.0

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does nothing twice."""
        return self.method == "GET" or self.key is not None


def address(server: str) -> str:
    """The API's root on a server, from what users write: `https://host`, `http://host:8000/base`. Raises ValueError."""
    parts = urlsplit(server.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"{server} is no address of a server: it is written https://host or http://host:port"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("a server's address holds no password: give a token")
    return server.strip().rstrip("/").removesuffix(ROOT) + ROOT


def is_here(server: str) -> bool:
    """Whether the server is this machine: proxies are not asked about it."""
    host = urlsplit(server).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def path(*steps: str | int) -> str:
    """`/runs/0199…/tasks/price%5B7%5D`: every step is quoted, so that none of them becomes two."""
    return "".join("/" + quote(str(step), safe="") for step in steps)


def query(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of a query, as text; what is None is left out."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        found[name.rstrip("_")] = value
    return found


def headers(token: str | None, project: str | None, asked: Asked) -> dict[str, str]:
    """Those of a request."""
    found = {"Accept": JSON}
    if token is not None:
        found["Authorization"] = f"Bearer {token}"
    if project is not None:
        found["X-Headrace-Project"] = project
    if asked.body is not None:
        found["Content-Type"] = asked.content_type
    if asked.key is not None:
        found["Idempotency-Key"] = asked.key
    return found


def lasting(seconds: float) -> str | None:
    """A `wait`; None where nobody waits."""
    return f"{min(max(seconds, 0.001), 60.0):.3f}s" if seconds > 0 else None


@lru_cache(maxsize=128)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def read(data: bytes, kind: type[T]) -> T:
    """An answer's body. Fields that this release does not know are passed over. Raises ApiError (unreadable)."""
    try:
        found: T = _decoder(cast("Hashable", kind)).decode(data)
    except msgspec.MsgspecError as error:
        raise ApiError(None, UNREADABLE, f"The server's answer cannot be read: {error}.") from None
    return found


def refusal(status: int, said: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer is. What is no problem document came from something else on the way."""
    request_id = said.get("x-request-id")
    wait = _seconds(said.get("retry-after"))
    try:
        document = msgspec.json.decode(body)
        code, detail = str(document.pop("code")), str(document.pop("detail"))
        problems = [dict(one) for one in document.pop("problems", ())]
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
        return ApiError(
            status,
            "http",
            f"The server answered {status}, and not as this API does.",
            request_id=request_id,
            retry_after=wait,
        )
    more = {name: value for name, value in document.items() if name not in ("type", "title", "status")}
    return ApiError(
        status, code, detail, problems=problems, more=more, request_id=request_id, retry_after=wait
    )


def silence(error: httpx2.HTTPError, server: str) -> ApiError:
    """The error that no answer is."""
    if isinstance(error, httpx2.TimeoutException):
        return ApiError(None, TIMED_OUT, f"{server} did not answer in time.")
    said = str(error) or type(error).__name__
    return ApiError(None, UNREACHABLE, f"{server} cannot be reached: {said}")


def unsent(error: httpx2.HTTPError) -> bool:
    """Whether the request cannot have arrived."""
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None
