"""Users, tokens and the audit, in this machine's database or on a server: what `users`, `tokens` and `audit` work with.

As a station, it speaks in the API's shapes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from headrace.api.access.verifying import Verdict, verify
from headrace.api.shapes.people import (
    AuditEntry,
    RoleWord,
    TokenAnswer,
    TokenEntry,
    UserEntry,
    audit_entry,
    role_of,
    token_answer,
    token_entry,
    user_entry,
)
from headrace.api.veiling import OPEN
from headrace.cli.acts import act
from headrace.cli.failure import Stop
from headrace.cli.here import me, reading, server
from headrace.cli.where import prepare
from headrace.engine.ports.access import EVERY_PROJECT, User, UserChanged
from headrace.engine.ports.acts import Act, ChainHead

if TYPE_CHECKING:
    from headrace.api.client.aio.client import AsyncClient
    from headrace.api.office import ApiStore
    from headrace.cli.settings import Settings


class People(Protocol):
    """Who may do what, and who did what. `project` "*" is every one that is not named otherwise. What is refused is a Stop."""

    async def project(self) -> str:
        """The one that is meant when none is named."""

    async def users(self) -> Sequence[UserEntry]:
        """By name."""

    async def add_user(self, name: str, password: str, project: str, role: RoleWord) -> None: ...

    async def set_role(self, name: str, project: str, role: RoleWord | None) -> None: ...

    async def set_password(self, name: str, password: str) -> None: ...

    async def set_disabled(self, name: str, disabled: bool) -> None: ...

    async def tokens(self) -> Sequence[TokenEntry]:
        """Newest first."""

    async def create_token(self, name: str, role: RoleWord, lasts: float | None) -> TokenAnswer:
        """`lasts`: seconds; None: until it is revoked."""

    async def revoke_token(self, id: str) -> bool:
        """Whether there was such a live one."""

    async def audit(
        self, *, actor: str | None, action: str | None, object: str | None, before: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Newest first."""

    async def verify(self, expected: ChainHead | None) -> Sequence[Verdict]:
        """Of the project that is named, else of every one that can be told of."""


@asynccontextmanager
async def people(settings: Settings, *, only_look: bool = False) -> AsyncIterator[People]:
    """Those of the server that is named, else of this machine. The store is made when there is none yet, but not to look only;
    what was done is chained into the audit when this is left. Raises StoreUnavailable."""
    if settings.server is not None:
        async with server(settings) as client:
            yield RemotePeople(client)
        return
    if only_look:
        async with reading(settings) as opened:
            yield LocalPeople(settings, cast("ApiStore", opened))
        return
    from headrace.engine.store import open_store

    if settings.database_url is None:
        prepare(settings.home)
    store = cast("ApiStore", await open_store(settings.database))
    try:
        yield LocalPeople(settings, store)
        await store.chain()
    finally:
        await store.close()


def no_user(name: str) -> Stop:
    return Stop(f"there is no user {name}.", hint="headrace users list shows who there is.")


def user_exists(name: str) -> Stop:
    return Stop(f"there is a user {name} already.", hint="headrace users set-role changes one.")


def token_exists(project: str, name: str) -> Stop:
    return Stop(
        f"project {project} has a live token named {name}.",
        hint=f"headrace tokens revoke {name} ends that one.",
    )


class LocalPeople:
    """In a store."""

    def __init__(self, settings: Settings, store: ApiStore) -> None:
        self._settings, self._store = settings, store

    async def project(self) -> str:
        return self._settings.project

    async def users(self) -> Sequence[UserEntry]:
        return [user_entry(user, self._settings.project, True) for user in await self._store.users()]

    async def add_user(self, name: str, password: str, project: str, role: RoleWord) -> None:
        from headrace.api.access.passwords import hash_now

        user = User(name, hash_now(password), {project: role_of(role)}, time.time())
        try:
            await self._store.put_user(
                user, self._act("user.add", f"user {name}", {"roles": {project: role}}), new=True
            )
        except UserChanged:
            raise user_exists(name) from None

    async def set_role(self, name: str, project: str, role: RoleWord | None) -> None:
        def changed(user: User) -> User:
            roles = {known: had for known, had in user.roles.items() if known != project}
            if role is not None:
                roles[project] = role_of(role)
            return user._replace(roles=roles)

        await self._change(name, changed, {"roles": {project: role or "none"}})

    async def set_password(self, name: str, password: str) -> None:
        from headrace.api.access.passwords import hash_now

        hashed, now = hash_now(password), time.time()
        await self._change(
            name, lambda user: user._replace(password=hashed, sessions_from=now), {"password": "set"}
        )

    async def set_disabled(self, name: str, disabled: bool) -> None:
        now = time.time()

        def changed(user: User) -> User:
            if not disabled:
                return user._replace(disabled_at=None)
            return user._replace(disabled_at=user.disabled_at or now, sessions_from=now)

        await self._change(name, changed, {"disabled": disabled})

    async def _change(self, name: str, changed: Any, detail: Mapping[str, Any]) -> None:
        while True:
            user = await self._store.user(name)
            if user is None:
                raise no_user(name)
            try:
                await self._store.put_user(changed(user), self._act("user.set", f"user {name}", detail), user)
                return
            except UserChanged:
                continue  # somebody else changed another thing of them: once more, on that

    async def tokens(self) -> Sequence[TokenEntry]:
        return [token_entry(token) for token in await self._store.tokens(self._settings.project)]

    async def create_token(self, name: str, role: RoleWord, lasts: float | None) -> TokenAnswer:
        from headrace.api.access.tokens import new_token

        project = self._settings.project
        text, token = new_token(project, name, role_of(role), f"local:{me()}", time.time(), lasts)
        detail = {"name": name, "role": role, "lasts_seconds": lasts}
        try:
            await self._store.put_token(token, self._act("token.create", f"token {token.id}", detail))
        except ValueError:
            raise token_exists(project, name) from None
        return token_answer(token, text)

    async def revoke_token(self, id: str) -> bool:
        line = self._act("token.revoke", f"token {id}", {})
        return await self._store.revoke_token(self._settings.project, id, time.time(), line)

    async def audit(
        self, *, actor: str | None, action: str | None, object: str | None, before: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        lines = await self._store.audit(
            self._settings.project, actor=actor, action=action, object=object, before=before, limit=limit
        )
        return [audit_entry(line, OPEN) for line in lines]

    async def verify(self, expected: ChainHead | None) -> Sequence[Verdict]:
        named = self._settings.asked_project is not None or expected
        projects = [self._settings.project] if named else sorted(await self._store.audited_projects())
        return [await verify(self._store, project, expected) for project in projects]

    def _act(self, action: str, object: str, detail: Mapping[str, Any]) -> Act:
        return act(self._settings, action, object, detail)


class RemotePeople:
    """On a server."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def project(self) -> str:
        return (await self._client.me()).project

    async def users(self) -> Sequence[UserEntry]:
        found = [user async for user in self._client.users.list()]
        project = await self.project()
        for user in found:
            if user.roles is None:  # an admin of one project is told of that one
                user.roles = {} if user.role is None else {project: user.role}
        return found

    async def add_user(self, name: str, password: str, project: str, role: RoleWord) -> None:
        await _said(self._client.users.add(name, password, {project: role}), 409, user_exists(name))

    async def set_role(self, name: str, project: str, role: RoleWord | None) -> None:
        setting = self._client.users.set_role(name, role, everywhere=project == EVERY_PROJECT)
        await _said(setting, 404, no_user(name))

    async def set_password(self, name: str, password: str) -> None:
        await _said(self._client.users.change(name, password=password), 404, no_user(name))

    async def set_disabled(self, name: str, disabled: bool) -> None:
        await _said(self._client.users.change(name, disabled=disabled), 404, no_user(name))

    async def tokens(self) -> Sequence[TokenEntry]:
        return [token async for token in self._client.tokens.list()]

    async def create_token(self, name: str, role: RoleWord, lasts: float | None) -> TokenAnswer:
        making = self._client.tokens.create(name, role, lasts_seconds=None if lasts is None else int(lasts))
        return cast("TokenAnswer", await _said(making, 409, token_exists(await self.project(), name)))

    async def revoke_token(self, id: str) -> bool:
        from headrace.api.client.errors import ApiError

        try:
            await self._client.tokens.revoke(id)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def audit(
        self, *, actor: str | None, action: str | None, object: str | None, before: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        lines = self._client.audit(actor=actor, action=action, object=object, before=before, most=limit)
        return [line async for line in lines]

    async def verify(self, expected: ChainHead | None) -> Sequence[Verdict]:
        if expected is not None:
            raise Stop(
                "--expect follows the chain itself, so it takes the database.",
                hint="Give --database-url or --home; without --expect the server says its lines and hash.",
            )
        found = await self._client.verify_audit()
        return [Verdict(await self.project(), found.lines, found.hash, found.problem)]


async def _said(asking: Any, status: int, stop: Stop) -> Any:
    """The answer. Raises the Stop in place of an ApiError with that status."""
    from headrace.api.client.errors import ApiError

    try:
        return await asking
    except ApiError as error:
        raise stop if error.status == status else error from None
