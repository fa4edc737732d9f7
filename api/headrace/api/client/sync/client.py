"""The client: one object for one server, what can be asked of it by noun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2

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
from headrace.api.client.sync.backfills import Backfills
from headrace.api.client.sync.connection import Connection
from headrace.api.client.sync.letters import Letters
from headrace.api.client.sync.people import Tokens, Users
from headrace.api.client.sync.pools import Pools
from headrace.api.client.sync.runs import Runs
from headrace.api.client.sync.schedules import Schedules
from headrace.api.client.sync.tasks import Tasks
from headrace.api.client.sync.waits import Approvals
from headrace.api.client.sync.workflows import Workflows
from headrace.api.client.wire import Retrying
from headrace.api.paging import Page


class Client:
    """A server's API. To be closed: `with Client(…) as client`.

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
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        connection = Connection(
            server, token, project, timeout=timeout, retrying=retrying or Retrying(), transport=transport
        )
        self._connection = connection
        self.workflows = Workflows(connection)
        self.runs = Runs(connection)
        self.tasks = Tasks(connection)
        self.schedules = Schedules(connection)
        self.approvals = Approvals(connection)
        self.backfills = Backfills(connection)
        self.pools = Pools(connection)
        self.letters = Letters(connection)
        self.users = Users(connection)
        self.tokens = Tokens(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is open to the server."""
        self._connection.close()

    @property
    def server(self) -> str:
        """As it was given."""
        return self._connection.server

    # -- who asks -----------------------------------------------------------------------------------------------------

    def login(self, user: str, password: str) -> LoginAnswer:
        """A login of 15 minutes, with which the client asks from now on. Raises ApiError 401 `wrong_password`."""
        body = {"user": user, "password": password}
        self._connection.token = None
        answer = self._connection.post(LoginAnswer, "auth", "login", body=body, once=False)
        self._connection.token = answer.token
        return answer

    def logout_everywhere(self) -> None:
        """Ends every login of the user, this one too."""
        self._connection.post(type(None), "auth", "logout-all", once=False)

    def change_password(self, old: str, new: str) -> None:
        """Ends every login of the user, this one too."""
        self._connection.post(type(None), "auth", "password", body={"old": old, "new": new}, once=False)

    def me(self) -> Me:
        """As whom, for which project and with which role the client asks."""
        return self._connection.get(Me, "me")

    # -- operations ---------------------------------------------------------------------------------------------------

    def workers(
        self, *, queue: str | None = None, gone: bool = False, most: int | None = None
    ) -> Iterator[WorkerEntry]:
        """Those that engines hear, by id. `gone`: those too that were not heard of late."""
        return self._connection.pages(WorkerEntry, "workers", most=most, queue=queue, gone=gone)

    def drain_worker(self, worker: str) -> WorkerEntry:
        """Have it take nothing more, finish what it holds, and leave; the worker as it was heard last."""
        return self._connection.post(WorkerEntry, "workers", worker, "drain")

    def signal(self, name: str, *, key: str | None = None, payload: Any = None) -> SignalAnswer:
        """Send a signal to every task that waits for it. Takes an operator."""
        body = {"key": key, "payload": payload}
        return self._connection.post(SignalAnswer, "signals", name, body=body)

    def queues(self) -> Sequence[QueueEntry]:
        """Where workers listen, and what waits."""
        return (self._connection.get(Page[QueueEntry], "queues")).items

    def stats(self, *, minutes: int = 15) -> Stats:
        """How much lives, ended of late, and failed for good."""
        return self._connection.get(Stats, "stats", minutes=minutes)

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        object: str | None = None,
        before: int | None = None,
        most: int | None = None,
    ) -> Iterator[AuditEntry]:
        """Who did what to what, newest first. `action`: one, or a beginning of some. `before`: only below this id. Takes an admin."""
        return self._connection.pages(
            AuditEntry, "audit", most=most, before=before, actor=actor, action=action, object=object
        )

    def verify_audit(self) -> AuditVerdict:
        """Whether anything in it was changed or taken away. Takes an admin."""
        return self._connection.get(AuditVerdict, "audit", "verify")
