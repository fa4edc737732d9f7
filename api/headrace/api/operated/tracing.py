"""Traces: one goes from the request that starts a run, over the run itself and Kafka, to every attempt of its tasks.

Nothing is traced unless OTEL_EXPORTER_OTLP_ENDPOINT names a receiver and the extra `otel` is installed. What came with a
request (W3C Trace Context) goes with its run either way, for workers that do trace.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from headrace.engine.ports.traces import HEADER, traceparent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SCOPE = "headrace"
NAME = HEADER.encode()

TRACEPARENT: ContextVar[str | None] = ContextVar("headrace_traceparent", default=None)
"""What a run that is started here belongs to: a W3C traceparent."""

_logger = logging.getLogger(__name__)


def wanted() -> bool:
    """Whether the environment asks for traces."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def tracing(service: str, processor: SpanProcessor | None = None) -> Iterator[Tracer | None]:
    """A tracer that sends its spans to the receiver, where one is named, until this is left; None: nobody wants any.

    `service`: the service's name, unless OTEL_SERVICE_NAME gives another. `processor`: takes the spans in place of the
    receiver.
    """
    if processor is None and not wanted():
        yield None
        return
    try:
        provider = _provider(service, processor)
    except ImportError as missing:
        _logger.warning("nothing is traced: %s. Install headrace[otel].", missing)
        yield None
        return
    from opentelemetry import trace

    trace.set_tracer_provider(provider)  # what users' own code traces goes the same way
    try:
        yield provider.get_tracer(SCOPE)
    finally:
        provider.shutdown()


def _provider(service: str, processor: SpanProcessor | None) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    if processor is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = BatchSpanProcessor(OTLPSpanExporter())
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def given(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The traceparent of a request; None: it has none that holds."""
    return traceparent([value for name, value in headers if name == NAME])


def carried() -> dict[str, str]:
    """What a run's trigger keeps of the trace in which it is started."""
    found = TRACEPARENT.get()
    return {} if found is None else {HEADER: found}


@contextmanager
def request_span(tracer: Tracer | None, scope: Any) -> Iterator[Span | None]:
    """The span of one request; runs that it starts belong to it. Without a tracer, to what came with the request."""
    parent = given(scope["headers"])
    if tracer is None:
        token = TRACEPARENT.set(parent)
        try:
            yield None
        finally:
            TRACEPARENT.reset(token)
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    context = extract({} if parent is None else {HEADER: parent})
    with tracer.start_as_current_span(
        scope["method"], context, SpanKind.SERVER, record_exception=False
    ) as span:
        token = TRACEPARENT.set(_written(span))
        try:
            yield span
        finally:
            TRACEPARENT.reset(token)


def answered(span: Span, scope: Any, status: int) -> None:
    """Say on a request's span what came of it."""
    from opentelemetry.trace import StatusCode

    route = scope.get("path_template")
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.response.status_code", status)
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{scope['method']} {route}")
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def _written(span: Span) -> str:
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
