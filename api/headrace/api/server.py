"""Serving the application: uvicorn on a socket of ours, with bounds on clients, and an end that open streams do not hold up.

The socket is bound before anything else is opened, so a port that is taken is told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn

from headrace.api.connections import Bounds, connection_class

if TYPE_CHECKING:
    from litestar import Litestar

    from headrace.api.live.ending import Ending

T = TypeVar("T")

GRACE = 10.0
"""Seconds that requests under way may take when the server is told to end."""
FILES_LEFT = 256
"""File descriptors that are kept for everything but connections."""


class PortTaken(Exception):
    """The address cannot be listened on: what and why, in one message (exit status 3)."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortTaken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"{host} is no address of this machine: {error.strerror or error}.") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(2048)
    except OSError as error:
        made.close()
        raise PortTaken(f"{host} port {port} cannot be listened on: {error.strerror or error}.") from None
    made.setblocking(False)
    return made


def address_of(listening: socket.socket) -> str:
    """What to type into a browser of this machine: `http://127.0.0.1:8080`."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


class Server(uvicorn.Server):
    """One server of one application. Whoever runs it says when it ends: it takes no signals itself."""

    def __init__(self, app: Litestar, bounds: Bounds | None = None) -> None:
        bounds = _affordable(bounds or Bounds())
        super().__init__(
            uvicorn.Config(
                app,
                http=connection_class(bounds),
                ws="none",
                interface="asgi3",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(bounds.idle_seconds),
                timeout_graceful_shutdown=int(GRACE),
            )
        )
        self._ending: Ending | None = app.state.get("ending")
        self.answers = asyncio.Event()
        """Set when connections are answered."""
        logging.getLogger("uvicorn.error").setLevel(
            logging.CRITICAL
        )  # what matters, the application logs itself

    def end(self) -> None:
        """Take no more connections, end streams, let what else is under way finish, and return from `serve`. Called again: at
        once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        if self._ending is not None:
            self._ending.begin()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()


def _affordable(bounds: Bounds) -> Bounds:
    """As many connections as there can be file descriptors, which are asked for first."""
    try:
        import resource
    except ImportError:  # where there is no such limit
        return bounds
    from dataclasses import replace

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = bounds.connections + FILES_LEFT
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return replace(bounds, connections=max(16, min(bounds.connections, soft - FILES_LEFT)))
    return bounds


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop that serves fastest here."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
