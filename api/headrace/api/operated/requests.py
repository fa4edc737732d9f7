"""Every request of the API, counted by its route's template and, where that is wanted, told in one line of the log."""

from __future__ import annotations

import logging
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType

from headrace.api.operated.tracing import answered, request_span
from headrace.engine.shell.figures import Histogram

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send
    from opentelemetry.trace import Tracer

ACCESS = "headrace.access"
NO_ROUTE = "(none)"
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
LONGEST = 200
"""Characters of a path that a line shows."""

_access = logging.getLogger(ACCESS)


class Requests:
    """Wraps the application, outside of everything else. `told`: log each request, without its query, which may hold what is
    nobody's business."""

    def __init__(self, app: ASGIApp, *, told: bool = False, tracer: Tracer | None = None) -> None:
        self.app = app
        self._told = told
        self._tracer = tracer
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.seconds: dict[tuple[str, str], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, status, perf_counter() - began)
            await send(message)

        try:
            with request_span(self._tracer, scope) as span:
                await self.app(scope, receive, sending)
                if span is not None:
                    answered(span, scope, status)
        finally:
            if self._told:
                self._tell(scope, status, perf_counter() - began)

    def _count(self, scope: Any, status: int, seconds: float) -> None:
        route = scope.get("path_template") or NO_ROUTE
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self.answered[route, method, status] += 1
        taken = self.seconds.get((route, method))
        if taken is None:
            taken = self.seconds[route, method] = Histogram()
        taken.observe(seconds)

    def _tell(self, scope: Any, status: int, seconds: float) -> None:
        asker, client = scope.get("auth"), scope.get("client")
        path = scope["path"][:LONGEST].encode("unicode_escape").decode()
        _access.info(
            "%s %s %d",
            scope["method"][:10],
            path,
            status,
            extra={
                "route": scope.get("path_template") or NO_ROUTE,
                "milliseconds": round(seconds * 1000, 1),
                "actor": getattr(asker, "actor", None),
                "address": getattr(asker, "address", None) or (client[0] if client else None),
            },
        )
