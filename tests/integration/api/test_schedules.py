"""Schedules over HTTP, on an engine that fires them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.client.aio.client import AsyncClient
from headrace.engine.ports.schedules import NewSchedule
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


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as api:
        yield api


async def ask(api: Api, step: str, body: Any = None, **more: Any) -> Any:
    answer = await api("POST", f"/schedules/sales.nightly/{step}", json=body, **more)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


async def test_schedules_come_and_go_with_the_versions_of_their_workflows(api: Api) -> None:
    await api.register(NIGHTLY)
    [one] = (await api.get("/schedules"))["items"]
    assert (one["id"], one["workflow"], one["kind"], one["when"]) == (
        "sales.nightly",
        "sales",
        "cron",
        "30 2 * * *",
    )
    assert (one["state"], one["timezone"], one["overlap"], one["catchup"]) == (
        "active",
        "Europe/Berlin",
        "skip",
        "last",
    )
    assert one["next_at"] == one["due_at"] > one["created_at"]
    assert await api.get("/schedules/sales.nightly") == one
    await api.register(NIGHTLY.replace('"30 2', '"30 3'))
    assert (await api.get("/schedules/sales.nightly"))["when"] == "30 3 * * *"
    begin, end = NIGHTLY.index("triggers"), NIGHTLY.index("tasks")
    await api.register(NIGHTLY[:begin] + NIGHTLY[end:])
    assert (await api.get("/schedules"))["items"] == []
    assert (await api("GET", "/schedules/sales.nightly")).status_code == 404


async def test_a_preview_marks_the_days_on_which_the_clock_changes(api: Api) -> None:
    await api.register(NIGHTLY)
    told = await api.get("/schedules/sales.nightly/preview?count=3&after=2026-03-27T12:00:00Z")
    assert [(one["local"], one["clock_shift_seconds"]) for one in told["items"]] == [
        ("2026-03-28T02:30:00+01:00", 0),
        ("2026-03-29T03:00:00+02:00", 3600),
        ("2026-03-30T02:30:00+02:00", 0),
    ]
    back = await api.get("/schedules/sales.nightly/preview?count=2&after=2026-10-24T12:00:00Z")
    assert [(one["at"], one["clock_shift_seconds"]) for one in back["items"]] == [
        ("2026-10-25T00:30:00.000Z", -3600),
        ("2026-10-26T01:30:00.000Z", 0),
    ]
    for wrong in ("count=0", "count=100000", "after=noon", "after=2026-01-01"):
        assert (await api("GET", f"/schedules/sales.nightly/preview?{wrong}")).status_code == 400


async def test_a_pause_is_kept_with_who_and_why_and_ends_with_a_resume(api: Api) -> None:
    await api.register(NIGHTLY)
    paused = await ask(api, "pause", {"reason": "no data"}, actor="user:ada")
    assert (paused["state"], paused["paused_by"], paused["paused_why"]) == ("paused", "user:ada", "no data")
    assert paused["next_at"] is None
    resumed = await ask(api, "resume", actor="user:ada")
    assert (resumed["state"], resumed["paused_by"]) == ("active", None)
    assert resumed["next_at"] is not None
    lines = (await api.get("/audit?object=schedule%20sales.nightly"))["items"]
    assert [line["action"] for line in lines] == ["schedule.resume", "schedule.pause"]


async def test_a_request_that_comes_twice_is_done_once(api: Api) -> None:
    await api.register(NIGHTLY)
    first = await ask(api, "trigger", key="k1")
    again = await api("POST", "/schedules/sales.nightly/trigger", key="k1")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["run"] == first["run"]
    await ask(api, "pause", key="k2")
    assert (await api("POST", "/schedules/sales.nightly/resume", key="k2")).status_code == 422
    assert len((await api.get("/runs"))["items"]) == 1


async def test_a_run_that_is_started_now_is_given_what_the_schedule_gives(api: Api) -> None:
    await api.register(NIGHTLY)
    await ask(api, "pause")
    run = await api.ended((await ask(api, "trigger", actor="user:ada"))["run"])
    assert run["state"] == "succeeded"
    assert run["trigger"]["kind"] == "cron"
    assert (run["trigger"]["schedule"], run["trigger"]["by"]) == ("sales.nightly", "user:ada")
    assert run["params"]["day"] == run["output"] == run["trigger"]["date"]
    assert run["params"]["since"].endswith("30:00Z")
    await api("PATCH", "/workflows/sales", json={"paused": True})
    assert (await api.get("/schedules/sales.nightly"))["state"] == "paused"
    refused = await api("POST", "/schedules/sales.nightly/trigger")
    assert (refused.status_code, refused.json()["code"]) == (409, "workflow_paused")


async def test_parameters_that_cannot_be_had_start_no_run(api: Api) -> None:
    await api.register(NIGHTLY.replace("event.previous_at", "event.nothing"))
    answer = await api("POST", "/schedules/sales.nightly/trigger")
    assert (answer.status_code, answer.json()["code"]) == (422, "cannot_start")
    assert "event.nothing" in answer.json()["detail"]


async def test_what_a_newer_release_has_written_is_shown_as_broken(api: Api) -> None:
    await api.register(NIGHTLY)
    version = await api.office.store.version("default", "sales")
    assert version is not None
    odd = [NewSchedule(f"sales.odd{number}", text) for number, text in enumerate((b'{"moon":"full"}', b"[]"))]
    await api.office.store.register(version, schedules=odd)
    for one in (await api.get("/schedules"))["items"]:
        assert (one["state"], one["kind"], one["when"], one["next_at"]) == ("broken", None, None, None)
    assert (await api.get("/schedules/sales.odd0"))["state"] == "broken"
    for method, path in (("GET", "preview"), ("POST", "trigger")):
        answer = await api(method, f"/schedules/sales.odd0/{path}")
        assert answer.status_code == 422, answer.text


async def test_a_viewer_is_not_told_of_values_that_do_not_fit(api: Api) -> None:
    text = NIGHTLY.replace('cron: "30 2 * * *"', "every: 1s").replace("event.previous_at", "[event.at]")
    await api.register(text)

    async def told() -> object:
        return (await api.get("/schedules/sales.nightly"))["problem"]

    await comes_true(told, "nothing is said of the parameter that does not fit")
    assert (await api.get("/schedules/sales.nightly", role="viewer"))["problem"] is None


async def test_what_is_due_fires_by_itself_and_the_run_says_for_which_moment(api: Api) -> None:
    await api.register(NIGHTLY.replace('cron: "30 2 * * *"', "every: 1s"))

    async def begun() -> object:
        return (await api.get("/runs"))["items"]

    await comes_true(begun, "no run has begun")
    run = await api.ended((await api.get("/runs"))["items"][-1]["run"])
    assert (run["trigger"]["kind"], run["trigger"]["schedule"]) == ("every", "sales.nightly")
    assert run["scheduled_at"].endswith(".000Z")
    assert run["scheduled_at"] <= run["created_at"]


async def test_the_client_speaks_of_schedules_too(api: Api) -> None:
    await api.register(NIGHTLY)
    transport = api.client._transport
    async with AsyncClient("http://127.0.0.1", "t", transport=transport) as client:
        assert [one.id async for one in client.schedules.list(workflow="sales")] == ["sales.nightly"]
        assert [one async for one in client.schedules.list(workflow="other")] == []
        assert (await client.schedules.pause("sales.nightly", "no data")).paused_why == "no data"
        assert (await client.schedules.resume("sales.nightly")).state == "active"
        assert len((await client.schedules.preview("sales.nightly", 4)).items) == 4
        assert (await client.schedules.get("sales.nightly")).failures == 0
        assert (await client.schedules.trigger("sales.nightly")).workflow == "sales"
