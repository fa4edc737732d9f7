"""`headrace users`: who may log in to the API, and what they may do in which project."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go
from headrace.cli.output import print_json, print_table, say
from headrace.cli.people import people
from headrace.cli.where import ANYWHERE, Anywhere
from headrace.engine.ports.access import EVERY_PROJECT

RoleWord = Literal["viewer", "operator", "author", "admin"]
Name = Annotated[str, Parameter(help="The user's name: letters, digits, . _ @ + -")]
Everywhere = Annotated[bool, Parameter(help="In every project that is not named otherwise.", negative="")]
PasswordFile = Annotated[
    str | None,
    Parameter(help="A file with the password, - for stdin; without it one is made and shown once."),
]
Json = Annotated[bool, Parameter(help="For programs.")]


def add(
    name: Name,
    *,
    role: Annotated[RoleWord, Parameter(help="viewer, operator, author or admin.")] = "viewer",
    everywhere: Everywhere = False,
    password_file: PasswordFile = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """A user who logs in with a password.

    The first admin is made here: headrace users add ada --role admin --everywhere.
    """
    password, made = _password(password_file, name)

    async def work() -> str:
        async with people(where.settings()) as known:
            project = EVERY_PROJECT if everywhere else await known.project()
            await known.add_user(name, password, project, role)
            return project

    project = go(work())
    _tell_password(name, password if made else None, json, project=project, role=role)
    return 0


def list_(*, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Users and their roles."""
    return go(_list(where, json))


async def _list(where: Anywhere, json: bool) -> int:
    async with people(where.settings()) as known:
        users = await known.users()
    if json:
        items = [
            {
                "name": user.name,
                "roles": user.roles,
                "created_at": user.created_at,
                "disabled_at": user.disabled_at,
            }
            for user in users
        ]
        print_json({"items": items, "next": None})
        return 0
    print_table(
        ("user", "roles", "since", "disabled"),
        (
            (
                user.name,
                [f"{role} in {project}" for project, role in (user.roles or {}).items()],
                user.created_at,
                user.disabled_at,
            )
            for user in users
        ),
        empty="No user. headrace users add NAME --role admin --everywhere makes the first.",
    )
    return 0


def set_role(
    name: Name,
    role: Annotated[RoleWord | Literal["none"], Parameter(help="viewer, operator, author, admin or none.")],
    *,
    everywhere: Everywhere = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """What a user may do in a project; none takes the role away."""

    async def work() -> None:
        async with people(where.settings()) as known:
            project = EVERY_PROJECT if everywhere else await known.project()
            await known.set_role(name, project, None if role == "none" else role)

    go(work())
    return 0


def set_password(
    name: Name, *, password_file: PasswordFile = None, json: Json = False, where: Anywhere = ANYWHERE
) -> int:
    """A new password; every login of the user ends."""
    password, made = _password(password_file, name)

    async def work() -> None:
        async with people(where.settings()) as known:
            await known.set_password(name, password)

    go(work())
    _tell_password(name, password if made else None, json)
    return 0


def disable(name: Name, *, where: Anywhere = ANYWHERE) -> int:
    """A user who cannot log in any more, from within five seconds on."""
    go(_set_disabled(where, name, True))
    return 0


def enable(name: Name, *, where: Anywhere = ANYWHERE) -> int:
    """A disabled user who may log in again."""
    go(_set_disabled(where, name, False))
    return 0


async def _set_disabled(where: Anywhere, name: str, disabled: bool) -> None:
    async with people(where.settings()) as known:
        await known.set_disabled(name, disabled)


def _password(file: str | None, name: str) -> tuple[str, bool]:
    """The password, and whether it was made here. Raises Stop."""
    import re

    from headrace.api.access.passwords import refused

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", name) is None:
        raise Stop("that is no name of a user: 1 to 100 letters, digits, . _ @ + -, a letter or digit first.")
    if file is None:
        return secrets.token_urlsafe(18), True
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{file} cannot be read: {error}.") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if (why := refused(password, name)) is not None:
        raise Stop(why)
    return password, False


def _tell_password(name: str, password: str | None, json: bool, **more: str) -> None:
    if json:
        print_json({"schema": 1, "user": name, **more, "password": password})
    elif password is not None:
        say(f"The password of {name}, shown this once:")
        print(password)
