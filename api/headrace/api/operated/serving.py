"""Metrics of a process that answers nothing else: a small HTTP server on a daemon thread, so that a busy loop can still be
looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET
from threading import Thread
from typing import Any

from headrace.api.operated.metrics import CONTENT_TYPE, Metrics

PATH = "/metrics"
SECONDS = 10
"""How long one client may take."""

_PLACE = re.compile(r"(?:(?P<host>[^\s:\[\]]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})")


class NoPlace(ValueError):
    """Not an address that can be listened on: what is wrong, in one message."""


def place_of(text: str) -> tuple[str, int]:
    """`127.0.0.1:9101`, `[::1]:9101`, or a port alone, of this machine. Raises NoPlace."""
    found = _PLACE.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise NoPlace(f"{text!r} is no address to listen on. Write host:port, as in 127.0.0.1:9101.")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])


@contextmanager
def served(metrics: Metrics, place: str) -> Iterator[str]:
    """Serve at `place`; port 0 takes a free one. Gives the URL. Raises NoPlace."""
    host, port = place_of(place)

    class Answer(BaseHTTPRequestHandler):
        timeout = SECONDS
        server_version, sys_version = "headrace", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(404)
                return
            body = metrics.text()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A scrape every few seconds is no news."""

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else AF_INET
        daemon_threads = True

        def server_bind(self) -> None:
            """Without the look-up of the host's name that the standard one makes."""
            self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = host, self.server_address[1]

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away in the middle is none of our business."""

    try:
        server = Server((host, port), Answer)
    except OSError as error:
        raise NoPlace(f"{place} cannot be listened on: {error.strerror or error}.") from None
    thread = Thread(target=server.serve_forever, name="headrace-metrics", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
