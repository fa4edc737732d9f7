"""`headrace workers list`, from a database that engines note workers in."""

from __future__ import annotations

import time

from headrace.engine.ports.roster import WorkerRow
from headrace.engine.store import open_store
from tests.acceptance.cli.conftest import Terminal


async def test_workers_are_listed_with_what_they_take(headrace: Terminal) -> None:
    headrace.home.mkdir()
    store = await open_store(f"sqlite:///{headrace.database}")
    far = time.time() + 3600.0  # they stay alive however slow this machine is
    alive = WorkerRow("w-1", "i", ("etl", "ml"), {"zone": "eu"}, ("python",), 8, 3, False, far)
    draining = WorkerRow("w-2", "i", ("etl",), {}, (), 4, 1, True, far)
    gone = WorkerRow("w-3", "i", ("etl",), {}, (), 4, 0, False, 100.0)
    await store.saw_workers([alive, draining, gone])
    await store.close()
    listed = headrace("workers", "list", "--json").document["items"]
    assert [(worker["id"], worker["state"]) for worker in listed] == [("w-1", "alive"), ("w-2", "draining")]
    assert (listed[0]["queues"], listed[0]["labels"], listed[0]["held"]) == (["etl", "ml"], {"zone": "eu"}, 3)
    everyone = headrace("workers", "list", "--json", "--all", "--queue", "etl").document["items"]
    assert [worker["state"] for worker in everyone] == ["alive", "draining", "gone"]
    shown = headrace("workers", "list", "--queue", "ml").out
    assert "zone=eu" in shown
    assert "w-2" not in shown
    assert "No worker is heard" in headrace("workers", "list", "--queue", "none").err
