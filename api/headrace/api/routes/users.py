"""Users, and what they may do in a project."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, patch, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody
from msgspec.structs import replace

from headrace.api.access import people
from headrace.api.access.asking import Asker
from headrace.api.access.guarding import ADMIN, doors_of
from headrace.api.access.identity import Doors
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.people import (
    NewUser,
    RoleBody,
    UserChange,
    UserEntry,
    role_of,
    roles_of,
    user_entry,
)
from headrace.engine.ports.acts import Repeated

DOORS = {"doors": Provide(doors_of)}


@get("/users", opt=ADMIN, summary="Users", dependencies=DOORS)
async def list_users(
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[UserEntry]:
    """By name: those who may do something in the project, or everybody for an admin of every project."""
    found = await people.listed(doors, asker, place_of(cursor, str), limit + 1)
    shown = page(found, limit, lambda user: user.name)
    return Page([user_entry(user, asker.project, asker.everywhere) for user in shown.items], shown.next)


@post("/users", opt=ADMIN, status_code=201, summary="Add a user", dependencies=DOORS)
async def add_user(
    request: Request[Any, Any, Any],
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    data: JSONBody[NewUser],
) -> Response[UserEntry]:
    """It takes an admin of every project. The password has 12 characters or more and is kept as an argon2 hash. 409 `user_exists`
    when the name is taken."""
    headers = {"Location": f"{request.scope['path'].rstrip('/')}/{data.name}"}
    said = asked(request, msgspec.json.encode(replace(data, password="")))
    try:
        user = await people.add(doors, asker, data.name, data.password, roles_of(data.roles), said)
    except Repeated as repeated:
        user = await people.again(doors, repeated, data.name, data.password)
        headers |= REPLAYED
    return Response(user_entry(user, asker.project, asker.everywhere), headers=headers)


@patch("/users/{name:str}", opt=ADMIN, summary="Change a user", dependencies=DOORS)
async def change_user(
    request: Request[Any, Any, Any],
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    data: JSONBody[UserChange],
) -> Response[UserEntry]:
    """It takes an admin of every project. A new password, and being disabled, end the user's logins; other processes hear of
    it within five seconds. Nobody takes their own access away: 409 `own_access`."""
    roles = None if data.roles is None else roles_of(data.roles)
    said = asked(request, msgspec.json.encode(replace(data, password=data.password and "")))
    headers: dict[str, str] = {}
    try:
        user = await people.change(
            doors, asker, name, password=data.password, disabled=data.disabled, roles=roles, asked=said
        )
    except Repeated as repeated:
        user, headers = await people.again(doors, repeated, name, data.password), REPLAYED
    return Response(user_entry(user, asker.project, asker.everywhere), headers=headers)


@put("/users/{name:str}/role", opt=ADMIN, summary="What a user may do in this project", dependencies=DOORS)
async def set_role(
    request: Request[Any, Any, Any],
    doors: NamedDependency[Doors],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    data: JSONBody[RoleBody],
    body: RawBody,
) -> Response[UserEntry]:
    """An admin of the project says so for it. Only an admin of every project says so for `everywhere`, or for a user who has such a
    role: 403 for the others. What the user may do in other projects stays as it is."""
    role = None if data.role is None else role_of(data.role)
    headers: dict[str, str] = {}
    try:
        user = await people.set_role(
            doors, asker, name, role, everywhere=data.everywhere, asked=asked(request, body)
        )
    except Repeated as repeated:
        user, headers = await people.again(doors, repeated, name), REPLAYED
    return Response(user_entry(user, asker.project, asker.everywhere), headers=headers)


ROUTES = [list_users, add_user, change_user, set_role]
