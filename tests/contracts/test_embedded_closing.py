"""A process that could not go on lets go of everything all the same: the next one takes over in the same breath."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path

import pytest

from headrace.engine.artifacts import UnusableStore
from headrace.runners.embedded import Embedded
from tests.contracts.conftest import Database


async def test_what_cannot_be_opened_leaves_nothing_open(database: Database, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnusableStore):
            async with Embedded.open(tmp_path, database_url=database.url, artifacts="nope://there"):
                pass
        gc.collect()


async def test_an_engine_that_has_failed_is_closed_with_everything_beside_it(
    database: Database, tmp_path: Path
) -> None:
    """What it failed with is raised, when all the rest is closed."""

    async def fails(timeout: float | None = 0.0) -> bool:
        raise RuntimeError("a fault of ours")

    async def work() -> None:
        async with Embedded.open(tmp_path, database_url=database.url) as opened:
            assert opened.engine is not None
            opened.engine.turn = fails  # type: ignore[method-assign]
            opened.engine.wake()
            assert opened._turning is not None
            with pytest.raises(RuntimeError):
                await opened._turning

    with pytest.raises(RuntimeError, match="a fault of ours"):
        await work()
    async with Embedded.open(tmp_path, database_url=database.url) as again:
        assert again.owns
    gc.collect()
