"""The HTTP API for tests, on real parts: an embedded home with its engine and worker running, and the application over it.

`api` answers within the test's own loop, `live_api` is a `headrace dev` process of its own.
A conftest that wants them says `from tests.support.api import api, live_api`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import Gate
from headrace.api.app import create_app
from headrace.api.office import Office
from headrace.api.opening import open_embedded
from headrace.engine.ports.access import Role
from headrace.runners.embedded import Embedded
from tests.support import warm
from tests.support.waiting import PATIENCE, eventually

ROOT = "/api/v1"
HELLO = """\
workflow: hello
params:
  name: {type: string, default: world}
tasks:
  greet: {shell: 'echo "{\\"hello\\": \\"$NAME\\"}"', env: {NAME: "${{ params.name }}"}}
output: "${{ tasks.greet.output }}"
"""


class Introduced:
    """Takes everybody for whom they say they are, in headers that only tests send; an admin of `default` when they say nothing."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def who(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Asker | None:
        said = connection.headers
        role = said.get("x-role", "admin")
        if role == "nobody":
            return None
        return Asker(
            said.get("x-actor", "user:ada"),
            said.get("x-project", self._office.project),
            Role[role.upper()],
            "127.0.0.1",
            self._office.now(),
            said.get("idempotency-key"),
        )

    async def still(self, connection: ASGIConnection[Any, Any, Any, Any], asker: Asker) -> bool:
        return True


@dataclass
class Api:
    """An open API. Paths count from /api/v1. `home` decides and executes, `folder` is where workflows and modules lie."""

    client: httpx2.AsyncClient
    office: Office
    home: Embedded
    app: Litestar
    folder: Path
    address: str | None = None

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        role: str | None = None,
        project: str | None = None,
        actor: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> httpx2.Response:
        """One request as somebody, with an Idempotency-Key or without."""
        said = {"X-Role": role, "X-Project": project, "X-Actor": actor, "Idempotency-Key": key}
        headers = {name: value for name, value in said.items() if value is not None}
        headers |= more.pop("headers", {})
        return await self.client.request(method, ROOT + path, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """The body of a 200."""
        answer = await self("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def register(self, text: str, **more: Any) -> Any:
        """A workflow from its YAML; the answer's body."""
        headers = {"Content-Type": "application/yaml"}
        answer = await self("POST", "/workflows", content=text.encode(), headers=headers, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def start(self, workflow: str, body: Mapping[str, Any] | None = None, **more: Any) -> str:
        """A run of a registered workflow; its id."""
        answer = await self("POST", f"/workflows/{workflow}/runs", json=dict(body or {}), **more)
        assert answer.status_code in (200, 202), answer.text
        run: str = answer.json()["run"]
        return run

    async def ended(self, run: str) -> Any:
        """The run once it is final."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.get(f"/runs/{run}?wait=30s")
                if found["state"] in ("succeeded", "failed", "cancelled"):
                    return found

    async def ran(self, text: str, body: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Registered, started and ended."""
        kept = await self.register(text, **more)
        return await self.ended(await self.start(kept["name"], body, **more))


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[Api]:
    """An API over a home of its own."""
    home, folder = tmp_path / "home", tmp_path / "flows"
    home.mkdir()
    folder.mkdir()
    async with open_embedded(home, folder=folder) as (office, embedded):
        app = create_app(office, Gate(Introduced(office)))
        transport = httpx2.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=PATIENCE
        ) as client:
            yield Api(client, office, embedded, app, folder)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The application in the test's loop, without a socket."""
    async with opened(tmp_path) as made:
        yield made


@dataclass
class LiveApi:
    """A server process. `address`: http://127.0.0.1:port, without a path."""

    process: subprocess.Popen[bytes]
    address: str
    folder: Path
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def client(self) -> httpx2.Client:
        """To be closed by the caller; paths count from the address."""
        return httpx2.Client(base_url=self.address, timeout=PATIENCE)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(folder: Path, *words: str, **settings: str) -> Iterator[LiveApi]:
    """`headrace WORDS` (dev or api, with what they take) on a free port of this machine, once it answers."""
    log = folder / f"{words[0]}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    with log.open("wb") as stream:
        process = warm.Popen[bytes](
            [sys.executable, "-m", "headrace.cli.main", *words, "--port", "0"],
            cwd=folder,
            env={**environment, "HEADRACE_HOME": str(folder / "home"), **settings},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        address = re.compile(r"http://[\w.\[\]:]+:\d+")
        eventually(
            lambda: address.search(log.read_text()) or process.poll() is not None, lambda: log.read_text()
        )
        found = address.search(log.read_text())
        assert found is not None, f"it ended with {process.poll()}: {log.read_text()}"
        yield LiveApi(process, found[0], folder, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


@pytest.fixture
def live_api(tmp_path: Path) -> Iterator[LiveApi]:
    """`headrace dev` over a folder with one workflow, hello."""
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "hello.yaml").write_text(HELLO)
    with serving(tmp_path, "dev", str(flows)) as made:
        yield made
