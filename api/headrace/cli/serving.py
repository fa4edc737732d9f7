"""What `headrace api` and `headrace dev` share: a socket, and a server that ends when the process is told to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from headrace.api.access.guarding import Gate
    from headrace.api.office import Office
    from headrace.api.server import Server
    from headrace.cli.settings import Settings

PORT = 8080
NUMBERS = (signal.SIGINT, signal.SIGTERM)

PortFlag = Annotated[int, Parameter(help="0 takes a free one.")]


def bound(host: str, port: int) -> socket.socket:
    """The socket to listen on, before anything else is opened. Raises Stop."""
    from headrace.api.server import PortTaken, listen

    try:
        return listen(host, port)
    except PortTaken as taken:
        raise Stop(
            str(taken), hint="Give another with --port, or --port 0 for a free one.", status=Status.SERVICE
        ) from None


def server_of(office: Office, gate: Gate, settings: Settings, tracer: Tracer | None = None) -> Server:
    """The application as the settings want it, to be served; from here on no log line holds a secret."""
    from headrace.api.access.redacting import CleanLines, redactor
    from headrace.api.app import Shown, create_app
    from headrace.api.headers import Policy
    from headrace.api.server import Server

    office.live.bounds = replace(office.live.bounds, each=settings.streams)
    for handler in logging.getLogger("headrace").handlers:
        handler.addFilter(CleanLines(redactor(office.secrets)))
    policy = Policy(settings.allowed_hosts, settings.cors_origins)
    shown = Shown(settings.access_log, settings.metrics_public, tracer)
    return Server(create_app(office, gate, policy, shown))


class Signals:
    """SIGINT and SIGTERM of a process that serves. The first one ends it in order, or, while it is still opening, breaks that off;
    the second one waits for nothing that can be left; the third is the last.
    """

    def __init__(self) -> None:
        self._heard = 0
        self._opening = asyncio.current_task()
        self._end: Callable[[], None] | None = None
        self._hurry: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in NUMBERS:
            loop.add_signal_handler(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in NUMBERS:
            loop.remove_signal_handler(number)

    @property
    def heard(self) -> bool:
        return self._heard > 0

    def opened(self, end: Callable[[], None], hurry: Callable[[], None] = lambda: None) -> None:
        """From now on these are called: `end` by each signal, `hurry` by those after the first."""
        self._end, self._hurry = end, hurry

    def _signalled(self) -> None:
        self._heard += 1
        if self._heard > 2:
            os._exit(Status.INTERRUPTED)
        if self._end is None:
            assert self._opening is not None
            self._opening.cancel()
            return
        self._end()
        if self._heard > 1:
            self._hurry()


async def serve(
    server: Server,
    listening: socket.socket,
    signals: Signals,
    ready: Callable[[], None],
    hurry: Callable[[], None] = lambda: None,
    beside: Sequence[asyncio.Task[None]] = (),
) -> None:
    """Serve until the process is told to end, or something `beside` ends. `ready` is called when connections are answered;
    `hurry`, when what is closed afterwards is to hurry. Raises what ended `beside`."""
    signals.opened(server.end, hurry)
    serving = asyncio.create_task(server.serve([listening]), name="headrace-server")
    answers = asyncio.create_task(server.answers.wait())
    await asyncio.wait((serving, answers), return_when=asyncio.FIRST_COMPLETED)
    answers.cancel()
    if not serving.done():
        ready()
    await asyncio.wait((serving, *beside), return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        server.end()
    await serving
    for ended in beside:
        if ended.done():
            ended.result()
