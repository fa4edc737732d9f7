"""One process at a time decides for a database, on both stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.engine.ports.store import StoreUnavailable
from headrace.runners.embedded import Embedded
from tests.contracts.conftest import Database


async def test_a_second_process_is_refused_while_the_first_lives(database: Database, tmp_path: Path) -> None:
    async with Embedded.open(tmp_path, database_url=database.url):
        with pytest.raises(StoreUnavailable):
            async with Embedded.open(tmp_path, database_url=database.url):
                pass
    async with Embedded.open(tmp_path, database_url=database.url) as again:
        assert again.owns
