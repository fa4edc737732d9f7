"""Approvals and signals: what tasks that wait are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import ApprovalAnswer, ApprovalEntry


class AsyncApprovals:
    """What tasks ask of people. Each method raises ApiError."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, run: str | None = None, most: int | None = None) -> AsyncIterator[ApprovalEntry]:
        """Those that wait, the longest first, of one run or of all."""
        return self._connection.pages(ApprovalEntry, "approvals", most=most, run=run)

    async def get(self, id: int) -> ApprovalEntry:
        """One that waits; 404 once it is decided."""
        return await self._connection.get(ApprovalEntry, "approvals", id)

    async def approve(
        self,
        id: int,
        form: Mapping[str, Any] | None = None,
        *,
        comment: str | None = None,
        wait: float = 0.0,
    ) -> ApprovalAnswer:
        """Agree. `form`: what it asks for; `wait`: seconds to wait for the engine's decision. Takes an operator, or the role that it
        says."""
        body = {"form": dict(form or {}), "comment": comment}
        return await self._said(id, "approve", body, wait)

    async def reject(self, id: int, *, comment: str | None = None, wait: float = 0.0) -> ApprovalAnswer:
        """One rejection is enough. Takes an operator, or the role that it says."""
        return await self._said(id, "reject", {"comment": comment}, wait)

    async def _said(self, id: int, what: str, body: Mapping[str, Any], wait: float) -> ApprovalAnswer:
        return await self._connection.post(ApprovalAnswer, "approvals", id, what, body=body, wait=wait)
