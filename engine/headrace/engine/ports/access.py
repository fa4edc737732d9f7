"""Who may do what: users, their roles in projects, and API tokens. Passwords and tokens are kept as hashes alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable

from headrace.engine.ports.acts import Act

EVERY_PROJECT = "*"
"""In a user's roles: for every project, unless that one is named too."""


class Role(IntEnum):
    """Each may do what those below it may."""

    VIEWER = 1
    """sees states, graphs and reasons; no inputs, outputs or logs"""
    OPERATOR = 2
    """triggers, cancels, approves, reruns; sees inputs, outputs and logs"""
    AUTHOR = 3
    """registers workflows and posts inline graphs, which is code on workers"""
    ADMIN = 4
    """users, tokens, pools, audit"""

    @property
    def word(self) -> str:
        return self.name.lower()


class User(NamedTuple):
    """`password`: an argon2 hash; None: cannot log in. `roles`: by project."""

    name: str
    password: str | None
    roles: Mapping[str, Role]
    created_at: float
    disabled_at: float | None = None
    sessions_from: float = 0.0
    """Logins before this moment no longer count: the password was changed, or everything revoked."""


class Token(NamedTuple):
    """An API token for one project. `digest`: SHA-256 of the token, hex."""

    id: str
    project: str
    name: str
    role: Role
    digest: str
    created_by: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class UserChanged(Exception):
    """The user is not, or no longer, as the one who changes them believed. Nothing was done."""


@runtime_checkable
class AccessStore(Protocol):
    """Users belong to the installation, tokens to a project."""

    async def user(self, name: str) -> User | None: ...

    async def users(
        self, project: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[User]:
        """By name, those behind `after`. `project`: those alone who have a role in it, or in every one."""

    async def put_user(self, user: User, act: Act, before: User | None = None, *, new: bool = False) -> None:
        """A new user, or the one of that name as it is now to be. `before`: what is kept must still be this; `new`: there must be
        nobody of that name. Raises UserChanged when it is otherwise."""

    async def token(self, digest: str) -> Token | None:
        """Whatever became of it: the caller looks at `expires_at` and `revoked_at`."""

    async def tokens(
        self,
        project: str,
        *,
        id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int | None = None,
    ) -> list[Token]:
        """Newest first, those before the one that was created then and has that id. `id`: that one alone."""

    async def put_token(self, token: Token, act: Act) -> None:
        """Raises ValueError when a live token of the project has that name."""

    async def revoke_token(self, project: str, id: str, at: float, act: Act) -> bool:
        """Whether there was one to revoke."""
