"""Backfills over HTTP, on an engine that runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.client.aio.client import AsyncClient
from tests.support.api import Api, opened
from tests.support.waiting import comes_true

NIGHTLY = """
workflow: sales
params:
  day: {type: string, format: date, default: "${{ run.date }}"}
  since: {type: [string, "null"], default: null}
triggers:
  - {id: nightly, cron: "30 2 * * *", timezone: Europe/Berlin, params: {since: "${{ event.previous_at }}"}}
tasks:
  wait: {noop: {}}
output: "${{ params.day }}"
"""
SLEEPS = NIGHTLY.replace("{noop: {}}", "{sleep: 1h}")
WEEK: dict[str, Any] = {"workflow": "sales", "from": "2026-03-27", "to": "2026-04-02"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as api:
        yield api


async def planned(api: Api, **wanted: Any) -> Any:
    answer = await api("POST", "/backfills", json={**WEEK, **wanted}, role="operator")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def begun(api: Api, **wanted: Any) -> int:
    plan = await planned(api, **wanted)
    answer = await api("POST", "/backfills", json={"confirm": plan["plan_id"]}, actor="user:ada")
    assert answer.status_code == 202, answer.text
    number: int = answer.json()["backfill"]
    return number


async def comes_to(api: Api, number: int, **progress: int) -> Any:
    async def stands() -> bool:
        told = (await api.get(f"/backfills/{number}"))["progress"]
        return all(told[state] == count for state, count in progress.items())

    await comes_true(stands, f"backfill {number} does not come to {progress}")
    return await api.get(f"/backfills/{number}")


async def over(api: Api, number: int) -> Any:
    async def ended() -> bool:
        return (await api.get(f"/backfills/{number}"))["finished_at"] is not None

    await comes_true(ended, f"backfill {number} is not over")
    return await api.get(f"/backfills/{number}")


async def test_a_plan_is_shown_and_begun_when_it_is_confirmed(api: Api) -> None:
    await api.register(NIGHTLY)
    plan = await planned(api)
    assert (plan["moments"], plan["runs"], plan["found"]) == (7, 7, {"missing": 7})
    assert plan["first"][:3] == [
        "2026-03-27T01:30:00.000Z",
        "2026-03-28T01:30:00.000Z",
        "2026-03-29T01:00:00.000Z",
    ]
    assert (plan["schedule"], plan["timezone"], plan["priority"]) == ("sales.nightly", "Europe/Berlin", "low")
    assert (await api.get("/backfills"))["items"] == []
    answer = await api("POST", "/backfills", json={"confirm": plan["plan_id"]}, actor="user:ada")
    number = answer.json()["backfill"]
    again = await api("POST", "/backfills", json={"confirm": plan["plan_id"]})
    assert (again.json()["backfill"], again.headers["Idempotency-Replayed"]) == (number, "true")
    done = await over(api, number)
    assert (done["state"], done["by"], done["waits_for"]) == ("done", "user:ada", None)
    assert (done["progress"]["total"], done["progress"]["succeeded"]) == (7, 7)
    moments = (await api.get(f"/backfills/{number}/moments"))["items"]
    assert [each["date"] for each in moments] == [
        *(f"2026-03-{day}" for day in range(27, 32)),
        "2026-04-01",
        "2026-04-02",
    ]
    run = await api.get(f"/runs/{moments[2]['run']}")
    assert (run["output"], run["scheduled_at"], run["priority"]) == (
        "2026-03-29",
        "2026-03-29T01:00:00.000Z",
        "low",
    )
    assert (run["trigger"]["schedule"], run["trigger"]["backfill"]) == ("sales.nightly", number)
    lines = (await api.get(f"/audit?object=backfill%20{number}"))["items"]
    assert [(line["action"], line["actor"]) for line in lines] == [("backfill.create", "user:ada")]
    assert (await planned(api))["found"] == {"succeeded": 7}
    assert (await planned(api, reprocess="all"))["runs"] == 7


async def test_a_limit_is_held_and_said_and_can_be_raised(api: Api) -> None:
    await api.register(SLEEPS)
    number = await begun(api, max_active=2)
    told = await comes_to(api, number, started=2, waiting=5)
    assert told["waits_for"] == "2 of its runs go on, and max_active is 2"
    answer = await api("PATCH", f"/backfills/{number}", json={"max_active": 3, "priority": "high"})
    assert answer.status_code == 200, answer.text
    told = await comes_to(api, number, started=3, waiting=4)
    assert (told["max_active"], told["priority"]) == (3, "high")


async def test_it_is_paused_resumed_and_cancelled_with_its_runs(api: Api) -> None:
    await api.register(SLEEPS)
    number = await begun(api, max_active=1)
    await comes_to(api, number, started=1)
    paused = (
        await api("POST", f"/backfills/{number}/pause", json={"reason": "busy"}, actor="user:ada")
    ).json()
    assert (paused["state"], paused["waits_for"]) == ("paused", "it is paused by user:ada: busy")
    resumed = (await api("POST", f"/backfills/{number}/resume")).json()
    assert (resumed["state"], resumed["paused_by"]) == ("running", None)
    first = await api("POST", f"/backfills/{number}/cancel", json={}, key="k")
    assert (first.json()["state"], first.json()["progress"]["started"]) == ("cancelled", 1)
    again = await api("POST", f"/backfills/{number}/cancel", json={}, key="k")
    assert again.headers["Idempotency-Replayed"] == "true"
    await api("POST", f"/backfills/{number}/cancel", json={"runs": True})
    done = await over(api, number)
    assert (done["progress"]["cancelled"], done["progress"]["waiting"]) == (1, 6)
    refused = await api("POST", f"/backfills/{number}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "backfill_over")


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"workflow": "none"}, 404, "not_found"),
        ({"to": "2999-01-01"}, 422, "in_the_future"),
        ({"from": "1900-01-01"}, 422, "too_many_moments"),
        ({"from": "2026-03-27T12:00:00Z", "to": "2026-03-27T13:00:00Z"}, 422, "nothing_to_do"),
        ({"params": {"nothing": 1}}, 422, "cannot_start"),
        ({"schedule": "weekly"}, 422, "no_schedule"),
        ({"dates": ["2026-03-27"]}, 422, "invalid"),
        ({"confirm": "abc"}, 422, "invalid"),
        ({"max_active": 0}, 422, "invalid"),
        ({"reprocess": "some"}, 422, "invalid"),
    ],
)
async def test_what_no_backfill_comes_of(api: Api, wanted: Any, status: int, code: str) -> None:
    await api.register(NIGHTLY)
    answer = await api("POST", "/backfills", json={**WEEK, **wanted})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_plan_is_of_its_project_and_of_the_schedule_as_it_was(api: Api) -> None:
    await api.register(NIGHTLY)
    plan = await planned(api)
    foreign = await api("POST", "/backfills", json={"confirm": plan["plan_id"]}, project="other")
    assert foreign.json()["code"] == "no_plan"
    for text in ("x", plan["plan_id"][:-4]):
        assert (await api("POST", "/backfills", json={"confirm": text})).json()["code"] == "no_plan"
    await api.register(NIGHTLY.replace('"30 2', '"30 3'))
    late = await api("POST", "/backfills", json={"confirm": plan["plan_id"]})
    assert (late.status_code, late.json()["code"]) == (409, "plan_expired")


async def test_a_viewer_looks_and_sees_no_values(api: Api) -> None:
    await api.register(NIGHTLY)
    number = await begun(api, params={"since": "ever"})
    assert (await api.get(f"/backfills/{number}"))["params"] == {"since": "ever"}
    assert (await api.get(f"/backfills/{number}", role="viewer"))["params"] is None
    assert (await api("POST", "/backfills", json=WEEK, role="viewer")).status_code == 403


async def test_the_client_speaks_of_backfills_too(api: Api) -> None:
    await api.register(SLEEPS)
    transport = api.client._transport
    async with AsyncClient("http://127.0.0.1", "t", transport=transport) as client:
        plan = await client.backfills.plan("sales", "2026-03-27", "2026-03-29", max_active=1)
        made = await client.backfills.confirm(plan.plan_id)
        assert [one.backfill async for one in client.backfills.list(workflow="sales")] == [made.backfill]
        assert len([one async for one in client.backfills.moments(made.backfill)]) == 3
        assert (await client.backfills.change(made.backfill, max_active=2)).max_active == 2
        assert (await client.backfills.pause(made.backfill, "busy")).paused_why == "busy"
        assert (await client.backfills.resume(made.backfill)).state == "running"
        assert (await client.backfills.cancel(made.backfill, runs=True)).state == "cancelled"
        assert (await client.backfills.get(made.backfill)).workflow == "sales"


async def test_its_runs_are_of_the_part_that_is_selected(api: Api) -> None:
    await api.register(NIGHTLY.replace("wait: {noop: {}}", "wait: {noop: {}}\n  more: {noop: {}}"))
    part = {"select": ["wait"], "exclude": []}
    plan = await planned(api, select=["wait"], dates=["2026-03-27"], **{"from": None, "to": None})
    assert {name: plan[name] for name in part} == part
    answer = await api("POST", "/backfills", json={"confirm": plan["plan_id"]})
    entry = await over(api, answer.json()["backfill"])
    assert {name: entry[name] for name in part} == part
    [moment] = (await api.get(f"/backfills/{entry['backfill']}/moments"))["items"]
    tasks = (await api.get(f"/runs/{moment['run']}/tasks"))["items"]
    assert {task["id"]: task["state"] for task in tasks} == {"wait": "succeeded", "more": "skipped"}
    wrong = await api("POST", "/backfills", json={**WEEK, "select": ["wiat"]})
    assert (wrong.status_code, wrong.json()["problems"][0]["field"]) == (422, "select")
    async with AsyncClient("http://127.0.0.1", "t", transport=api.client._transport) as client:
        made = await client.backfills.plan("sales", "2026-03-27", "2026-03-29", exclude=["more"])
        assert (made.select, made.exclude) == ([], ["more"])
