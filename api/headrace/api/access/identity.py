"""Who asks: a user by a login, a program by an API token, or, without authentication, whoever sits at this machine."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from litestar.connection import ASGIConnection

from headrace.api.access.addresses import Network, client_address, host_of, is_loopback, same_site
from headrace.api.access.asking import Asker
from headrace.api.access.directory import Directory
from headrace.api.access.passwords import Passwords
from headrace.api.access.rates import Rates
from headrace.api.access.signing import Signer
from headrace.api.access.tokens import PREFIX, digest_of, holds, well_formed
from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.engine.ports.access import EVERY_PROJECT, Role

Connection = ASGIConnection[Any, Any, Any, Any]

PROJECT = re.compile(r"[^\x00-\x20\x7f/*][^\x00-\x1f\x7f/]{0,99}")
KEY = re.compile(r"[\x21-\x7e]{1,200}")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headrace"'}


class Doors:
    """What the gate and the routes about users, tokens and logins share; one for the process.

    Args:
        signer: None: there is no authentication.
        proxies: whose X-Forwarded-For is believed.
    """

    def __init__(
        self, office: Office, signer: Signer | None, rates: Rates, proxies: tuple[Network, ...] = ()
    ) -> None:
        self.office, self.signer, self.rates = office, signer, rates
        self.directory = Directory(office.store)
        self.passwords = Passwords()
        self._proxies = proxies

    def address(self, connection: Connection) -> str | None:
        """Where a request came from, as far as our own proxies say."""
        peer = connection.scope.get("client")
        forwarded = connection.headers.getall("x-forwarded-for", [])
        return client_address(peer[0] if peer else None, forwarded, self._proxies)


class Holder(NamedTuple):
    """Whose credentials they are. `roles`: by project; `home`: the project that is meant when none is named; `bound`: there
    is no other one."""

    actor: str
    roles: Mapping[str, Role]
    home: str
    bound: bool = False


class Identity:
    """Bearer tokens: logins and API tokens."""

    def __init__(self, doors: Doors, signer: Signer) -> None:
        self.doors, self._signer = doors, signer

    async def who(self, connection: Connection) -> Asker | None:
        """None: no credentials came along. Raises Problem (400, 401, 403, 429)."""
        doors, now = self.doors, self.doors.office.now()
        address = doors.address(connection)
        credentials = _bearer(connection)
        if credentials is None:
            await doors.rates.of_address(address)
            return None
        if fresh := not self._seen(credentials, now):
            await doors.rates.of_address(address)  # before anything is looked up for whoever this is
        holder = await self._holder(credentials, now)
        if holder is None:
            if not fresh:
                await doors.rates.of_address(address)
            raise unknown()
        await doors.rates.of_asker(f"{holder.home}/{holder.actor}" if holder.bound else holder.actor)
        project = _project(connection) or holder.home
        role = role_in(holder.roles, project)
        if role is None:
            raise _no_role(holder, project)
        everywhere = not holder.bound and holder.roles.get(EVERY_PROJECT) == Role.ADMIN
        return Asker(holder.actor, project, role, address, now, idempotency_key(connection), everywhere)

    async def still(self, connection: Connection, asker: Asker) -> bool:
        """Whether the credentials of a request that was let in would be let in now, and for as much."""
        credentials = _bearer(connection)
        if credentials is None:
            return False
        holder = await self._holder(credentials, self.doors.office.now())
        return holder is not None and (role_in(holder.roles, asker.project) or 0) >= asker.role

    def _seen(self, credentials: str, now: float) -> bool:
        """Whether the token, or the user of a login that is signed, was found a moment ago."""
        if credentials.startswith(PREFIX):
            return self.doors.directory.knows(digest=digest_of(credentials))
        login = self._signer.read(credentials, now)
        return login is not None and self.doors.directory.knows(user=login.user)

    async def _holder(self, credentials: str, now: float) -> Holder | None:
        """None: they do not hold, whatever the reason."""
        if credentials.startswith(PREFIX):
            return await self._of_token(credentials, now)
        return await self._of_login(credentials, now)

    async def _of_token(self, text: str, now: float) -> Holder | None:
        token = await self.doors.directory.token(digest_of(text)) if well_formed(text) else None
        if token is None or not holds(text, token, now):
            return None
        return Holder(f"token:{token.name}", {token.project: token.role}, token.project, bound=True)

    async def _of_login(self, text: str, now: float) -> Holder | None:
        login = self._signer.read(text, now)
        user = await self.doors.directory.user(login.user) if login is not None else None
        if login is None or user is None or user.disabled_at is not None or login.since != user.sessions_from:
            return None
        return Holder(f"user:{user.name}", user.roles, self.doors.office.project)


class Unguarded:
    """No authentication, on this machine alone: whoever reaches the loopback address may do everything.

    Pages of other sites reach it too, through a browser that is here; so the Host header must name this machine (another
    name that resolves to it is not enough), and a request that a page makes must be of a page from here.
    """

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self._actor = f"local:{_me()}"

    async def who(self, connection: Connection) -> Asker | None:
        """Raises Problem (400, 403)."""
        peer = connection.scope.get("client")
        host = connection.headers.get("host", "")
        named = host_of(host)
        if (peer and not is_loopback(peer[0])) or named is None or not is_loopback(named):
            raise _foreign("it did not come from this machine, to this machine by name")
        if any(name in connection.headers for name in ("x-forwarded-for", "forwarded", "x-forwarded-host")):
            raise _foreign("it came through a proxy")
        origin = connection.headers.get("origin")
        site = connection.headers.get("sec-fetch-site", "none")
        if (origin is not None and not same_site(origin, host)) or site not in ("none", "same-origin"):
            raise _foreign("a page of another site sent it")
        return Asker(
            self._actor,
            _project(connection) or self.doors.office.project,
            Role.ADMIN,
            peer[0] if peer else None,
            self.doors.office.now(),
            idempotency_key(connection),
            True,
        )

    async def still(self, connection: Connection, asker: Asker) -> bool:
        """Nobody is ever turned out."""
        return True


def role_in(roles: Mapping[str, Role], project: str) -> Role | None:
    """What somebody may do in a project: what is said of it, else what is said of every one."""
    return roles.get(project, roles.get(EVERY_PROJECT))


def unknown() -> Problem:
    """401: the same for whatever does not hold, so that nothing is learned from it."""
    return Problem(
        401,
        "unauthenticated",
        "This login or token does not hold: it is unknown, has expired or was revoked. Log in again, or send another.",
        headers={"WWW-Authenticate": 'Bearer realm="headrace", error="invalid_token"'},
    )


def idempotency_key(connection: Connection) -> str | None:
    """The request's Idempotency-Key. Raises Problem (400)."""
    key = connection.headers.get("idempotency-key")
    if key is not None and KEY.fullmatch(key) is None:
        raise Problem(
            400,
            "idempotency_key",
            "An Idempotency-Key has 1 to 200 visible ASCII characters, without spaces.",
        )
    return key


def _bearer(connection: Connection) -> str | None:
    """What stands behind `Bearer`. Raises Problem (401) for credentials of another kind, or several."""
    values = connection.headers.getall("authorization", [])
    if not values:
        return None
    scheme, _, credentials = values[0].strip().partition(" ")
    credentials = credentials.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not credentials:
        raise Problem(
            401,
            "unauthenticated",
            "Send one header Authorization: Bearer … with a login or an API token.",
            headers=_CHALLENGE,
        )
    return credentials


def _project(connection: Connection) -> str | None:
    """The project that the request names, in its header X-Headrace-Project or as ?project=. Raises Problem (400)."""
    named = [*connection.headers.getall("x-headrace-project", [])]
    named += connection.query_params.getall("project", [])
    if len(set(named)) > 1:
        raise Problem(400, "project", "The request names several projects; it can be about one.")
    if named and PROJECT.fullmatch(named[0]) is None:
        raise Problem(400, "project", "That is no name of a project.")
    return named[0] if named else None


def _no_role(holder: Holder, project: str) -> Problem:
    if holder.bound:
        detail = f"This token is for project {holder.home} and for no other one."
    else:
        detail = f"You have no role in project {project}."
    return Problem(403, "forbidden", detail)


def _foreign(why: str) -> Problem:
    return Problem(
        403,
        "foreign",
        f"Without authentication this API answers this machine alone, and this request is refused: {why}.",
    )


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
