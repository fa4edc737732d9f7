"""What Prometheus scrapes of an API, and in `headrace dev` of the engine and worker in the same process."""

from __future__ import annotations

import asyncio

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from headrace.api.access.guarding import PUBLIC, VIEWER
from headrace.api.operated.metrics import CONTENT_TYPE, Metrics


def route(metrics: Metrics, *, public: bool) -> HTTPRouteHandler:
    """`/metrics`, for viewers with a token, or for everybody."""

    @get(
        "/metrics",
        opt=PUBLIC if public else VIEWER,
        summary="Metrics for Prometheus",
        include_in_schema=False,
    )
    async def scrape() -> Response[bytes]:
        return Response(
            await asyncio.to_thread(metrics.text), headers={"Content-Type": CONTENT_TYPE}, media_type=None
        )

    return scrape
