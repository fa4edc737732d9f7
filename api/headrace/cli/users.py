"""`headrace users`: who may log in to the API, and what they may do in which project."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go, me
from headrace.cli.output import instant, print_json, print_table, say
from headrace.cli.where import HERE, Where, prepare
from headrace.engine.ports.access import EVERY_PROJECT, Role, User, UserChanged

if TYPE_CHECKING:
    from headrace.api.office import ApiStore
    from headrace.cli.settings import Settings
    from headrace.engine.ports.acts import Act

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
    where: Where = HERE,
) -> int:
    """A user who logs in with a password.

    The first admin is made here: headrace users add ada --role admin --everywhere.
    """
    settings = where.settings()
    password, made = _password(password_file, name)
    project = EVERY_PROJECT if everywhere else settings.project

    async def work(store: ApiStore) -> None:
        from headrace.api.access.passwords import hash_now

        user = User(name, hash_now(password), {project: Role[role.upper()]}, time.time())
        try:
            await store.put_user(user, _act(settings, "user.add", name, {"roles": {project: role}}), new=True)
        except UserChanged:
            raise Stop(
                f"there is a user {name} already.", hint="headrace users set-role changes one."
            ) from None

    go(_do(settings, work))
    _tell_password(name, password if made else None, json, project=project, role=role)
    return 0


def list_(*, json: Json = False, where: Where = HERE) -> int:
    """Users and their roles."""
    found: list[User] = []

    async def work(store: ApiStore) -> None:
        found.extend(await store.users())

    go(_do(where.settings(), work))
    entries = [
        {
            "name": user.name,
            "roles": {project: role.word for project, role in sorted(user.roles.items())},
            "created_at": instant(user.created_at),
            "disabled_at": instant(user.disabled_at),
        }
        for user in found
    ]
    if json:
        print_json({"items": entries, "next": None})
        return 0
    print_table(
        ("user", "roles", "since", "disabled"),
        (
            (
                entry["name"],
                [f"{role} in {project}" for project, role in cast("dict[str, str]", entry["roles"]).items()],
                entry["created_at"],
                entry["disabled_at"],
            )
            for entry in entries
        ),
        empty="No user. headrace users add NAME --role admin --everywhere makes the first.",
    )
    return 0


def set_role(
    name: Name,
    role: Annotated[RoleWord | Literal["none"], Parameter(help="viewer, operator, author, admin or none.")],
    *,
    everywhere: Everywhere = False,
    where: Where = HERE,
) -> int:
    """What a user may do in a project; none takes the role away."""
    settings = where.settings()
    project = EVERY_PROJECT if everywhere else settings.project

    def changed(user: User) -> User:
        roles = {known: had for known, had in user.roles.items() if known != project}
        if role != "none":
            roles[project] = Role[role.upper()]
        return user._replace(roles=roles)

    go(_change(settings, name, changed, {"roles": {project: role}}))
    return 0


def set_password(
    name: Name, *, password_file: PasswordFile = None, json: Json = False, where: Where = HERE
) -> int:
    """A new password; every login of the user ends."""
    password, made = _password(password_file, name)

    def changed(user: User) -> User:
        from headrace.api.access.passwords import hash_now

        return user._replace(password=hash_now(password), sessions_from=time.time())

    go(_change(where.settings(), name, changed, {"password": "set"}))
    _tell_password(name, password if made else None, json)
    return 0


def disable(name: Name, *, where: Where = HERE) -> int:
    """A user who cannot log in any more, from within five seconds on."""
    now = time.time()
    go(
        _change(
            where.settings(),
            name,
            lambda user: user._replace(disabled_at=user.disabled_at or now, sessions_from=now),
            {"disabled": True},
        )
    )
    return 0


def enable(name: Name, *, where: Where = HERE) -> int:
    """A disabled user who may log in again."""
    go(_change(where.settings(), name, lambda user: user._replace(disabled_at=None), {"disabled": False}))
    return 0


async def _change(settings: Settings, name: str, changed: Any, detail: Mapping[str, Any]) -> None:
    async def work(store: ApiStore) -> None:
        while True:
            user = await store.user(name)
            if user is None:
                raise Stop(f"there is no user {name}.", hint="headrace users list shows who there is.")
            try:
                await store.put_user(changed(user), _act(settings, "user.set", name, detail), user)
                return
            except UserChanged:
                continue  # somebody else changed another thing of them: once more, on that

    await _do(settings, work)


async def _do(settings: Settings, work: Any) -> None:
    async with people(settings) as store:
        await work(store)


@asynccontextmanager
async def people(settings: Settings) -> AsyncIterator[ApiStore]:
    """The store, made when there is none yet; what was done is chained into the audit when this is left. Raises StoreUnavailable."""
    from headrace.engine.store import open_store

    if settings.database_url is None:
        prepare(settings.home)
    store = cast("ApiStore", await open_store(settings.database))
    try:
        yield store
        await store.chain()
    finally:
        await store.close()


def act(settings: Settings, action: str, object: str, detail: Mapping[str, Any]) -> Act:
    """The audit's line for what somebody does at this machine."""
    from json import dumps

    from headrace.engine.ports.acts import Act

    text = dumps(detail, sort_keys=True).encode()
    return Act(settings.project, time.time(), f"local:{me()}", None, action, object, text)


def _act(settings: Settings, action: str, name: str, detail: Mapping[str, Any]) -> Act:
    return act(settings, action, f"user {name}", detail)


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
