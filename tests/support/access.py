"""An API that asks who one is, over a home of its own: two projects, a user and a token of every role in each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx2
from litestar import Litestar

from headrace.api.access.asking import Asker
from headrace.api.access.opening import make_gate
from headrace.api.access.tokens import new_token
from headrace.api.app import create_app
from headrace.api.office import Office
from headrace.engine.ports.access import EVERY_PROJECT, Role, User
from tests.support.api import ROOT, opened
from tests.support.waiting import PATIENCE

KEY = "9f1c5e0ab27d4836-Zk3vQpLxWm-7Rt2Yb8Nd6Hs"
OLD_KEY = "4b8d2f6a0c1e3957-Ja5uTgEoVi-1Fq9Xc4Mw7Ky"
PASSWORD = "correct horse battery"
MINE, OTHER = "default", "other"
ROLES = tuple(Role)


@dataclass
class Secured:
    """`tokens`: by project and role. `clock` moves on when a test says so."""

    client: httpx2.AsyncClient
    office: Office
    app: Litestar
    tokens: Mapping[tuple[str, Role], str]
    clock: Clock

    async def ask(
        self,
        method: str,
        path: str,
        credentials: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        root: str = ROOT,
        **more: Any,
    ) -> httpx2.Response:
        """A request with credentials, or without any."""
        sent = dict(headers or {})
        if credentials is not None:
            sent["Authorization"] = f"Bearer {credentials}"
        return await self.client.request(method, root + path, headers=sent, **more)

    def token(self, role: Role = Role.ADMIN, project: str = MINE) -> str:
        return self.tokens[project, role]

    async def login(self, user: str, password: str = PASSWORD, **more: Any) -> httpx2.Response:
        return await self.ask("POST", "/auth/login", json={"user": user, "password": password}, **more)

    async def logged_in(self, user: str) -> str:
        answer = await self.login(user)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token


class Clock:
    """The office's, plus what was added to it."""

    def __init__(self, base: Any) -> None:
        self._base = base
        self.ahead = 0.0

    def __call__(self) -> float:
        now: float = self._base() + self.ahead
        return now


@asynccontextmanager
async def secured(
    folder: Path, *, users: bool = False, peer: str = "203.0.113.7", **gate: Any
) -> AsyncIterator[Secured]:
    """`users`: also root (admin of every project), ada (admin of `default`), bob (viewer of `default`, operator of `other`) and eve,
    who may do nothing. `peer`: where requests come from. `gate`: as `make_gate` takes it; `secrets`: what no answer may hold."""
    secrets = gate.pop("secrets", ())
    async with opened(folder) as made:
        clock = Clock(made.office.now)
        office = replace(made.office, now=clock, secrets=tuple(secrets))
        tokens: dict[tuple[str, Role], str] = {}
        for project in (MINE, OTHER):
            by = Asker("local:test", project, Role.ADMIN, None, office.now())
            for role in ROLES:
                text, token = new_token(project, role.word, role, "local:test", office.now(), 3600.0)
                await office.store.put_token(token, by.act("token.create", f"token {token.id}"))
                tokens[project, role] = text
        if users:
            await _people(office)
        options = {"host": "0.0.0.0", "keys": (KEY, OLD_KEY), **gate}
        app = create_app(office, make_gate(office, **options))
        transport = httpx2.ASGITransport(
            app=cast("Any", app), raise_app_exceptions=False, client=(peer, 1234)
        )
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://headrace.test", timeout=PATIENCE
        ) as client:
            yield Secured(client, office, app, tokens, clock)


async def _people(office: Office) -> None:
    from headrace.api.access.passwords import hash_now

    hashed = hash_now(PASSWORD)
    by = Asker("local:test", MINE, Role.ADMIN, None, office.now())
    roles: dict[str, dict[str, Role]] = {
        "root": {EVERY_PROJECT: Role.ADMIN},
        "ada": {MINE: Role.ADMIN},
        "bob": {MINE: Role.VIEWER, OTHER: Role.OPERATOR},
        "eve": {},
    }
    for name, had in roles.items():
        await office.store.put_user(User(name, hashed, had, office.now()), by.act("user.add", f"user {name}"))
