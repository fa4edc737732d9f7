"""API tokens: how programs say who they are."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import ADMIN, doors_of
from headrace.api.access.identity import Doors
from headrace.api.access.tokens import new_token
from headrace.api.asking.starting import key_reused
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import Problem, missing
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.people import (
    NewToken,
    TokenAnswer,
    TokenEntry,
    role_of,
    token_answer,
    token_entry,
)
from headrace.engine.ports.access import Token
from headrace.engine.ports.acts import Repeated

DOORS = {"doors": Provide(doors_of)}
NO_STORE = {"Cache-Control": "no-store"}


@get("/tokens", opt=ADMIN, summary="API tokens of the project", dependencies=DOORS)
async def list_tokens(
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[TokenEntry]:
    """Newest first, those too that have expired or were revoked."""
    found = await doors.office.store.tokens(
        asker.project, before=place_of(cursor, tuple[float, str]), limit=limit + 1
    )
    shown = page(found, limit, lambda token: (token.created_at, token.id))
    return Page([token_entry(token) for token in shown.items], shown.next)


@post("/tokens", opt=ADMIN, status_code=201, summary="Make an API token", dependencies=DOORS)
async def create_token(
    request: Request[Any, Any, Any],
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    data: JSONBody[NewToken],
    body: RawBody,
) -> Response[TokenAnswer]:
    """For the project that is asked about, and for no other one. The token is in this answer and nowhere else: only its hash is kept.
    409 `token_exists` when a live token has the name."""
    text, token = new_token(
        asker.project, data.name, role_of(data.role), asker.actor, asker.now, data.lasts_seconds
    )
    detail = {"role": data.role, "lasts_seconds": data.lasts_seconds}
    act = asker.act("token.create", f"token {token.id}", {"name": data.name, **detail}, asked(request, body))
    try:
        await doors.office.store.put_token(token, act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        made = await _find(doors, asker.project, repeated.object.removeprefix("token "))
        return Response(token_answer(made, None), headers=REPLAYED | NO_STORE)
    except ValueError:
        raise Problem(409, "token_exists", f"The project has a live token named {data.name}.") from None
    return Response(token_answer(token, text), headers=NO_STORE)


@delete("/tokens/{id:str}", opt=ADMIN, status_code=204, summary="Revoke an API token", dependencies=DOORS)
async def revoke_token(
    request: Request[Any, Any, Any],
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    id: FromPath[str],
    body: RawBody,
) -> Response[None]:
    """Nobody gets in with it any more; other processes hear of it within five seconds. 404 when it is revoked already."""
    act = asker.act("token.revoke", f"token {id}", None, asked(request, body))
    try:
        if not await doors.office.store.revoke_token(asker.project, id, asker.now, act):
            raise missing("live token", id)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return Response(None, headers=REPLAYED)
    doors.directory.forget()
    return Response(None)


async def _find(doors: Doors, project: str, id: str) -> Token:
    for token in await doors.office.store.tokens(project, id=id):
        return token
    raise missing("token", id)


ROUTES = [list_tokens, create_token, revoke_token]
