"""One client's connection: uvicorn's protocol, with bounds on what a client may keep us waiting for, or have us remember.

uvicorn bounds nothing but the pause between two requests. Here a head must come within its seconds and bytes, a body within
its seconds; a connection that ends is gone soon, whether or not the client reads on; and where all places are taken, the
one that has been idle longest makes room.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from headrace.api.problems import PROBLEM_TYPE, Problem


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client may take of a server, in seconds, bytes and numbers."""

    head_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of its head."""
    body_seconds: float = 30.0
    """From there to the end of its body."""
    idle_seconds: float = 15.0
    """Between two requests."""
    leaving_seconds: float = 5.0
    """For what is still to be sent when we have closed."""
    stalled_seconds: float = 60.0
    """Without a sign that anything sent arrives."""
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 4096


@dataclass(slots=True)
class Crowd:
    """Every connection of a server. `idle`: those without a request under way, the longest idle first."""

    bounds: Bounds
    idle: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    staying: set[Connection] = field(default_factory=set)
    """Those that are not on their way out."""

    def take_in(self, newcomer: Connection) -> bool:
        """Whether there is room, which may be made by sending another away. Whoever has a request under way stays."""
        self.staying.add(newcomer)
        if len(self.staying) > self.bounds.connections and self.idle:
            next(iter(self.idle)).leave()
        self.idle[newcomer] = None
        return len(self.staying) <= self.bounds.connections

    def let_go(self, one: Connection) -> None:
        """It takes no place any more, though its last bytes may still be on their way."""
        self.staying.discard(one)
        self.idle.pop(one, None)


class Connection(HttpToolsProtocol):
    """Made by uvicorn; `crowd` is bound by `connection_class`."""

    crowd: Crowd

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = self.crowd.bounds
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._head_bytes = 0
        self._refused = False

    # the connection ----------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _notice_the_dead(transport, self._bounds.stalled_seconds)
        self._wait(self._bounds.head_seconds)
        if not self.crowd.take_in(self):
            self.refuse(503, "busy", "Too many connections are open; come again a little later.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.let_go(self)
        self._stop_waiting()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close, and see that it is closed: a client that reads nothing does not hold what is still to be sent."""
        self._stop_waiting()
        self.crowd.let_go(self)
        if self.transport.is_closing():
            return
        self.transport.close()
        self.loop.call_later(self._bounds.leaving_seconds, self.transport.abort)

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.leave()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        self.leave()

    # what comes --------------------------------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_head and not self._in_body and self._timer is None:
            self._wait(self._bounds.head_seconds)  # another request of a connection that was kept
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._bounds.head_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._bounds.head_bytes or len(self.headers) > self._bounds.headers:
            self._refuse_head()
        if self._refused:
            return
        self._in_body = True
        self.crowd.idle.pop(self, None)
        self._wait(self._bounds.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._in_body = False
        self._head_bytes = 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.transport.is_closing():  # by our own wish: the client may not see it
            self.loop.call_later(self._bounds.leaving_seconds, self.transport.abort)
        elif not self.pipeline:
            self.crowd.idle[self] = None
        super().on_response_complete()

    # no ----------------------------------------------------------------------------------------------------------------
    def refuse(self, status: int, code: str, detail: str) -> None:
        """Answer without the application, and close."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(Problem(status, code, detail).document).encode()
            again = b"retry-after: 1\r\n" if status == 503 else b""
            self.transport.write(
                b"".join(
                    (
                        STATUS_LINE[status],
                        b"content-type: " + PROBLEM_TYPE.encode() + b"\r\n",
                        b"content-length: %d\r\n" % len(body),
                        b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n",
                        again + b"connection: close\r\n\r\n",
                        body,
                    )
                )
            )
        self.leave()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "bad_request", "This is no HTTP request that can be answered.")

    def _refuse_head(self) -> None:
        bounds = self._bounds
        self.refuse(
            431,
            "head_too_large",
            f"The head of a request may have {bounds.head_bytes:,} bytes and {bounds.headers} headers.",
        )

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._in_head:
            self.refuse(408, "too_slow", f"The head did not come within {self._bounds.head_seconds:g} s.")
        else:
            self.leave()  # nothing was asked; or a body stays away, whose reader learns that the client has gone


def connection_class(bounds: Bounds) -> type[Connection]:
    """The class of one server's connections, which know of each other."""
    return type("Connection", (Connection,), {"crowd": Crowd(bounds)})


def _notice_the_dead(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system end a connection whose other side is gone, or takes nothing, for so long."""
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(seconds / 2)))
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(seconds / 6)))
