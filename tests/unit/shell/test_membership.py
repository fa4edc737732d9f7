"""An engine among others that do not see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headrace.engine.ports.ownership import Survey
from headrace.engine.shell.ownership import Membership
from headrace.engine.store import open_store

EVERY = 0.05


async def test_who_stays_dead_for_the_others_says_so_once_and_does_not_look_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/one.db")
    looks: list[float] = []
    enough = asyncio.Event()

    async def survey() -> Survey:
        looks.append(asyncio.get_running_loop().time())
        if len(looks) == 4:
            enough.set()
        return Survey(("another",), (), 0.0)

    async def flush() -> None: ...

    monkeypatch.setattr(store, "survey", survey)
    membership = Membership(store, "one", lambda: None, flush, every=EVERY)
    try:
        await membership.join()
        async with asyncio.timeout(10):
            await enough.wait()
    finally:
        await membership.leave(1.0)
        await store.close()
    assert looks[3] - looks[0] >= 2.9 * EVERY
    assert len([line for line in caplog.messages if "taken for dead" in line]) == 1
