"""Logging in and out, and changing one's password. Each try is in the audit, whether it succeeded or not. No Litestar here."""

from __future__ import annotations

import msgspec

from headrace.api.access.asking import Asker
from headrace.api.access.identity import Doors
from headrace.api.access.passwords import refused
from headrace.api.access.people import changed_meanwhile
from headrace.api.access.signing import Login
from headrace.api.problems import Problem
from headrace.engine.ports.access import UserChanged
from headrace.engine.ports.acts import Act


async def log_in(doors: Doors, name: str, password: str, address: str | None) -> tuple[str, Login]:
    """The login as a token. Raises Problem (401, 404, 429, 503): 401 for a wrong password as for a user who is unknown or
    disabled, after the same time."""
    if doors.signer is None:
        raise Problem(
            404, "no_logins", "This API asks nobody who they are, so there is nothing to log in to."
        )
    await doors.rates.of_login(name, address)
    user = await doors.office.store.user(name)
    right = await doors.passwords.verify(
        password, None if user is None or user.disabled_at is not None else user.password
    )
    now = doors.office.now()
    detail = {} if right else {"why": "unknown user, wrong password, or disabled"}
    action = "login" if right else "login.refused"
    await doors.office.store.note(_line(doors, now, name, address, action, detail))
    if user is None or not right:
        raise Problem(
            401,
            "wrong_password",
            "Name or password is wrong.",
            headers={"WWW-Authenticate": 'Bearer realm="headrace"'},
        )
    return doors.signer.sign(name, now, user.sessions_from)


async def log_out_everywhere(doors: Doors, asker: Asker) -> None:
    """No login until now counts any more; the asker's own too. Raises Problem (409)."""
    name = name_of(asker)
    user = await doors.office.store.user(name)
    if user is None:
        raise no_user()
    try:
        await doors.office.store.put_user(
            user._replace(sessions_from=doors.office.now()), asker.act("logout.all", f"user {name}"), user
        )
    except UserChanged:
        raise changed_meanwhile() from None
    doors.directory.forget()


async def change_password(doors: Doors, asker: Asker, old: str, new: str) -> None:
    """Ends all logins of the user. Raises Problem (403, 409, 422, 429, 503)."""
    name = name_of(asker)
    if (why := refused(new, name)) is not None:
        raise Problem(422, "invalid", why, problems=[{"field": "new", "message": why}])
    await doors.rates.of_login(name, asker.address)
    user = await doors.office.store.user(name)
    if user is None or not await doors.passwords.verify(old, user.password):
        await doors.office.store.note(asker.act("password.refused", f"user {name}"))
        raise Problem(403, "wrong_password", "The present password is another one.")
    hashed = await doors.passwords.hash(new)
    try:
        await doors.office.store.put_user(
            user._replace(password=hashed, sessions_from=doors.office.now()),
            asker.act("password.set", f"user {name}"),
            user,
        )
    except UserChanged:
        raise changed_meanwhile() from None
    doors.directory.forget()


def name_of(asker: Asker) -> str:
    """The user who asks. Raises Problem (409) for a token, and where there are no users."""
    kind, _, name = asker.actor.partition(":")
    if kind != "user":
        raise no_user()
    return name


def no_user() -> Problem:
    return Problem(409, "no_user", "This is for users with a login, and no user asks.")


def _line(doors: Doors, now: float, name: str, address: str | None, action: str, detail: object) -> Act:
    who = f"user:{name}" if action == "login" else "nobody"
    return Act(
        doors.office.project, now, who, address, action, f"user {name}", msgspec.json.encode(detail), None
    )
