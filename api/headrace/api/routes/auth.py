"""Logging in and out, and who one is."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from headrace.api.access import entering
from headrace.api.access.asking import Asker
from headrace.api.access.guarding import PUBLIC, VIEWER, doors_of
from headrace.api.access.identity import Doors
from headrace.api.shapes.people import LoginAnswer, LoginBody, Me, PasswordBody
from headrace.api.showing.times import instant

DOORS = {"doors": Provide(doors_of)}
ONCE = {**VIEWER, "repeatable": False}
"""For what ends the login that it is asked with: sent again, it is 401, with an Idempotency-Key or without."""
NO_STORE = {"Cache-Control": "no-store"}


@post("/auth/login", opt={**PUBLIC, "errors": (401,)}, status_code=200, summary="Log in", dependencies=DOORS)
async def log_in(
    request: Request[Any, Any, Any], doors: NamedDependency[Doors], data: JSONBody[LoginBody]
) -> Response[LoginAnswer]:
    """A signed token that holds for 15 minutes. 401 `wrong_password` for a wrong password as for a name nobody has; after ten
    tries in a row 429. Every try is in the audit."""
    token, login = await entering.log_in(doors, data.user, data.password, doors.address(request))
    answer = LoginAnswer(token=token, user=login.user, expires_at=instant(login.until))
    return Response(answer, headers=NO_STORE)


@post("/auth/logout-all", opt=ONCE, status_code=204, summary="End every login of mine", dependencies=DOORS)
async def log_out_everywhere(doors: NamedDependency[Doors], asker: NamedDependency[Asker]) -> None:
    """This one too. API tokens stay: they are revoked one by one. Other processes hear of it within five seconds."""
    await entering.log_out_everywhere(doors, asker)


@post("/auth/password", opt=ONCE, status_code=204, summary="Change my password", dependencies=DOORS)
async def change_password(
    doors: NamedDependency[Doors], asker: NamedDependency[Asker], data: JSONBody[PasswordBody]
) -> None:
    """Ends every login, this one too. 403 `wrong_password` when the present password is another one."""
    await entering.change_password(doors, asker, data.old, data.new)


@get("/me", opt=VIEWER, summary="Who asks", sync_to_thread=False)
def get_me(asker: NamedDependency[Asker]) -> Me:
    """As whom, for which project and with which role this request is answered."""
    word: Any = asker.role.word
    return Me(
        actor=asker.actor,
        project=asker.project,
        role=word,
        everywhere=asker.everywhere,
        address=asker.address,
    )


ROUTES = [log_in, log_out_everywhere, change_password, get_me]
