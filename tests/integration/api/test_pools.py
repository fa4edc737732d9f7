"""Pools over HTTP, on an engine that goes by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from tests.support.api import Api, opened
from tests.support.waiting import comes_true

LOAD = """
workflow: load
tasks:
  load:
    map: {over: [1, 2, 3, 4, 5]}
    shell: "while [ ! -e GATE ]; do sleep 0.02; done"
    pool: {name: db, cost: 2}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as api:
        yield api


async def stands(api: Api, used: int, waiting: int) -> None:
    """Until the pool is used so far, and so many wait."""

    async def holds() -> bool:
        found = await api.get("/pools/db")
        return (found["used"], found["waiting"]) == (used, waiting)

    await comes_true(holds, f"not {used} used and {waiting} waiting")


async def test_a_pool_limits_tasks_and_may_be_changed_while_they_run(api: Api, tmp_path: Path) -> None:
    answer = await api("PUT", "/pools/db", json={"slots": 4, "note": "sessions"})
    assert answer.status_code == 200
    assert answer.json()["slots"] == 4
    gate = tmp_path / "gate"
    await api.register(LOAD.replace("GATE", str(gate)))
    run = await api.start("load")
    await stands(api, used=4, waiting=3)
    why = await api.get(f"/runs/{run}/tasks/load%5B4%5D/why")
    assert "waits for 2 of the 4 slots of pool db" in str(why)
    await api("PUT", "/pools/db", json={"slots": 6})
    await stands(api, used=6, waiting=2)
    await api("PUT", "/pools/db", json={"slots": 0, "note": "closed for the night"})
    why = await api.get(f"/runs/{run}/tasks/load%5B4%5D/why")
    assert "pool db is closed" in str(why)
    gate.touch()
    await stands(api, used=0, waiting=2)
    [one] = (await api.get("/pools"))["items"]
    assert (one["name"], one["slots"], one["note"]) == ("db", 0, "closed for the night")
    assert one["changed_by"]
    await api("PUT", "/pools/db", json={"slots": 1})  # what costs more than all of it has it alone
    assert (await api.get(f"/runs/{run}?wait=30s"))["state"] == "succeeded"


async def test_a_workflow_whose_pool_has_no_slots_is_refused(api: Api) -> None:
    kind = {"Content-Type": "application/yaml"}
    refused = await api("POST", "/workflows", content=LOAD, headers=kind)
    assert refused.status_code == 422
    [problem] = refused.json()["problems"]
    assert (problem["code"], problem["line"]) == ("unknown_pool", 7)
    assert "headrace pools set db" in problem["hint"]
    inline = await api("POST", "/runs", json={"workflow": LOAD})
    assert inline.status_code == 422
    await api("PUT", "/pools/db", json={"slots": 1})
    assert (await api("POST", "/workflows", content=LOAD, headers=kind)).status_code == 201
    large = LOAD + "#" + "x" * 70_000  # checked by a process of its own
    assert (await api("POST", "/workflows", content=large, headers=kind)).status_code == 200
    assert (
        await api("POST", "/workflows", content=large.replace("name: db", "name: de"), headers=kind)
    ).status_code == 422


async def test_a_pool_that_is_named_is_not_deleted(api: Api, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await api("PUT", "/pools/db", json={"slots": 2})
    await api.register(LOAD.replace("GATE", str(gate)))
    run = await api.start("load")
    named = await api("DELETE", "/pools/db")
    assert (named.status_code, named.json()["code"], named.json()["workflows"]) == (
        409,
        "pool_in_use",
        ["load"],
    )
    await api.register("workflow: load\ntasks: {load: {noop: {}}}\n")
    await stands(api, used=2, waiting=4)
    used = await api("DELETE", "/pools/db")
    assert (used.status_code, used.json()["code"]) == (409, "pool_in_use")
    gate.touch()
    await api.get(f"/runs/{run}?wait=30s")
    key = {"Idempotency-Key": "delete-it"}
    for _ in range(2):
        assert (await api("DELETE", "/pools/db", headers=key)).status_code == 204
    assert (await api("GET", "/pools/db")).status_code == 404
    assert (await api("DELETE", "/pools/db")).status_code == 404


async def test_what_is_no_pool_is_refused(api: Api) -> None:
    for name in ("Ab", "a%20b", "x" * 101, "%C3%A4"):
        answer = await api("PUT", f"/pools/{name}", json={"slots": 1})
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "name")
    for body in ({}, {"slots": -1}, {"slots": 1_000_001}, {"slots": "many"}, {"slots": 1, "size": 2}):
        assert (await api("PUT", "/pools/db", json=body)).status_code == 422
    assert (await api.get("/pools"))["items"] == []


async def test_the_client_lists_sets_and_deletes(api: Api) -> None:
    async with AsyncClient("http://127.0.0.1", "t", transport=api.client._transport) as client:
        for name in ("b", "a"):
            assert (await client.pools.set(name, 3, note=f"of {name}")).slots == 3
        assert [one.name async for one in client.pools.list()] == ["a", "b"]
        assert (await client.pools.get("a")).note == "of a"
        await client.pools.delete("a")
        with pytest.raises(ApiError, match="pool a"):
            await client.pools.get("a")
