"""Workflows that are registered on a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.refusals import no_version, no_workflow
from headrace.cli.remote_refusals import invalid

if TYPE_CHECKING:
    from headrace.api.shapes.workflows import VersionDetail, VersionDiff, VersionEntry, WorkflowEntry
    from headrace.engine.core.plan import Plan


class RemoteWorkflows:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> Sequence[WorkflowEntry]:
        return [workflow async for workflow in self._client.workflows.list()]

    async def versions(self, name: str) -> Sequence[VersionEntry]:
        try:
            return [version async for version in self._client.workflows.versions(name)]
        except ApiError as error:
            raise await self._unknown(error, name) from None

    async def version(self, name: str, number: int | None) -> VersionDetail:
        known = [version.version for version in await self.versions(name)]
        wanted = known[0] if number is None else number
        if wanted not in known:
            raise no_version(name, wanted, sorted(known))
        return await self._client.workflows.version(name, wanted)

    async def diff(self, name: str, from_: int | None, to: int | None) -> VersionDiff:
        known = sorted(version.version for version in await self.versions(name))
        for number in (from_, to):
            if number is not None and number not in known:
                raise no_version(name, number, known)
        return await self._client.workflows.diff(name, from_, to)

    async def set_paused(self, name: str, paused: bool) -> WorkflowEntry:
        workflows = self._client.workflows
        try:
            return await (workflows.pause(name) if paused else workflows.resume(name))
        except ApiError as error:
            raise await self._unknown(error, name) from None

    async def register(self, plan: Plan) -> VersionEntry:
        from headrace.runners.authored import version_row

        document = msgspec.json.decode(version_row(plan, "", 0.0).document)
        try:
            return cast("VersionEntry", await self._client.workflows.register(document))
        except ApiError as error:
            raise invalid(error) from None

    async def _unknown(self, error: ApiError, name: str) -> Exception:
        if error.status != 404:
            return error
        return no_workflow(name, {entry.name for entry in await self.list()})
