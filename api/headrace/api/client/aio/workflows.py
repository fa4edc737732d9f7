"""Workflows: registered, listed, compared, paused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal
from uuid import uuid4

import msgspec

from headrace.api.client import wire
from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import (
    Registered,
    Verdict,
    VersionDetail,
    VersionDiff,
    VersionEntry,
    WorkflowEntry,
)
from headrace.api.client.wire import Asked


class AsyncWorkflows:
    """`client.workflows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def register(self, document: str | bytes | Mapping[str, Any]) -> Registered:
        """A version of the workflow: a new one, or the one that has the same plan. `document`: YAML text, or the document as a
        mapping. Takes an author. Raises ApiError 422 `invalid_workflow` with every problem."""
        return wire.read(await self._upload(document, {}, uuid4().hex), Registered)

    async def check(self, document: str | bytes | Mapping[str, Any]) -> Verdict:
        """The same without registering it. Takes an author. Raises ApiError 422 with every problem."""
        return wire.read(await self._upload(document, {"dry_run": "true"}, uuid4().hex), Verdict)

    async def _upload(
        self, document: str | bytes | Mapping[str, Any], query: Mapping[str, str], key: str
    ) -> bytes:
        if isinstance(document, Mapping):
            body, kind = msgspec.json.encode(document), wire.JSON
        else:
            body, kind = document.encode() if isinstance(document, str) else document, wire.YAML
        return await self._connection.ask(Asked("POST", "/workflows", query, body, kind, key))

    def list(
        self, *, tag: str | None = None, text: str | None = None, most: int | None = None
    ) -> AsyncIterator[WorkflowEntry]:
        """By name, each in its newest version. `text`: part of its name or description."""
        return self._connection.pages(WorkflowEntry, "workflows", most=most, tag=tag, text=text)

    async def get(self, name: str) -> WorkflowEntry:
        """In its newest version."""
        return await self._connection.get(WorkflowEntry, "workflows", name)

    def versions(self, name: str, *, most: int | None = None) -> AsyncIterator[VersionEntry]:
        """Newest first."""
        return self._connection.pages(VersionEntry, "workflows", name, "versions", most=most)

    async def version(self, name: str, version: int) -> VersionDetail:
        """With its document. Takes an operator."""
        return await self._connection.get(VersionDetail, "workflows", name, "versions", version)

    async def diff(self, name: str, from_: int | None = None, to: int | None = None) -> VersionDiff:
        """What changed between two versions. `to`: the newest when left out; `from_`: the one before it."""
        return await self._connection.get(VersionDiff, "workflows", name, "diff", from_=from_, to=to)

    async def pause(self, name: str) -> WorkflowEntry:
        """Nothing starts it until it is resumed; runs that have begun go on."""
        return await self._change(name, {"paused": True})

    async def resume(self, name: str) -> WorkflowEntry:
        """It may be started again."""
        return await self._change(name, {"paused": False})

    async def set_priority(
        self, name: str, priority: Literal["high", "normal", "low"] | None
    ) -> WorkflowEntry:
        """Of runs to come for which neither trigger nor caller says one; None: as the workflow says."""
        return await self._change(name, {"priority": priority})

    async def _change(self, name: str, body: Mapping[str, Any]) -> WorkflowEntry:
        return await self._connection.post(WorkflowEntry, "workflows", name, body=body, method="PATCH")
