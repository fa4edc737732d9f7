"""Deny by default: a route says in its `opt` which role it takes, or that it is public; one that says nothing answers nobody."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from litestar.connection import ASGIConnection, Request
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from headrace.api.access.asking import Asker
from headrace.api.access.staying import Stay
from headrace.api.problems import Problem
from headrace.engine.ports.access import Role

if TYPE_CHECKING:
    from headrace.api.access.identity import Doors

PUBLIC = {"public": True}
VIEWER = {"role": Role.VIEWER}
OPERATOR = {"role": Role.OPERATOR}
AUTHOR = {"role": Role.AUTHOR}
ADMIN = {"role": Role.ADMIN}


class Identifies(Protocol):
    async def who(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Asker | None:
        """None: nobody known. Raises Problem (401, 429) for credentials that do not hold."""

    async def still(self, connection: ASGIConnection[Any, Any, Any, Any], asker: Asker) -> bool:
        """Whether somebody who was let in would be let in now. Asked now and then while an answer goes on."""


class Gate(ASGIMiddleware):
    """Finds out who asks, once for each request. `doors`: what routes about access share with it; `None` where there are none."""

    def __init__(self, identifies: Identifies, doors: Doors | None = None) -> None:
        self._identifies = identifies
        self._doors = doors

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        # a public route answers whatever credentials come along, those that no longer hold too
        scope["state"]["doors"] = self._doors
        scope["auth"] = None
        if scope["route_handler"].opt.get("public"):
            await next_app(scope, receive, send)
            return
        connection = ASGIConnection[Any, Any, Any, Any](scope, receive, send)
        scope["auth"] = asker = await self._identifies.who(connection)
        if asker is None:
            await next_app(scope, receive, send)
            return
        stay = Stay(partial(self._identifies.still, connection, asker), receive, send)
        await next_app(scope, stay.receive, stay.send)
        await stay.ended()


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Problem (401, 403)."""
    if handler.opt.get("public"):
        return
    asks: Asker | None = connection.scope.get("auth")
    if asks is None:
        raise Problem(
            401,
            "unauthenticated",
            "Log in, or send an API token: Authorization: Bearer …",
            headers={"WWW-Authenticate": "Bearer"},
        )
    role: Role | None = handler.opt.get("role")
    if role is None:
        raise Problem(403, "forbidden", "Nobody may call this: the route names no role.")
    asks.require(role)


async def asker(request: Request[Any, Any, Any]) -> Asker:
    """The request's author, for a route that is not public."""
    found: Asker = request.scope["auth"]
    return found


async def doors_of(request: Request[Any, Any, Any]) -> Doors:
    """What the gate shares with routes about access. Raises Problem (404) where nobody is asked who they are."""
    doors: Doors | None = request.scope["state"].get("doors")
    if doors is None:
        raise Problem(404, "not_found", "There are no users and no tokens here.")
    return doors
