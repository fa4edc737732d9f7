"""What somebody did: it is written in the same transaction as what came of it, or not at all.

An act becomes a line of the project's audit. Lines are appended without a lock that anybody waits for; whoever looks after
the audit (`AuditStore.chain`) links them afterwards, so that a line which is changed or taken away is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Once(NamedTuple):
    """The key under which the same request is known again. `key` names who asks too; `digest` is of the whole request; from
    `until` on (seconds since the epoch) the key may be used anew."""

    key: str
    digest: str
    until: float


class Act(NamedTuple):
    """Who did what, to what, when and from where. `detail`: JSON of what was asked for, without values of secrets."""

    project: str
    at: float  # seconds since the epoch, UTC
    actor: str  # user:ada, token:ci, local:root
    address: str | None
    action: str  # run.start, run.cancel, workflow.register, token.create, …
    object: str  # run 0199…, workflow daily, token ci
    detail: bytes = b"{}"
    once: Once | None = None


class Repeated(Exception):
    """The act's key was used before, and nothing was done now. `object`: what the first request was about; `same`: whether it
    was the same request."""

    def __init__(self, object: str, same: bool) -> None:
        self.object, self.same = object, same
        super().__init__(f"this key was used for {object} before")


class AuditLine(NamedTuple):
    """A line as kept. `place` counts from 1 within the project; it and the hashes are None until the line is chained.
    `hash` is SHA-256 over the previous one's hash and everything else of this line."""

    id: int
    project: str
    at: float
    actor: str
    address: str | None
    action: str
    object: str
    detail: bytes
    place: int | None
    before: str | None
    hash: str | None


@runtime_checkable
class AuditStore(Protocol):
    """The audit: appended to, never changed."""

    async def note(self, act: Act) -> None:
        """A line of its own, for what changes nothing else (a login that failed). `once` is not looked at."""

    async def audit(
        self,
        project: str,
        *,
        actor: str | None = None,
        action: str | None = None,
        object: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[AuditLine]:
        """Newest first; `before` is an id (keyset paging). `action` may be a beginning of one: run."""

    async def audit_chain(self, project: str, after: int = 0, limit: int = 1000) -> list[AuditLine]:
        """Chained lines in the order of their places, those above `after`."""

    async def audited_projects(self) -> Sequence[str]:
        """Every project that has a line."""

    async def chain(self, limit: int = 1000) -> int:
        """Link lines that are not yet; returns how many. Safe when several do it at once."""
