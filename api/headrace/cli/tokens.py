"""`headrace tokens`: how programs say who they are to the API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go, me
from headrace.cli.output import instant, print_json, print_table, say
from headrace.cli.users import Json, RoleWord, act, people
from headrace.cli.where import HERE, Where
from headrace.engine.ports.access import Role

if TYPE_CHECKING:
    from headrace.cli.settings import Settings
    from headrace.engine.ports.access import Token

DAY = 86_400.0


def create(
    name: Annotated[str, Parameter(help="What it is for: letters, digits, . _ -")],
    *,
    role: Annotated[RoleWord, Parameter(help="viewer, operator, author or admin.")],
    days: Annotated[int, Parameter(help="How long it holds; 0: until it is revoked.")] = 90,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """An API token for one project, shown once."""
    import re

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is None:
        raise Stop("that is no name of a token: 1 to 100 letters, digits, . _ -, a letter or digit first.")
    if not 0 <= days <= 3660:
        raise Stop("--days is 0 to 3660.")
    return go(_create(where.settings(), name, Role[role.upper()], days * DAY or None, json))


async def _create(settings: Settings, name: str, role: Role, lasts: float | None, json: bool) -> int:
    from headrace.api.access.tokens import new_token

    text, token = new_token(settings.project, name, role, f"local:{me()}", time.time(), lasts)
    detail = {"name": name, "role": role.word, "lasts_seconds": lasts}
    async with people(settings) as store:
        try:
            await store.put_token(token, act(settings, "token.create", f"token {token.id}", detail))
        except ValueError:
            raise Stop(
                f"project {settings.project} has a live token named {name}.",
                hint=f"headrace tokens revoke {name} ends that one.",
            ) from None
    if json:
        print_json({"schema": 1, **_entry(token), "token": text})
        return 0
    until = "until it is revoked" if token.expires_at is None else f"until {instant(token.expires_at)}"
    say(f"A token for project {token.project} as {role.word}, {until}; shown this once:")
    print(text)
    return 0


def list_(*, json: Json = False, where: Where = HERE) -> int:
    """The project's tokens, without what makes them ones."""
    return go(_list(where.settings(), json))


async def _list(settings: Settings, json: bool) -> int:
    async with people(settings) as store:
        entries = [_entry(token) for token in await store.tokens(settings.project)]
    if json:
        print_json({"items": entries, "next": None})
        return 0
    columns = ("id", "name", "role", "created_by", "created_at", "expires_at", "revoked_at")
    print_table(
        ("id", "name", "role", "by", "since", "until", "revoked"),
        ([entry[column] for column in columns] for entry in entries),
        empty="No token. headrace tokens create NAME --role operator makes one.",
    )
    return 0


def revoke(
    token: Annotated[str, Parameter(help="Its id, or the name of a live one.")], *, where: Where = HERE
) -> int:
    """A token that nobody gets in with any more, from within five seconds on."""
    return go(_revoke(where.settings(), token))


async def _revoke(settings: Settings, wanted: str) -> int:
    async with people(settings) as store:
        live = [one for one in await store.tokens(settings.project) if one.revoked_at is None]
        found = next((one for one in live if wanted in (one.id, one.name)), None)
        line = act(settings, "token.revoke", f"token {found.id if found else wanted}", {})
        if found is None or not await store.revoke_token(settings.project, found.id, time.time(), line):
            raise Stop(
                f"project {settings.project} has no live token {wanted}.",
                hint="headrace tokens list shows them.",
            )
    say(f"✓ token {found.name} is revoked")
    return 0


def _entry(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.word,
        "created_by": token.created_by,
        "created_at": instant(token.created_at),
        "expires_at": instant(token.expires_at),
        "revoked_at": instant(token.revoked_at),
    }
