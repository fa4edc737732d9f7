"""Users, and who may change them. They belong to the whole installation: an admin of every project makes and changes them; an
admin of one project says what they may do in it. No Litestar here."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.api.access.asking import Asker
from headrace.api.access.identity import Doors
from headrace.api.access.passwords import refused
from headrace.api.asking.starting import key_reused
from headrace.api.problems import Problem, missing
from headrace.engine.ports.access import EVERY_PROJECT, Role, User, UserChanged
from headrace.engine.ports.acts import Repeated


def need_everywhere(asker: Asker) -> None:
    """Raises Problem (403)."""
    if not asker.everywhere:
        raise Problem(
            403,
            "forbidden",
            "Users belong to every project, so this takes a user who is admin of every project.",
        )


async def listed(doors: Doors, asker: Asker, after: str | None, limit: int) -> list[User]:
    """By name, behind `after`: everybody, for who is admin everywhere; else those who may do something in the asker's project."""
    project = None if asker.everywhere else asker.project
    return await doors.office.store.users(project, after=after, limit=limit)


async def add(
    doors: Doors, asker: Asker, name: str, password: str, roles: Mapping[str, Role], asked: bytes
) -> User:
    """`asked`: the whole request but for its password, a quick hash of which nobody keeps. Raises Problem (403, 409, 422, 503)
    and Repeated."""
    need_everywhere(asker)
    _fit(password, name)
    await _recall(doors, asker, asked)
    if await doors.office.store.user(name) is not None:
        raise _exists(name)
    user = User(name, await doors.passwords.hash(password), dict(roles), asker.now)
    act = asker.act("user.add", f"user {name}", {"roles": words(roles)}, asked)
    try:
        await doors.office.store.put_user(user, act, None, new=True)
    except UserChanged:
        raise _exists(name) from None
    return user


async def change(
    doors: Doors,
    asker: Asker,
    name: str,
    *,
    password: str | None = None,
    disabled: bool | None = None,
    roles: Mapping[str, Role] | None = None,
    asked: bytes,
) -> User:
    """What is None stays. A new password and being disabled end every login. `asked`: as for `add`. Raises Problem (403, 404, 409,
    422, 503) and Repeated."""
    need_everywhere(asker)
    await _recall(doors, asker, asked)
    user = before = await _user(doors, name)
    detail: dict[str, object] = {}
    if password is not None:
        _fit(password, name)
        hashed = await doors.passwords.hash(password)
        user = user._replace(password=hashed, sessions_from=asker.now)
        detail["password"] = "set"
    if disabled is not None and disabled != (user.disabled_at is not None):
        user = user._replace(disabled_at=asker.now if disabled else None, sessions_from=asker.now)
        detail["disabled"] = disabled
    if roles is not None:
        user = user._replace(roles=dict(roles))
        detail["roles"] = words(roles)
    if asker.actor == f"user:{name}" and (user.disabled_at is not None or not _everywhere(user)):
        raise _own()
    if detail:
        try:
            await _put(doors, asker, before, user, detail, asked)
        except UserChanged:
            raise changed_meanwhile() from None
    return user


async def set_role(
    doors: Doors, asker: Asker, name: str, role: Role | None, *, everywhere: bool = False, asked: bytes
) -> User:
    """What a user may do in the asker's project, or in every one that is not named otherwise; None takes that role away. What
    somebody else changes of them at the same moment stays changed. Raises Problem (403, 404, 409) and Repeated."""
    if everywhere:
        need_everywhere(asker)
    about = EVERY_PROJECT if everywhere else asker.project
    detail = {"role": None if role is None else role.word} | ({"everywhere": True} if everywhere else {})
    while True:
        user = await _user(doors, name)
        if EVERY_PROJECT in user.roles and not asker.everywhere:
            raise Problem(
                403,
                "forbidden",
                f"User {name} has a role in every project: only an admin of every project changes it in one.",
            )
        if asker.actor == f"user:{name}":
            raise _own()
        roles = {project: had for project, had in user.roles.items() if project != about}
        if role is not None:
            roles[about] = role
        changed = user._replace(roles=roles)
        try:
            await _put(doors, asker, user, changed, detail, asked)
        except UserChanged:
            continue  # on what is there now
        return changed


async def again(doors: Doors, repeated: Repeated, name: str, password: str | None = None) -> User:
    """The user whom the same request made or changed before. Of its password the key knows nothing, so that is compared with
    the one that is kept. Raises Problem (404, 422, 503)."""
    if not repeated.same:
        raise key_reused()
    user = await _user(doors, name)
    if password is not None and not await doors.passwords.verify(password, user.password):
        raise key_reused()
    return user


async def _recall(doors: Doors, asker: Asker, asked: bytes) -> None:
    """Before anything is looked at that the first request has changed. Raises Repeated."""
    if (once := asker.once(asked)) is not None:
        await doors.office.store.recall(once, asker.now)


async def _put(doors: Doors, asker: Asker, before: User, user: User, detail: object, asked: bytes) -> None:
    """Raises UserChanged and Repeated."""
    act = asker.act("user.set", f"user {user.name}", detail, asked)
    await doors.office.store.put_user(user, act, before)
    doors.directory.forget()


async def _user(doors: Doors, name: str) -> User:
    user = await doors.office.store.user(name)
    if user is None:
        raise missing("user", name)
    return user


def words(roles: Mapping[str, Role]) -> dict[str, str]:
    return {project: role.word for project, role in sorted(roles.items())}


def changed_meanwhile() -> Problem:
    return Problem(
        409, "changed", "Somebody changed this user at the same moment. Look again, then try again."
    )


def _everywhere(user: User) -> bool:
    return user.roles.get(EVERY_PROJECT) == Role.ADMIN


def _fit(password: str, name: str) -> None:
    if (why := refused(password, name)) is not None:
        raise Problem(422, "invalid", why, problems=[{"field": "password", "message": why}])


def _exists(name: str) -> Problem:
    return Problem(409, "user_exists", f"There is a user {name} already.")


def _own() -> Problem:
    return Problem(409, "own_access", "Nobody takes their own access away: another admin can do it.")
