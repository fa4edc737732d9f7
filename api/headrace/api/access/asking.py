"""Who asks, for which project, and as what. A route gets an `Asker` and passes its `project` to every query, so that what
belongs to another project is never found. No Litestar here."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from headrace.api.problems import Problem
from headrace.engine.ports.access import Role
from headrace.engine.ports.acts import Act, Once
from headrace.engine.ports.store import DEFAULT_PROJECT

KEPT_SECONDS = 24 * 3600.0
"""How long an Idempotency-Key is known."""


class Asker(NamedTuple):
    """One request's author.

    `actor`: user:ada, token:ci, local:root (no authentication, on loopback). `address`: where the request came from, as far as
    trusted proxies say. `key`: its Idempotency-Key. `everywhere`: an admin of every project, who looks after users too.
    """

    actor: str
    project: str
    role: Role
    address: str | None
    now: float
    key: str | None = None
    everywhere: bool = False

    def require(self, role: Role) -> None:
        """Raises Problem (403). For what depends on more than the route; routes themselves name their role in `opt`."""
        if self.role < role:
            raise Problem(
                403,
                "forbidden",
                f"This takes the role {role.word} in project {self.project}; yours is {self.role.word}.",
            )

    def act(self, action: str, object: str, detail: Any = None, asked: bytes | None = None) -> Act:
        """The line of the audit for what is about to be done. `detail`: what was asked for, fit for JSON, without values of
        parameters. `asked`: the whole request, method, path and body; with it an Idempotency-Key holds."""
        return Act(
            self.project,
            self.now,
            self.actor,
            self.address,
            action,
            object,
            msgspec.json.encode(detail or {}),
            self.once(asked),
        )

    def once(self, asked: bytes | None) -> Once | None:
        """What a request with an Idempotency-Key is known again by; None without one."""
        if asked is None or self.key is None:
            return None
        digest = hashlib.sha256(asked).hexdigest()
        return Once(f"{self.project}/{self.actor}/{self.key}", digest, self.now + KEPT_SECONDS)


def need_first_project(asker: Asker, what: str) -> None:
    """For what belongs to no project. Raises Problem (403)."""
    if asker.project != DEFAULT_PROJECT:
        raise Problem(403, "forbidden", f"{what} belong to no project: ask as an admin of {DEFAULT_PROJECT}.")
