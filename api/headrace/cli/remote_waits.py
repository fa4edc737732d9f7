"""Approvals and signals on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.failure import Stop
from headrace.cli.remote_refusals import refused

if TYPE_CHECKING:
    from headrace.api.shapes.waits import ApprovalEntry

DECIDED_WITHIN = 30.0


class RemoteWaits:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self, run: str | None) -> Sequence[ApprovalEntry]:
        try:
            return [one async for one in self._client.approvals.list(run=run)]
        except ApiError as error:
            raise refused(error) from None

    async def decide(self, id: int, approved: bool, form: Mapping[str, Any], comment: str | None) -> str:
        approvals = self._client.approvals
        try:
            run = (await approvals.get(id)).run
            if approved:
                await approvals.approve(id, form, comment=comment, wait=DECIDED_WITHIN)
            else:
                await approvals.reject(id, comment=comment, wait=DECIDED_WITHIN)
        except ApiError as error:
            raise _told(error) from None
        return run

    async def signal(self, name: str, key: str | None, payload: Any) -> None:
        try:
            await self._client.signal(name, key=key, payload=payload)
        except ApiError as error:
            raise refused(error) from None


def _told(error: ApiError) -> Exception:
    return Stop(error.detail) if error.code == "own_run" else refused(error)
