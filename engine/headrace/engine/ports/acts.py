"""What somebody did: it is written in the same transaction as what came of it, or not at all.

An act becomes a line of the project's audit. Lines are appended without a lock that anybody waits for; whoever looks after
the audit (`AuditStore.chain`) links them afterwards, so that a line which is changed or taken away is found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
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


class ChainHead(NamedTuple):
    """Where a project's chain ends: kept beside the lines, so that those at the end cannot be taken away unseen."""

    place: int
    hash: str


GENESIS = "0" * 64
"""What stands before the first line of a project."""


def linked(line: AuditLine, before: str) -> str:
    """The hash of the line at its `place` after the line of hash `before`: SHA-256 over both, hex. Raises ValueError for a line
    without a place."""
    if line.place is None:
        raise ValueError(f"line {line.id} is not chained yet")
    fields: list[object] = [before, line.place, line.id, line.project, line.at, line.actor, line.address]
    fields += [line.action, line.object, line.detail.hex()]
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def broken(lines: Iterable[AuditLine], before: ChainHead | None = None) -> str | None:
    """What is wrong with the first line that does not follow from those before it, in a sentence; None: nothing is. `lines` are in
    the order of their places; `before` is where the ones before them ended."""
    place, hash = before or (0, GENESIS)
    for line in lines:
        place += 1
        if line.place != place:
            return f"Line {place} is missing: line {line.place} follows line {place - 1}."
        if line.before != hash:
            return f"Line {place} does not follow from line {place - 1}: one of them was replaced."
        if line.hash != linked(line, hash):
            return f"Line {place} was changed: its hash is not the one of what it says."
        hash = line.hash
    return None


@runtime_checkable
class AuditStore(Protocol):
    """The audit: appended to, never changed."""

    async def note(self, act: Act) -> None:
        """A line of its own, for what changes nothing else (a login that failed). `once` is not looked at."""

    async def recall(self, once: Once, now: float) -> None:
        """Raises Repeated when the key was used and has not expired at `now`; else nothing happens. For whoever looks at something
        that the first request may have changed before acting."""

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

    async def audit_head(self, project: str) -> ChainHead | None:
        """Where the chain must end; None: nothing is chained yet."""

    async def audited_projects(self) -> Sequence[str]:
        """Every project that has a line."""

    async def chain(self, limit: int = 1000) -> int:
        """Link lines that are not yet; returns how many. Safe when several do it at once."""
