"""Many runs at once: a plan first, then exactly that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.asking import bulk
from tests.integration.api.home import Api, open_home

HOLD = "workflow: hold\ntags: [slow]\ntasks: {wait: {sleep: 1h}}"
FAIL = "workflow: fail\ntasks: {a: {shell: 'false', retry: {attempts: 1}}}"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(HOLD)
        await opened.registered(FAIL)
        yield opened


async def planned(api: Api, action: str, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await api.post("/runs/bulk", {"action": action, "filter": wanted}, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def confirmed(api: Api, plan: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/runs/bulk", {"confirm": plan}, **more)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_was_shown_is_done_and_nothing_else(api: Api) -> None:
    held = [await api.started("hold") for _ in range(30)]
    failed = await api.started("fail")
    await api.ended(failed)
    plan = await planned(api, "cancel", {"workflow": "hold", "tag": "slow"}, role="operator")
    assert (plan["matched"], plan["runs"], len(plan["sample"])) == (30, 30, bulk.SAMPLE)
    assert plan["sample"][0]["run"] == held[-1]
    later = await api.started("hold")
    gone = held.pop()
    await api.post(f"/runs/{gone}/kill?wait=10s")
    done = await confirmed(api, plan["plan_id"], role="operator")
    assert (done["posted"], done["skipped_runs"]) == (29, 1)
    assert done["skipped"] == [{"run": gone, "why": "it has ended: cancelled"}]
    for run in held:
        assert (await api.ended(run))["state"] == "cancelled"
    assert (await api.get(f"/runs/{later}")).json()["state"] in ("queued", "running")
    line = next(line for line in await api.office.store.audit("default", action="run.cancel"))
    assert (line.object, held[0].encode() in line.detail) == ("29 runs", True)


async def test_a_plan_that_is_confirmed_again_does_nothing_twice(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SHARE", 2)
    runs = [await api.started("fail") for _ in range(5)]
    for run in runs:
        await api.ended(run)
    plan = (await planned(api, "rerun", {"state": "failed"}))["plan_id"]
    done = await asyncio.gather(*(confirmed(api, plan) for _ in range(4)))
    assert sum(each["posted"] for each in done) == 5
    for run in runs:
        await api.ended(run)
    assert (await confirmed(api, plan))["posted"] == 0
    for run in runs:
        assert (await api.get(f"/runs/{run}")).json()["generation"] == 2


async def test_a_plan_counts_only_what_the_action_fits(api: Api) -> None:
    await api.ended(await api.started("fail"))
    held = await api.started("hold")
    await api.post(f"/runs/{held}/pause?wait=10s")
    everything = {
        action: (await planned(api, action, {}))["runs"] for action in ("cancel", "pause", "resume", "rerun")
    }
    assert everything == {"cancel": 1, "pause": 0, "resume": 1, "rerun": 1}
    assert (await confirmed(api, (await planned(api, "pause", {}))["plan_id"]))["posted"] == 0


async def test_a_filter_that_finds_too_many_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    monkeypatch.setattr(bulk, "_LOOKED_AT", 2)
    for _ in range(3):
        await api.started("hold")
    answer = await api.post("/runs/bulk", {"action": "cancel", "filter": {}})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_runs")


async def test_a_plan_is_good_for_five_minutes_and_one_project(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.started("hold")
    plan = (await planned(api, "kill", {}))["plan_id"]
    elsewhere = await api.post("/runs/bulk", {"confirm": plan}, project="other")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "no_plan")
    assert (await api.post("/runs/bulk", {"confirm": plan}, role="viewer")).status_code == 403
    monkeypatch.setattr(bulk, "GOOD_FOR", -1.0)
    old = await api.post("/runs/bulk", {"confirm": plan})
    assert (old.status_code, old.json()["code"]) == (409, "plan_expired")


async def test_what_is_no_plan_is_told_apart(api: Api) -> None:
    await api.started("hold")
    plan = (await planned(api, "kill", {}))["plan_id"]
    for wrong in (plan[:-3], plan[:20] + "AAAA" + plan[24:], "x", "é" * 20, "A" * 1000):
        answer = await api.post("/runs/bulk", {"confirm": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "no_plan"), wrong
    forged = bulk._pack(bulk._Packed("default", "kill", None, time.time(), [1] * 100_000))
    assert (await api.post("/runs/bulk", {"confirm": forged})).json()["code"] == "no_plan"
    body: dict[str, Any]
    for body in ({}, {"action": "cancel"}, {"filter": {}}, {"confirm": plan, "action": "kill"}):
        assert (await api.post("/runs/bulk", body)).status_code == 422, body
    for body in (
        {"action": "delete", "filter": {}},
        {"action": "kill", "filter": {"project": "other"}},
        {"runs": []},
        {"action": "kill", "filter": {"created_after": "yesterday"}},
    ):
        assert (await api.post("/runs/bulk", body)).status_code == 422, body
