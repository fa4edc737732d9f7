"""The client: one object for one server, what can be asked of it by noun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2

from headrace.api.client.aio.backfills import AsyncBackfills
from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.aio.letters import AsyncLetters
from headrace.api.client.aio.people import AsyncTokens, AsyncUsers
from headrace.api.client.aio.pools import AsyncPools
from headrace.api.client.aio.runs import AsyncRuns
from headrace.api.client.aio.schedules import AsyncSchedules
from headrace.api.client.aio.tasks import AsyncTasks
from headrace.api.client.aio.waits import AsyncApprovals
from headrace.api.client.aio.workflows import AsyncWorkflows
from headrace.api.client.models import (
    AuditEntry,
    AuditVerdict,
    LoginAnswer,
    Me,
    QueueEntry,
    SignalAnswer,
    Stats,
    WorkerEntry,
)
from headrace.api.client.wire import Retrying
from headrace.api.paging import Page


class AsyncClient:
    """A server's API. To be closed: `async with AsyncClient(…) as client`.

    Args:
        server: https://host, or http://host:port.
        token: an API token (`headrace tokens create`); without one, `login`.
        project: whose workflows and runs are meant; None: the token's, or the server's own.
        timeout: seconds that an answer may take.
        retrying: how often and how soon requests are sent again. Those that only read are, and those that change something carry an
            Idempotency-Key, so that they are made once however often they are sent.
        transport: in place of the network, for tests.

    Every call raises ApiError; ValueError is for an address that is none.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        project: str | None = None,
        timeout: float = 30.0,
        retrying: Retrying | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        connection = AsyncConnection(
            server, token, project, timeout=timeout, retrying=retrying or Retrying(), transport=transport
        )
        self._connection = connection
        self.workflows = AsyncWorkflows(connection)
        self.runs = AsyncRuns(connection)
        self.tasks = AsyncTasks(connection)
        self.schedules = AsyncSchedules(connection)
        self.approvals = AsyncApprovals(connection)
        self.backfills = AsyncBackfills(connection)
        self.pools = AsyncPools(connection)
        self.letters = AsyncLetters(connection)
        self.users = AsyncUsers(connection)
        self.tokens = AsyncTokens(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes what is open to the server."""
        await self._connection.aclose()

    @property
    def server(self) -> str:
        """As it was given."""
        return self._connection.server

    # -- who asks -----------------------------------------------------------------------------------------------------

    async def login(self, user: str, password: str) -> LoginAnswer:
        """A login of 15 minutes, with which the client asks from now on. Raises ApiError 401 `wrong_password`."""
        body = {"user": user, "password": password}
        self._connection.token = None
        answer = await self._connection.post(LoginAnswer, "auth", "login", body=body, once=False)
        self._connection.token = answer.token
        return answer

    async def logout_everywhere(self) -> None:
        """Ends every login of the user, this one too."""
        await self._connection.post(type(None), "auth", "logout-all", once=False)

    async def change_password(self, old: str, new: str) -> None:
        """Ends every login of the user, this one too."""
        await self._connection.post(type(None), "auth", "password", body={"old": old, "new": new}, once=False)

    async def me(self) -> Me:
        """As whom, for which project and with which role the client asks."""
        return await self._connection.get(Me, "me")

    # -- operations ---------------------------------------------------------------------------------------------------

    def workers(
        self, *, queue: str | None = None, gone: bool = False, most: int | None = None
    ) -> AsyncIterator[WorkerEntry]:
        """Those that engines hear, by id. `gone`: those too that were not heard of late."""
        return self._connection.pages(WorkerEntry, "workers", most=most, queue=queue, gone=gone)

    async def drain_worker(self, worker: str) -> WorkerEntry:
        """Have it take nothing more, finish what it holds, and leave; the worker as it was heard last."""
        return await self._connection.post(WorkerEntry, "workers", worker, "drain")

    async def signal(self, name: str, *, key: str | None = None, payload: Any = None) -> SignalAnswer:
        """Send a signal to every task that waits for it. Takes an operator."""
        body = {"key": key, "payload": payload}
        return await self._connection.post(SignalAnswer, "signals", name, body=body)

    async def queues(self) -> Sequence[QueueEntry]:
        """Where workers listen, and what waits."""
        return (await self._connection.get(Page[QueueEntry], "queues")).items

    async def stats(self, *, minutes: int = 15) -> Stats:
        """How much lives, ended of late, and failed for good."""
        return await self._connection.get(Stats, "stats", minutes=minutes)

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        object: str | None = None,
        before: int | None = None,
        most: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Who did what to what, newest first. `action`: one, or a beginning of some. `before`: only below this id. Takes an admin."""
        return self._connection.pages(
            AuditEntry, "audit", most=most, before=before, actor=actor, action=action, object=object
        )

    async def verify_audit(self) -> AuditVerdict:
        """Whether anything in it was changed or taken away. Takes an admin."""
        return await self._connection.get(AuditVerdict, "audit", "verify")
