"""Every route and the role it takes, read from the application itself: what docs/api-roles.md shows and tests go through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from litestar import Litestar

from headrace.engine.ports.access import Role


class Route(NamedTuple):
    """`role` None: public. `path` has its parameters in braces."""

    method: str
    path: str
    role: Role | None
    name: str


def routes_of(app: Litestar | None = None) -> list[Route]:
    """By path and method; of the application as it is always made, when none is given. Raises LookupError for a route that names
    no role: it would answer nobody."""
    made = app or _bare()
    found = [
        each
        for route in made.routes
        for each in _told(route.path_format, getattr(route, "route_handlers", ()))
    ]
    return sorted(found, key=lambda route: (route.path, route.method))


def _told(path: str, handlers: Iterable[Any]) -> Iterable[Route]:
    for handler in handlers:
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
            public, role = handler.opt.get("public"), handler.opt.get("role")
            if not public and role is None:
                raise LookupError(f"{method} {path} names no role")
            yield Route(method, path, None if public else role, handler.handler_name)


def _bare() -> Litestar:
    """An application that has its routes and answers nothing."""
    from types import SimpleNamespace

    from headrace.api.access.guarding import Gate
    from headrace.api.app import create_app

    return create_app(cast("Any", SimpleNamespace(secrets=(), watched=())), Gate(cast("Any", None)))
