"""What differs when the home's database is PostgreSQL: locks in place of one writer, and its own ways to find runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from headrace.api.access.guarding import Gate
from headrace.api.app import create_app
from headrace.api.opening import open_embedded
from tests.integration.api.home import Api
from tests.support.api import Introduced
from tests.support.servers import Servers

ECHO = "workflow: echo\ntags: [loud]\ndescription: Says it.\ntasks: {a: {noop: {}}}"
HOLD = "workflow: hold\ntasks: {wait: {sleep: 1h}}"


@pytest.fixture
async def api(tmp_path: Path, lab: Servers) -> AsyncIterator[Api]:
    url = lab.database_url("api")
    try:
        async with open_embedded(tmp_path, database_url=url, folder=tmp_path) as (office, _):
            app: Any = create_app(office, Gate(Introduced(office)))
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                opened = Api(client, office)
                await opened.registered(ECHO)
                await opened.registered(HOLD)
                yield opened
    finally:
        lab.drop_database(url)


async def test_many_ask_at_once(api: Api) -> None:
    """One key, one run; one business key, one live run; one plan, one command for each run."""
    answers = await asyncio.gather(*(api.post("/workflows/hold/runs", {}, key="once") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    taken = await asyncio.gather(*(api.post("/workflows/hold/runs", {"key": "k"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in taken) == [200] * 19 + [202]
    assert len({answer.json()["run"] for answer in taken}) == 1
    plan = (await api.post("/runs/bulk", {"action": "cancel", "filter": {"workflow": "hold"}})).json()
    assert plan["runs"] == 2
    done = await asyncio.gather(*(api.post("/runs/bulk", {"confirm": plan["plan_id"]}) for _ in range(5)))
    assert sum(each.json()["posted"] for each in done) == 2
    for run in (answers[0].json()["run"], taken[0].json()["run"]):
        assert (await api.ended(run))["state"] == "cancelled"


async def test_a_run_takes_the_place_of_another(api: Api) -> None:
    first = await api.started("hold", {"key": "k"})
    second = await api.started("hold", {"key": "k", "on_conflict": "cancel_existing"})
    assert (await api.ended(first))["state"] == "cancelled"
    assert (await api.post(f"/runs/{second}/pause?wait=10s")).json()["state"] == "paused"


async def test_runs_and_workflows_are_found(api: Api) -> None:
    run = await api.started("echo", {"key": "Order-%_1"})
    await api.ended(run)
    created = (await api.get(f"/runs/{run}")).json()["created_at"]
    for query in (
        "tag=loud",
        "text=Order-%25_",
        f"text={run[:20]}",
        f"state=succeeded&created_after={created}",
    ):
        assert [item["run"] for item in (await api.get(f"/runs?{query}")).json()["items"]] == [run], query
    for query in ("tag=lou", "text=rder", f"created_before={created}", "state=paused"):
        assert (await api.get(f"/runs?{query}")).json()["items"] == [], query
    for query in ("tag=loud", "text=SAYS", "text=cho"):
        assert [item["name"] for item in (await api.get(f"/workflows?{query}")).json()["items"]] == [
            "echo"
        ], query
    for wrong in ("runs?text=%00", "runs?cursor=OTIyMzM3MjAzNjg1NDc3NTgwOA", "workflows?tag=%00"):
        assert (await api.get(f"/{wrong}")).status_code == 400, wrong
    assert (await api.get("/runs?cursor=OTIyMzM3MjAzNjg1NDc3NTgwNw")).status_code == 200
