"""`headrace tokens`: how programs say who they are to the API."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go
from headrace.cli.output import print_json, print_table, say
from headrace.cli.people import people
from headrace.cli.users import Json, RoleWord
from headrace.cli.where import ANYWHERE, Anywhere

DAY = 86_400.0


def create(
    name: Annotated[str, Parameter(help="What it is for: letters, digits, . _ -")],
    *,
    role: Annotated[RoleWord, Parameter(help="viewer, operator, author or admin.")],
    days: Annotated[int, Parameter(help="How long it holds; 0: until it is revoked.")] = 90,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """An API token for one project, shown once."""
    import re

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is None:
        raise Stop("that is no name of a token: 1 to 100 letters, digits, . _ -, a letter or digit first.")
    if not 0 <= days <= 3660:
        raise Stop("--days is 0 to 3660.")
    return go(_create(where, name, role, days * DAY or None, json))


async def _create(where: Anywhere, name: str, role: RoleWord, lasts: float | None, json: bool) -> int:
    async with people(where.settings()) as known:
        token = await known.create_token(name, role, lasts)
        project = await known.project()
    if json:
        print_json({"schema": 1, **msgspec.to_builtins(token)})
        return 0
    until = "until it is revoked" if token.expires_at is None else f"until {token.expires_at}"
    say(f"A token for project {project} as {role}, {until}; shown this once:")
    print(token.token)
    return 0


def list_(*, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """The project's tokens, without what makes them ones."""
    return go(_list(where, json))


async def _list(where: Anywhere, json: bool) -> int:
    async with people(where.settings()) as known:
        tokens = await known.tokens()
    if json:
        print_json({"items": [msgspec.to_builtins(token) for token in tokens], "next": None})
        return 0
    columns = ("id", "name", "role", "created_by", "created_at", "expires_at", "revoked_at")
    print_table(
        ("id", "name", "role", "by", "since", "until", "revoked"),
        ([getattr(token, column) for column in columns] for token in tokens),
        empty="No token. headrace tokens create NAME --role operator makes one.",
    )
    return 0


def revoke(
    token: Annotated[str, Parameter(help="Its id, or the name of a live one.")], *, where: Anywhere = ANYWHERE
) -> int:
    """A token that nobody gets in with any more, from within five seconds on."""
    return go(_revoke(where, token))


async def _revoke(where: Anywhere, wanted: str) -> int:
    async with people(where.settings()) as known:
        live = [one for one in await known.tokens() if one.revoked_at is None]
        found = next((one for one in live if wanted in (one.id, one.name)), None)
        if found is None or not await known.revoke_token(found.id):
            raise Stop(
                f"project {await known.project()} has no live token {wanted}.",
                hint="headrace tokens list shows them.",
            )
    say(f"✓ token {found.name} is revoked")
    return 0
