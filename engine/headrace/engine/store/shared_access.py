"""What every store does alike for people: `SharedStore`'s part of `ports.acts` and `ports.access`."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.ports.access import Token, User
from headrace.engine.ports.acts import Act, AuditLine, ChainHead, Once
from headrace.engine.store import access, auditing
from headrace.engine.store.transacting import Transacting


class SharedAccess(Transacting):
    """What somebody did, and who may do it."""

    # what somebody did ---------------------------------------------------------------------------------------------

    async def note(self, act: Act) -> None:
        await self._write(auditing.note, act, repeatable=False)

    async def recall(self, once: Once, now: float) -> None:
        await self._read(auditing.recall, once, now)

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
        wanted = auditing.Wanted(project, actor, action, object)
        return await self._read(auditing.listed, wanted, before, limit)

    async def audit_chain(self, project: str, after: int = 0, limit: int = 1000) -> list[AuditLine]:
        return await self._read(auditing.chained, project, after, limit)

    async def audit_head(self, project: str) -> ChainHead | None:
        return await self._read(auditing.head, project)

    async def audited_projects(self) -> Sequence[str]:
        return await self._read(auditing.projects)

    async def chain(self, limit: int = 1000) -> int:
        return await self._write(auditing.chain, limit)

    # who may do what -----------------------------------------------------------------------------------------------

    async def user(self, name: str) -> User | None:
        return await self._read(access.user, name)

    async def users(
        self, project: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[User]:
        return await self._read(access.users, project, after, limit)

    async def put_user(self, user: User, act: Act, before: User | None = None, *, new: bool = False) -> None:
        await self._change(act, access.put_user, user, before, new)

    async def token(self, digest: str) -> Token | None:
        return await self._read(access.token, digest)

    async def tokens(
        self,
        project: str,
        *,
        id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int | None = None,
    ) -> list[Token]:
        return await self._read(access.tokens, project, id, before, limit)

    async def put_token(self, token: Token, act: Act) -> None:
        await self._change(act, access.put_token, token)

    async def revoke_token(self, project: str, id: str, at: float, act: Act) -> bool:
        return await self._write(access.revoke_token, project, id, at, act, repeatable=False)
