"""Workflows: registered, listed, compared, paused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from uuid import uuid4

import msgspec

from headrace.api.client import wire
from headrace.api.client.models import (
    Registered,
    Verdict,
    VersionDetail,
    VersionDiff,
    VersionEntry,
    WorkflowEntry,
)
from headrace.api.client.sync.connection import Connection
from headrace.api.client.wire import Asked


class Workflows:
    """`client.workflows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, document: str | bytes | Mapping[str, Any]) -> Registered:
        """A version of the workflow: a new one, or the one that has the same plan. `document`: YAML text, or the document as a
        mapping. Takes an author. Raises ApiError 422 `invalid_workflow` with every problem."""
        return wire.read(self._upload(document, {}, uuid4().hex), Registered)

    def check(self, document: str | bytes | Mapping[str, Any]) -> Verdict:
        """The same without registering it. Takes an author. Raises ApiError 422 with every problem."""
        return wire.read(self._upload(document, {"dry_run": "true"}, uuid4().hex), Verdict)

    def _upload(self, document: str | bytes | Mapping[str, Any], query: Mapping[str, str], key: str) -> bytes:
        if isinstance(document, Mapping):
            body, kind = msgspec.json.encode(document), wire.JSON
        else:
            body, kind = document.encode() if isinstance(document, str) else document, wire.YAML
        return self._connection.ask(Asked("POST", "/workflows", query, body, kind, key))

    def list(
        self, *, tag: str | None = None, text: str | None = None, most: int | None = None
    ) -> Iterator[WorkflowEntry]:
        """By name, each in its newest version. `text`: part of its name or description."""
        return self._connection.pages(WorkflowEntry, "workflows", most=most, tag=tag, text=text)

    def get(self, name: str) -> WorkflowEntry:
        """In its newest version."""
        return self._connection.get(WorkflowEntry, "workflows", name)

    def versions(self, name: str, *, most: int | None = None) -> Iterator[VersionEntry]:
        """Newest first."""
        return self._connection.pages(VersionEntry, "workflows", name, "versions", most=most)

    def version(self, name: str, version: int) -> VersionDetail:
        """With its document. Takes an operator."""
        return self._connection.get(VersionDetail, "workflows", name, "versions", version)

    def diff(self, name: str, from_: int | None = None, to: int | None = None) -> VersionDiff:
        """What changed between two versions. `to`: the newest when left out; `from_`: the one before it."""
        return self._connection.get(VersionDiff, "workflows", name, "diff", from_=from_, to=to)

    def pause(self, name: str) -> WorkflowEntry:
        """Nothing starts it until it is resumed; runs that have begun go on."""
        return self._change(name, {"paused": True})

    def resume(self, name: str) -> WorkflowEntry:
        """It may be started again."""
        return self._change(name, {"paused": False})

    def set_priority(self, name: str, priority: Literal["high", "normal", "low"] | None) -> WorkflowEntry:
        """Of runs to come for which neither trigger nor caller says one; None: as the workflow says."""
        return self._change(name, {"priority": priority})

    def _change(self, name: str, body: Mapping[str, Any]) -> WorkflowEntry:
        return self._connection.post(WorkflowEntry, "workflows", name, body=body, method="PATCH")
