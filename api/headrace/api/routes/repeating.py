"""Requests that may come twice: what an Idempotency-Key stands for, and how a repeated answer says so."""

from __future__ import annotations

from typing import Any

from litestar import Request

REPLAYED = {"Idempotency-Replayed": "true"}


def asked(request: Request[Any, Any, Any], body: bytes) -> bytes:
    """The whole request, as `Asker.act` takes it: method, path, query, content type and body."""
    kind = request.content_type[0].lower()
    head = f"{request.method} {request.scope['path']}?{request.url.query} {kind}\n"
    return head.encode() + body
