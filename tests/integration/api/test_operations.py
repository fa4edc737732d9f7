"""Dead letters, workers, queues and figures over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.roster import WorkerRow
from tests.integration.api.home import Api, open_home
from tests.support.waiting import comes_true

SHAKY = """
workflow: shaky
params: {flag: {type: string}, day: {type: integer, default: 1}}
tasks:
  fetch:
    shell: 'echo "no day $DAY" >&2; test -e "$FLAG"'
    env: {FLAG: "${{ params.flag }}", DAY: "${{ params.day }}"}
    retry: {attempts: 1}
  after: {shell: echo, depends_on: [fetch]}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(SHAKY)
        yield opened


async def failed(api: Api, flag: Path, day: int = 1) -> str:
    run = await api.started("shaky", {"params": {"flag": str(flag), "day": day}})
    assert (await api.ended(run))["state"] == "failed"
    return run


async def letters(api: Api, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get(f"/dead-letters{query}")).json()["items"]
    return items


async def test_letters_are_listed_grouped_and_shown(api: Api, tmp_path: Path) -> None:
    runs = [await failed(api, tmp_path / "flag", day) for day in (1, 2, 3)]
    listed = await letters(api)
    assert [(one["run"], one["task"], one["state"]) for one in listed] == [
        (run, "fetch", "open") for run in reversed(runs)
    ]
    first = (await api.get("/dead-letters?limit=2")).json()
    second = (await api.get(f"/dead-letters?limit=2&cursor={first['next']}")).json()
    assert (first["items"] + second["items"], second["next"]) == (listed, None)
    (group,) = (await api.get("/dead-letters/groups?workflow=shaky")).json()["items"]
    assert (group["letters"], group["open"], group["newest"]) == (3, 3, listed[0]["id"])
    assert await letters(api, f"?fingerprint={group['fingerprint'][:6]}&task=fetch&state=open") == listed
    assert await letters(api, "?task=other") == []
    whole = (await api.get(f"/dead-letters/{listed[0]['id']}")).json()
    assert whole["inputs"]["env"]["DAY"] == 3
    assert [(one["attempt"], one["state"]) for one in whole["attempts"]] == [(1, "failed")]
    veiled = (await api.get(f"/dead-letters/{listed[0]['id']}", role="viewer")).json()
    assert (veiled["inputs"], veiled["redacted"]) == (None, True)
    other = await api.get(f"/dead-letters/{listed[0]['id']}", project="other")
    assert (other.status_code, await letters(api, "?state=discarded")) == (404, [])


async def test_a_canary_is_tried_before_the_others(api: Api, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    runs = [await failed(api, flag, day) for day in (1, 2, 3)]
    asked = {"workflow": "shaky"}
    first = (await api.post("/dead-letters/requeue", asked, role="operator", key="a")).json()
    oldest = (await letters(api))[-1]["id"]
    assert first == {
        "requeued": [oldest],
        "refused": [],
        "canary": oldest,
        "kept_back": 2,
        "decided": True,
    }
    again = await api.post("/dead-letters/requeue", asked, role="operator", key="a")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first
    assert len(await letters(api, "?state=requeued")) == 1
    await api.ended(runs[0])
    stopped = await api.post("/dead-letters/requeue", {**asked, "canary": oldest})
    assert (stopped.status_code, stopped.json()["code"]) == (409, "canary_failed")

    flag.touch()
    second = (await api.post("/dead-letters/requeue", asked)).json()
    assert (second["kept_back"], second["canary"]) == (2, second["requeued"][0])
    canary = next(one for one in await letters(api) if one["id"] == second["canary"])
    assert (await api.ended(canary["run"]))["state"] == "succeeded"
    rest = (await api.post("/dead-letters/requeue", {**asked, "canary": second["canary"]})).json()
    assert (len(rest["requeued"]), rest["kept_back"], rest["canary"]) == (2, 0, None)
    for run in runs:
        assert (await api.ended(run))["state"] == "succeeded"
    assert await letters(api, "?state=open") == []
    assert ("user:ada", "letter.requeue", f"dead letters {oldest} and 2 kept back") in await api.audited()


async def test_letters_are_discarded_and_nonsense_is_refused(api: Api, tmp_path: Path) -> None:
    await failed(api, tmp_path / "flag")
    (letter,) = await letters(api)
    for path, body, status in [
        ("requeue", {}, 422),
        ("requeue", {"letters": [letter["id"]], "workflow": "shaky"}, 422),
        ("requeue", {"letters": [letter["id"] + 1]}, 404),
        ("requeue", {"letters": [letter["id"]], "force": True}, 422),
        ("discard", {"letters": [letter["id"]]}, 422),
    ]:
        answer = await api.post(f"/dead-letters/{path}", body)
        assert answer.status_code == status, answer.text
    body = {"letters": [letter["id"]], "reason": "a day off"}
    assert (await api.post("/dead-letters/discard", body, role="viewer")).status_code == 403
    assert (await api.post("/dead-letters/discard", body, project="other")).status_code == 404
    for _ in range(2):
        done = await api.post("/dead-letters/discard", body, key="d")
        assert done.json() == {"discarded": [letter["id"]], "left": []}
    assert (await api.post("/dead-letters/discard", body)).json()["left"] == [letter["id"]]
    (kept,) = await letters(api, "?state=discarded")
    assert (kept["by"], kept["note"]) == ("user:ada", "a day off")
    refused = (await api.post("/dead-letters/requeue", {"letters": [letter["id"]]})).json()
    assert refused["refused"] == [{"id": letter["id"], "why": "somebody else handled it"}]


async def test_unreadable_messages_are_for_admins_of_the_first_project(api: Api) -> None:
    store: Any = api.office.store
    await store.park([PoisonRow("job-status", 0, number, -1, 1.0, "not JSON", b"\xff") for number in (1, 2)])
    listed = (await api.get("/poison-letters")).json()["items"]
    assert [(one["offset"], one["body_base64"], one["state"]) for one in listed] == [
        (2, "/w==", "open"),
        (1, "/w==", "open"),
    ]
    assert (await api.get("/poison-letters", role="author")).status_code == 403
    assert (await api.get("/poison-letters", project="other")).status_code == 403
    body = {"letters": [listed[0]["id"]], "reason": "a test"}
    assert (await api.post("/poison-letters/discard", body)).json()["discarded"] == [listed[0]["id"]]
    assert (await api.get("/poison-letters?open_only=true")).json()["items"] == listed[1:]


async def test_workers_queues_and_figures(api: Api, tmp_path: Path) -> None:
    now = time.time()
    row = WorkerRow("w1", "i", ("cpu", "gpu"), {"zone": "a"}, ("shell",), 8, 3, False, now)
    gone = row._replace(id="w0", queues=("cpu",), seen_at=now - 3600)
    await api.office.store.saw_workers([row, gone, row._replace(id="w2", queues=("cpu",), draining=True)])
    assert [(one["id"], one["state"]) for one in (await api.get("/workers")).json()["items"]] == [
        ("w1", "alive"),
        ("w2", "draining"),
    ]
    page = (await api.get("/workers?gone=true&limit=2")).json()
    assert [one["state"] for one in page["items"]] == ["gone", "alive"]
    rest = (await api.get(f"/workers?gone=true&limit=2&cursor={page['next']}")).json()
    assert [one["id"] for one in rest["items"]] == ["w2"]
    queues = {one["name"]: one for one in (await api.get("/queues")).json()["items"]}
    assert (queues["cpu"]["workers"], queues["cpu"]["draining"], queues["cpu"]["slots"]) == (2, 1, 8)
    assert queues["gpu"]["waiting"] == {"high": 0, "normal": 0, "low": 0}
    await failed(api, tmp_path / "flag")
    await api.registered("workflow: hold\ntasks: {wait: {sleep: 1h}}")
    hold = await api.started("hold")

    async def waits() -> bool:
        return bool((await api.get(f"/runs/{hold}/tasks?state=waiting")).json()["items"])

    await comes_true(waits, "the task does not begin to wait")
    stats = (await api.get("/stats")).json()
    assert (stats["ended"], stats["live"], stats["runs"]["failed"], stats["dead_letters"]) == (1, 1, 1, 1)
    assert (stats["workers"], stats["slots"], stats["held"]) == (2, 16, 6)
    assert (stats["tasks"], stats["tasks_complete"]) == ({"waiting": 1}, True)


async def test_a_worker_that_is_heard_is_asked_to_leave(api: Api) -> None:
    store = api.office.store
    row = WorkerRow("w1", "i", ("gpu",), {}, (), 8, 3, False, api.office.now())
    await store.saw_workers([row, row._replace(id="gone", seen_at=1.0)])
    asked = await api.post("/workers/w1/drain")
    assert (asked.status_code, asked.json()["id"], asked.json()["state"]) == (202, "w1", "alive")
    [posted] = [one for one in await store.inbox(0, 0, 100) if one.kind == "drain"]
    assert (posted.run, json.loads(posted.body)["incarnation"]) == (None, "i")
    assert [line.object for line in await store.audit("default", action="worker.drain")] == ["worker w1"]
    for unknown in ("gone", "w2"):
        assert (await api.post(f"/workers/{unknown}/drain")).status_code == 404
