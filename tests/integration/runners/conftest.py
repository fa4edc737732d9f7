from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.runners.desk import TASKS, Desk, opened


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path, slots=1) as desk:
        desk.write("tasks.py", TASKS)
        yield desk
