"""Approvals and signals: what tasks that wait are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.api.client.models import ApprovalAnswer, ApprovalEntry
from headrace.api.client.sync.connection import Connection


class Approvals:
    """What tasks ask of people. Each method raises ApiError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, run: str | None = None, most: int | None = None) -> Iterator[ApprovalEntry]:
        """Those that wait, the longest first, of one run or of all."""
        return self._connection.pages(ApprovalEntry, "approvals", most=most, run=run)

    def get(self, id: int) -> ApprovalEntry:
        """One that waits; 404 once it is decided."""
        return self._connection.get(ApprovalEntry, "approvals", id)

    def approve(
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
        return self._said(id, "approve", body, wait)

    def reject(self, id: int, *, comment: str | None = None, wait: float = 0.0) -> ApprovalAnswer:
        """One rejection is enough. Takes an operator, or the role that it says."""
        return self._said(id, "reject", {"comment": comment}, wait)

    def _said(self, id: int, what: str, body: Mapping[str, Any], wait: float) -> ApprovalAnswer:
        return self._connection.post(ApprovalAnswer, "approvals", id, what, body=body, wait=wait)
