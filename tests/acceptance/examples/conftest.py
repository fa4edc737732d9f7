"""The examples as a reader runs them: the real command, in a folder and a home of its own, on either store."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.acceptance.examples.cases import WORKFLOWS, Services
from tests.acceptance.examples.command import Home
from tests.acceptance.examples.mailbox import Mailbox
from tests.support.postgres import TEMPLATE, Postgres, postgres

__all__ = ["postgres"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home on SQLite."""
    return Home(tmp_path / "home")


@pytest.fixture
def postgres_home(tmp_path: Path, postgres: Postgres) -> Iterator[Home]:
    """An empty home on a PostgreSQL database of its own."""
    name = f"examples_{uuid.uuid4().hex}"
    url = asyncio.run(postgres.create(name, TEMPLATE))
    yield Home(tmp_path / "home", database=url)
    asyncio.run(postgres.drop(name))


@pytest.fixture
def services() -> Iterator[Services]:
    """The catalogue and a mail server, as they are before anyone has asked them anything."""
    catalogue = _shipped("etl/catalogue.py").Catalogue(retry_after=1)
    thread = Thread(target=catalogue.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with Mailbox() as mailbox:
        yield Services(catalogue, mailbox)
    catalogue.shutdown()
    thread.join()
    catalogue.server_close()


def _shipped(path: str) -> Any:
    """A module of the examples, under a name that nothing else has."""
    name = f"examples_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, WORKFLOWS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
