"""Requests about workflows and runs, to an API over a home whose engine runs in the same loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from headrace.api.access.guarding import Gate
from headrace.api.app import create_app
from headrace.api.office import Office
from tests.support.api import ROOT, Introduced, opened


class Api:
    """Requests to one API, as somebody."""

    def __init__(self, client: httpx2.AsyncClient, office: Office) -> None:
        self.client = client
        self.office = office

    async def ask(
        self,
        method: str,
        path: str,
        *,
        role: str = "admin",
        project: str = "default",
        user: str = "ada",
        key: str | None = None,
        **more: Any,
    ) -> httpx2.Response:
        """`key`: an Idempotency-Key."""
        headers = {"X-Role": role, "X-Project": project, "X-Actor": f"user:{user}", **more.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.client.request(method, ROOT + path, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return await self.ask("POST", path, **({} if body is None else {"json": body}), **more)

    async def patch(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return await self.ask("PATCH", path, json=body, **more)

    async def upload(self, text: str | bytes, *, query: str = "", **more: Any) -> httpx2.Response:
        """A workflow, as YAML."""
        headers = {"Content-Type": more.pop("kind", "application/yaml")}
        return await self.ask("POST", f"/workflows{query}", content=text, headers=headers, **more)

    async def registered(self, text: str, **more: Any) -> dict[str, Any]:
        """The version that the text became."""
        answer = await self.upload(text, **more)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def started(self, workflow: str, body: Any = None, **more: Any) -> str:
        """The id of a run that was begun."""
        answer = await self.post(f"/workflows/{workflow}/runs", body or {}, **more)
        assert answer.status_code == 202, answer.text
        run: str = answer.json()["run"]
        return run

    async def ended(self, run: str, **more: Any) -> dict[str, Any]:
        """The run once it is final."""
        answer = await self.get(f"/runs/{run}?wait=60s", **more)
        found: dict[str, Any] = answer.json()
        assert found["state"] in ("succeeded", "failed", "cancelled"), answer.text
        return found

    async def audited(self) -> list[tuple[str, str, str]]:
        """Who did what to what, newest first."""
        lines = await self.office.store.audit("default", limit=500)
        return [(line.actor, line.action, line.object) for line in lines]


@asynccontextmanager
async def open_home(folder: Path, **more: Any) -> AsyncIterator[Api]:
    """`more`: what the office has otherwise."""
    async with opened(folder) as made:
        if not more:
            yield Api(made.client, made.office)
            return
        office = replace(made.office, **more)
        app: Any = create_app(office, Gate(Introduced(office)))
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Api(client, office)
