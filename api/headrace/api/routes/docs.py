"""What the API can do: OpenAPI for programs, Swagger UI for people. Everything comes from this package."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from headrace.api.access.guarding import PUBLIC
from headrace.api.problems import missing

ASSETS = {
    "swagger-ui-bundle.js": ("swagger/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger/swagger-ui.css", "text/css"),
    "favicon-32x32.png": ("swagger/favicon-32x32.png", "image/png"),
    "docs.js": ("docs.js", "text/javascript"),
}
"""Every file that is given out, by the name that it is asked for by: a name never becomes a path."""
KEPT = {"Cache-Control": "public, max-age=3600"}


@get("/docs", opt=PUBLIC, include_in_schema=False)
async def docs() -> Response[bytes]:
    """Swagger UI."""
    return Response(_page("docs.html"), media_type="text/html")


@get("/docs/{name:str}", opt=PUBLIC, include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A file that the page is made of."""
    if name not in ASSETS:
        raise missing("file", name[:100])
    path, kind = ASSETS[name]
    return Response(await asyncio.to_thread(_page, path), media_type=kind, headers=KEPT)


def schema_route(document: Callable[[], bytes]) -> HTTPRouteHandler:
    """`/schema/openapi.json`. The document is made when it is first asked for, which takes a moment."""
    made = lru_cache(maxsize=1)(document)

    @get("/schema/openapi.json", opt=PUBLIC, include_in_schema=False)
    async def schema() -> Response[bytes]:
        """The description of every route."""
        return Response(await asyncio.to_thread(made), media_type="application/json")

    return schema


@lru_cache(maxsize=16)
def _page(path: str) -> bytes:
    return files("headrace.api").joinpath("pages", *path.split("/")).read_bytes()


ROUTES = [docs, asset]
