"""A catalogue over HTTP, busy now and then, to try the ETL on: `python catalogue.py [PORT]`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

PER_PAGE = 8
CATEGORIES = ("beans", "brewers", "grinders", "cups")
PRODUCTS = [
    {
        "sku": f"{category[:3].upper()}-{number:02d}",
        "name": f"{category[:-1].capitalize()} no. {number}",
        "category": category,
        "cents": 490 + 130 * number + 1000 * place,
    }
    for place, category in enumerate(CATEGORIES)
    for number in range(1, 9 - place)
]
DISCOUNTS = "sku,percent\nBEA-02,10\nGRI-01,25\nCUP-05,5\n"


class Catalogue(ThreadingHTTPServer):
    """The service. Each path is refused the first time it is asked for, as a busy service would.

    Args:
    port: where to listen on this machine; 0 for any free port.
    retry_after: what a refusal says, in seconds.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, *, retry_after: int = 1) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.retry_after = retry_after
        self.asked: Counter[str] = Counter()
        self.loads: dict[str, Any] = {}
        self.lock = Lock()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """What the service says to one request."""

    server: Catalogue

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self.busy():
            return
        if url.path == "/discounts.csv":
            self.answer(200, DISCOUNTS.encode(), "text/csv; charset=utf-8")
        elif url.path == "/products" and url.query:
            first = int(parse_qs(url.query)["page"][0]) * PER_PAGE
            self.json(200, {"products": PRODUCTS[first : first + PER_PAGE]})
        elif url.path == "/products":
            pages = range((len(PRODUCTS) + PER_PAGE - 1) // PER_PAGE)
            self.json(200, {"pages": [f"/products?page={page}" for page in pages]})
        else:
            self.json(404, {"error": f"there is no {url.path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.busy():
            return
        with self.server.lock:  # a repeat of the same load is the same load
            self.server.loads[self.headers["Idempotency-Key"]] = body
            receipt = f"L-{len(self.server.loads)}"
        self.json(201, {"receipt": receipt})

    def busy(self) -> bool:
        """Refuse the first request for a path."""
        with self.server.lock:
            self.server.asked[self.path] += 1
            first = self.server.asked[self.path] == 1
        if first:
            self.answer(503, b"busy", "text/plain", {"Retry-After": str(self.server.retry_after)})
        return first

    def json(self, status: int, body: object) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the workflow tells what happened."""


if __name__ == "__main__":
    service = Catalogue(int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
    print(f"The catalogue is at {service.url}; Ctrl-C ends it.")
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        service.server_close()
