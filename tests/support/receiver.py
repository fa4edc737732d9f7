"""What a process traces, as an OpenTelemetry collector gets it. A conftest or module that wants it says
`from tests.support.receiver import receiver`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import PATIENCE


class Receiver:
    """An OTLP receiver on this machine. `spans`: the newest of each name."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.raw = b""
        self._came = Condition()
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
                receiver.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        with self._came:
            self.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans.update({span.name: span for span in scope.spans})
            self._came.notify_all()

    def span(self, name: str) -> Span:
        """The newest of that name, once there is one."""
        with self._came:
            assert self._came.wait_for(lambda: name in self.spans, PATIENCE), (
                f"no {name} among {set(self.spans)}"
            )
            return self.spans[name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def traceparent(span: Span) -> str:
    """As a header says that something belongs to it."""
    return f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
