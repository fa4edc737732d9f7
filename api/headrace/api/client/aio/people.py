"""Users and API tokens. All of it takes an admin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from headrace.api.client.aio.connection import AsyncConnection
from headrace.api.client.models import TokenAnswer, TokenEntry, UserEntry
from headrace.api.shapes.people import RoleWord

QUARTER = 90 * 86_400
"""Seconds that a token holds unless said otherwise."""


class AsyncUsers:
    """`client.users`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, most: int | None = None) -> AsyncIterator[UserEntry]:
        """By name: those who may do something in the project, or everybody for an admin of every project."""
        return self._connection.pages(UserEntry, "users", most=most)

    async def add(self, name: str, password: str, roles: Mapping[str, RoleWord] | None = None) -> UserEntry:
        """`roles` by project, `*` for every one that is not named. Takes an admin of every project. Raises ApiError 409
        `user_exists`."""
        body = {"name": name, "password": password, "roles": dict(roles or {})}
        return await self._connection.post(UserEntry, "users", body=body, once=False)

    async def change(
        self,
        name: str,
        *,
        password: str | None = None,
        disabled: bool | None = None,
        roles: Mapping[str, RoleWord] | None = None,
    ) -> UserEntry:
        """What is left out stays. Takes an admin of every project."""
        given = {"password": password, "disabled": disabled, "roles": None if roles is None else dict(roles)}
        body = {field: value for field, value in given.items() if value is not None}
        return await self._connection.post(UserEntry, "users", name, body=body, method="PATCH", once=False)

    async def set_role(self, name: str, role: RoleWord | None, *, everywhere: bool = False) -> UserEntry:
        """In the project that the client is about, or in every one that is not named otherwise; None takes it away."""
        body: dict[str, object] = {"role": role}
        if everywhere:
            body["everywhere"] = True
        return await self._connection.post(UserEntry, "users", name, "role", body=body, method="PUT")


class AsyncTokens:
    """`client.tokens`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, most: int | None = None) -> AsyncIterator[TokenEntry]:
        """Newest first, those too that have expired or were revoked."""
        return self._connection.pages(TokenEntry, "tokens", most=most)

    async def create(self, name: str, role: RoleWord, *, lasts_seconds: int | None = QUARTER) -> TokenAnswer:
        """The token itself is in this answer and nowhere else. Sent once: a repeated answer would not hold it. Raises ApiError 409
        `token_exists`."""
        body = {"name": name, "role": role, "lasts_seconds": lasts_seconds}
        return await self._connection.post(TokenAnswer, "tokens", body=body, once=False)

    async def revoke(self, id: str) -> None:
        """Nobody gets in with it any more, from within five seconds on."""
        await self._connection.post(type(None), "tokens", id, method="DELETE")
