"""The connection to one server: requests that are sent again where that is safe, pages one after the other, streams that go on
where they were cut off."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx2
import msgspec

from headrace.api.client import wire
from headrace.api.client.errors import UNREADABLE, ApiError
from headrace.api.client.wire import Asked, Retrying
from headrace.api.paging import MOST, Page, cursor_of

T = TypeVar("T")

STREAM_SILENCE = 60.0
"""Seconds after which a stream without even a comment is dead: servers send one every fifteen."""
LARGEST_EVENT = 16 * 1024 * 1024


class Connection:
    """Made by `Client`.

    Args:
        server: https://host, or http://host:port.
        token: an API token or a login.
        project: whose workflows and runs are meant; None: the token's, or the server's own.
        timeout: seconds that an answer may take, beside what the server was asked to wait.
        retrying: how often requests are sent again.
        transport: in place of the network.

    Raises ValueError for an address that is none.
    """

    def __init__(
        self,
        server: str,
        token: str | None,
        project: str | None,
        *,
        timeout: float,
        retrying: Retrying,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.root = wire.address(server)
        self.server = server
        self.token, self.project = token, project
        self._timeout, self._retrying = timeout, retrying
        self._http = httpx2.Client(
            transport=transport,
            follow_redirects=False,  # a token is for this server and for no other one
            trust_env=not wire.is_here(server),
            headers={"User-Agent": "headrace-client"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is open to the server."""
        self._http.close()

    # -- requests -----------------------------------------------------------------------------------------------------

    def get(self, kind: type[T], *steps: str | int, wait: float = 0.0, **given: Any) -> T:
        """What lies at a path. `given`: the query."""
        waiting = {} if wait <= 0 else {"wait": wire.lasting(wait)}
        asked = Asked("GET", wire.path(*steps), wire.query({**given, **waiting}), patience=wait)
        return wire.read(self.ask(asked), kind)

    def post(
        self,
        kind: type[T],
        *steps: str | int,
        body: Mapping[str, Any] | None = None,
        wait: float = 0.0,
        key: str | None = None,
        method: str = "POST",
        once: bool = True,
    ) -> T:
        """What a change answers. It carries an Idempotency-Key, `key` or a new one, so that it is made once however often it is
        sent; `once` False: the route takes none, and nothing is sent twice."""
        asked = Asked(
            method,
            wire.path(*steps),
            wire.query({"wait": wire.lasting(wait)}),
            None if body is None else msgspec.json.encode(body),
            key=(key or uuid4().hex) if once else None,
            patience=wait,
        )
        answer = self.ask(asked)
        return wire.read(answer or b"null", kind)

    def pages(
        self,
        kind: type[T],
        *steps: str | int,
        most: int | None = None,
        page: int = MOST,
        before: int | None = None,
        **given: Any,
    ) -> Iterator[T]:
        """The items of a list, page after page, as they are asked for; at most `most`. `page`: how many an answer holds at most.
        `before`: only what has an id below this one."""
        cursor = None if before is None else cursor_of(before)
        left = most
        while left is None or left > 0:
            limit = page if left is None else min(page, left)
            found = self.get(Page[kind], *steps, cursor=cursor, limit=limit, **given)  # type: ignore[valid-type]
            yield from found.items
            if left is not None:
                left -= len(found.items)
            if found.next is None:
                return
            cursor = found.next

    def ask(self, asked: Asked) -> bytes:
        """The body of the answer. Raises ApiError."""
        tried = 0
        while True:
            tried += 1
            unsent = False
            try:
                answer = self._http.request(
                    asked.method,
                    self.root + asked.path,
                    params=asked.query,
                    content=asked.body,
                    headers=wire.headers(self.token, self.project, asked),
                    timeout=httpx2.Timeout(self._timeout, read=self._timeout + asked.patience),
                )
                if answer.is_success:
                    return answer.content
                error = wire.refusal(answer.status_code, answer.headers, answer.content)
            except httpx2.HTTPError as problem:
                error, unsent = wire.silence(problem, self.server), wire.unsent(problem)
            pause = self._retrying.pause(tried, error)
            if pause is None or not (asked.repeatable or unsent):
                raise error
            time.sleep(pause)

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, *steps: str, after: str | None = None) -> Generator[httpx2.ServerSentEvent, None, None]:
        """The events of a stream until the caller has enough. When the connection breaks, or the server ends it, it is made again and
        goes on behind the last event that was given out. Raises ApiError: for what is refused, and for a server that stays away."""
        last, tried = after, 0
        pause = self._retrying.first
        while True:
            path = wire.path(*steps)
            headers = wire.headers(self.token, self.project, Asked("GET", path))
            headers["Accept"] = "text/event-stream"
            if last:
                headers["Last-Event-ID"] = last
            error: ApiError | None = None
            try:
                timeout = httpx2.Timeout(self._timeout, read=max(self._timeout, STREAM_SILENCE))
                with self._http.stream("GET", self.root + path, headers=headers, timeout=timeout) as answer:
                    if answer.status_code == 204:
                        return
                    if not answer.is_success:
                        answer.read()
                        raise wire.refusal(answer.status_code, answer.headers, answer.content)
                    for event in httpx2.EventSource(answer, LARGEST_EVENT):
                        tried = 0  # be it the greeting alone: the server is there
                        if event.retry is not None:
                            pause = event.retry / 1000
                        last = event.id or last
                        if event.event == "broken":
                            raise _broken(event.data)
                        if event.data:
                            yield event
            except httpx2.HTTPError as problem:
                error = wire.silence(problem, self.server)
            except ApiError as refused:
                error = refused
            tried += 1
            if error is not None:
                longer = self._retrying.pause(tried, error)
                if longer is None:
                    raise error
                pause = longer
            time.sleep(min(pause, wire.LONGEST_PAUSE))


def _broken(data: str) -> ApiError:
    try:
        said = msgspec.json.decode(data)
        return ApiError(500, str(said["code"]), str(said["detail"]))
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ApiError(500, UNREADABLE, "The stream ended, and why cannot be read.")
