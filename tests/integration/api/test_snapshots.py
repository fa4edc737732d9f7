"""However many look at a run, it is read once; and whoever looks after it moved sees that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.api.showing import snapshots
from headrace.api.showing.snapshots import Snapshots
from headrace.engine.ports.store import Loaded
from headrace.engine.shell.views import RunUnknown
from tests.integration.api.home import Api, open_home

FAN = "workflow: fan\ntasks:\n" + "".join(f"  t{number}: {{noop: {{}}}}\n" for number in range(40))


class Counted:
    """The store, counting how often runs are loaded."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.loads = 0

    async def load(self, runs: Sequence[int]) -> list[Loaded]:
        self.loads += 1
        found: list[Loaded] = await self._store.load(runs)
        return found


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(FAN)
        await opened.registered("workflow: hold\ntasks: {wait: {sleep: 1h}}")
        yield opened


async def row_of(api: Api, workflow: str) -> Any:
    run = await api.started(workflow)
    if workflow == "fan":
        await api.ended(run)
    return (await api.office.store.find_runs("default", run))[0]


async def test_many_who_look_at_once_read_it_once(api: Api) -> None:
    row = await row_of(api, "fan")
    store: Any = Counted(api.office.store)
    kept = Snapshots(store, api.office.plans)
    found = await asyncio.gather(*(kept.get(row) for _ in range(50)))
    assert (store.loads, len({id(one) for one in found}), len(found[0].layout)) == (1, 1, 40)
    kept.forget(row.no)
    await kept.get(row)
    assert store.loads == 2


async def test_a_run_that_moved_is_read_again(api: Api) -> None:
    row = await row_of(api, "hold")
    paused = await api.post(f"/runs/{row.id}/pause?wait=10s")
    assert paused.json()["state"] == "paused"
    (waiting,) = (await api.get(f"/runs/{row.id}/why")).json()["items"]
    assert "paused" in [one["code"] for one in waiting["blockers"]]
    await api.post(f"/runs/{row.id}/resume?wait=10s")
    (waiting,) = (await api.get(f"/runs/{row.id}/why")).json()["items"]
    assert "paused" not in [one["code"] for one in waiting["blockers"]]


async def test_what_is_kept_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEPT_TASKS", 2 * (40 + snapshots.BESIDES))
    rows = [await row_of(api, "fan") for _ in range(3)]
    store: Any = Counted(api.office.store)
    kept = Snapshots(store, api.office.plans)
    for row in rows:
        await kept.get(row)
    await kept.get(rows[2])
    await kept.get(rows[1])
    assert store.loads == 3
    await kept.get(rows[0])  # the one that nobody looked at for longest had gone
    assert store.loads == 4


async def test_a_run_that_is_no_longer_kept(api: Api) -> None:
    row = await row_of(api, "fan")
    with pytest.raises(RunUnknown):
        await Snapshots(api.office.store, api.office.plans).get(row._replace(no=row.no + 1000))
