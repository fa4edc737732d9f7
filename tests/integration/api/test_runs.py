"""Runs over HTTP: started once, looked at, waited for, and seen by those alone who may see them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports.store import Created, OutcomeUnknown
from tests.integration.api.home import Api, open_home
from tests.support.waiting import comes_true

ECHO = """
workflow: echo
tags: [loud]
params: {n: {type: integer, default: 1}}
tasks:
  say: {shell: 'echo "$N" > "$HEADRACE_OUTPUT"', env: {N: "${{ params.n }}"}}
output: "${{ tasks.say.output }}"
"""
HOLD = "workflow: hold\ntasks: {wait: {sleep: 1h}}"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(ECHO)
        await opened.registered(HOLD)
        yield opened


async def test_a_run_is_started_waited_for_and_read(api: Api) -> None:
    answer = await api.post("/workflows/echo/runs", {"params": {"n": 7}, "priority": "high"}, role="operator")
    begun = answer.json()
    assert (answer.status_code, begun["state"], begun["version"]) == (202, "queued", 1)
    assert answer.headers["Location"] == f"/api/v1/runs/{begun['run']}"
    ended = await api.ended(begun["run"])
    assert (ended["state"], ended["output"], ended["priority"]) == ("succeeded", 7, "high")
    assert ended["trigger"] == {"kind": "manual", "by": "user:ada"}

    async def told() -> bool:  # the cache hears of a commit a moment after it
        status = (await api.get(f"/runs/{begun['run']}/status")).json()
        return (status["state"], status["tasks"]) == ("succeeded", {"succeeded": 1})

    await comes_true(told, "the status never became that of the run")
    plan = (await api.get(f"/runs/{begun['run']}/plan")).json()
    assert (plan["plan"], plan["document"]["workflow"]) == (begun["plan"], "echo")
    assert (await api.get(f"/runs/{begun['run']}/output")).json() == 7
    assert ("user:ada", "run.start", f"run {begun['run']}") in await api.audited()


async def test_a_hundred_requests_with_one_key_are_one_run(api: Api) -> None:
    body = {"params": {"n": 3}}
    answers = await asyncio.gather(*(api.post("/workflows/echo/runs", body, key="once") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 99, None: 1}
    run = answers[0].json()["run"]
    await api.ended(run)
    later = await api.post("/workflows/echo/runs", body, key="once")
    assert later.text == answers[0].text  # though the run has ended since
    assert [item["run"] for item in (await api.get("/runs")).json()["items"]] == [run]
    assert sum(line[1] == "run.start" for line in await api.audited()) == 1


async def test_a_key_stands_for_one_request_of_one_asker(api: Api) -> None:
    first = await api.started("echo", {"params": {"n": 1}}, key="k")
    other = await api.post("/workflows/echo/runs", {"params": {"n": 2}}, key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await api.post("/workflows/hold/runs", {"params": {"n": 1}}, key="k")
    assert elsewhere.json()["code"] == "idempotency_key_reused"
    assert await api.started("echo", {"params": {"n": 1}}, key="k", user="bob") != first


async def test_a_repeated_request_gets_its_answer_whatever_is_refused_now(api: Api) -> None:
    run = await api.started("echo", {}, key="k")
    await api.patch("/workflows/echo", {"paused": True})
    again = await api.post("/workflows/echo/runs", {}, key="k")
    assert (again.status_code, again.json()["run"]) == (202, run)


async def test_one_run_lives_for_a_business_key(api: Api) -> None:
    run = await api.started("hold", {"key": "order-1"})
    existing = await api.post("/workflows/hold/runs", {"key": "order-1"}, key="k")
    assert (existing.status_code, existing.json()["run"]) == (200, run)
    assert "Idempotency-Replayed" not in existing.headers
    replayed = await api.post("/workflows/hold/runs", {"key": "order-1"}, key="k")
    assert (replayed.status_code, replayed.json()["run"]) == (200, run)
    refused = await api.post("/workflows/hold/runs", {"key": "order-1", "on_conflict": "reject"})
    assert (refused.status_code, refused.json()["code"], refused.json()["run"]) == (409, "key_taken", run)
    second = await api.started("hold", {"key": "order-1", "on_conflict": "cancel_existing"})
    assert second != run
    assert (await api.get(f"/runs/{run}")).json()["state"] == "cancelled"
    assert ("user:ada", "run.cancel", f"run {run}") in await api.audited()


async def test_a_graph_that_comes_along_becomes_a_version_and_runs(api: Api) -> None:
    graph = {
        "workflow": "inline",
        "tasks": {"a": {"shell": "echo 2 > $HEADRACE_OUTPUT"}},
        "output": "${{ tasks.a.output }}",
    }
    assert (await api.post("/runs", {"workflow": graph}, role="operator")).status_code == 403
    answer = await api.post("/runs", {"workflow": graph}, role="author", key="k")
    assert answer.status_code == 202
    assert (await api.ended(answer.json()["run"]))["output"] == 2
    other = dict(graph, description="other")
    assert (await api.post("/runs", {"workflow": other}, role="author", key="k")).status_code == 422
    assert (await api.get("/workflows/inline")).json()[
        "description"
    ] is None  # nothing came of what was refused
    text = await api.post("/runs", {"workflow": "workflow: inline\ntasks: {a: {nope: {}}}"})
    assert (text.status_code, text.json()["problems"][0]["line"]) == (422, 2)


async def test_every_parameter_that_is_wrong_is_told(api: Api) -> None:
    answer = await api.post("/workflows/echo/runs", {"params": {"n": "many", "m": 1}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert [problem["field"] for problem in answer.json()["problems"]] == ["params.m", "params.n"]


async def test_what_cannot_be_done_yet_says_so(api: Api) -> None:
    answer = await api.post("/workflows/echo/runs", {"scheduled_at": "2999-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_supported_yet")
    assert [problem["field"] for problem in answer.json()["problems"]] == ["scheduled_at"]


async def test_part_of_a_graph_runs(api: Api) -> None:
    await api.registered(
        "workflow: part\ntasks: {a: {noop: {}}, b: {noop: {}, depends_on: [a]}, c: {noop: {}, depends_on: [b]}}"
    )
    run = await api.started("part", {"select": ["b+"], "exclude": ["c"]})
    ended = await api.ended(run)
    assert ended["state"] == "succeeded"
    trigger = ended["trigger"]
    assert (trigger["select"], trigger["exclude"], trigger["selected"]) == (["b+"], ["c"], ["b"])
    tasks = (await api.get(f"/runs/{run}/tasks")).json()["items"]
    assert {task["id"]: task["reason"] for task in tasks} == {
        "a": "not_selected",
        "b": None,
        "c": "not_selected",
    }


async def test_every_selector_that_is_wrong_is_told_and_no_run_is_begun(api: Api) -> None:
    before = (await api.get("/runs?workflow=echo")).json()["items"]
    answer = await api.post("/workflows/echo/runs", {"select": ["sai", "tag:x"], "exclude": ["nope"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    told = answer.json()["problems"]
    assert [problem["field"] for problem in told] == ["select.0", "select.1", "exclude.0"]
    assert "Did you mean" in str(told[0])
    assert (await api.get("/runs?workflow=echo")).json()["items"] == before


async def test_a_run_can_be_for_a_moment_that_has_passed(api: Api) -> None:
    await api.registered("workflow: day\ntasks: {a: {noop: {}}}\noutput: ${{ run.date }}")
    run = await api.started("day", {"scheduled_at": "2020-02-29T23:30:00-01:00"})
    ended = await api.ended(run)
    assert (ended["scheduled_at"], ended["output"]) == ("2020-03-01T00:30:00.000Z", "2020-03-01")


@pytest.mark.parametrize(
    "body",
    [
        {"state": "succeeded"},
        {"project": "other"},
        {"on_conflict": "overwrite"},
        {"key": ""},
        {"key": "a\x00b"},
        {"version": 0},
        {"version": 2**40},
        {"params": []},
        {"scheduled_at": "tomorrow"},
        {"scheduled_at": "2020-01-01"},
    ],
)
async def test_a_body_says_what_it_may_and_nothing_else(api: Api, body: dict[str, Any]) -> None:
    assert (await api.post("/workflows/echo/runs", body)).status_code == 422
    assert (await api.get("/runs")).json()["items"] == []


async def test_values_are_for_operators(api: Api) -> None:
    run = await api.started("echo", {"params": {"n": 9}})
    await api.ended(run)
    seen = (await api.get(f"/runs/{run}", role="viewer")).json()
    assert (seen["state"], seen["params"], seen["output"], seen["redacted"]) == (
        "succeeded",
        None,
        None,
        True,
    )
    assert (await api.get("/runs", role="viewer")).json()["items"][0]["params"] is None
    for path in ("plan", "output"):
        assert (await api.get(f"/runs/{run}/{path}", role="viewer")).status_code == 403
    seen = (await api.get(f"/runs/{run}", role="operator")).json()
    assert (seen["params"], seen["output"], seen["redacted"]) == ({"n": 9}, 9, False)


async def test_no_answer_holds_a_secret(tmp_path: Path) -> None:
    async with open_home(tmp_path, secrets=("kanarienvogel",)) as api:
        await api.registered(
            "workflow: leak\nparams: {a: {type: string}}\ntasks: {t: {noop: {}}}\noutput: ${{ params.a }}"
        )
        run = await api.started("leak", {"params": {"a": "my kanarienvogel sings"}})
        await api.ended(run)
        for path in ("", "/output"):
            answer = await api.get(f"/runs/{run}{path}")
            assert "kanarienvogel" not in answer.text
            assert "my *** sings" in answer.text


async def test_a_large_output_is_read_by_itself(api: Api) -> None:
    await api.registered(
        "workflow: large\ntasks:\n"
        """  make: {shell: 'python3 -c "print(chr(34) + chr(120) * 3000000 + chr(34))" > "$HEADRACE_OUTPUT"'}\n"""
        "output: ${{ tasks.make.output }}"
    )
    run = await api.started("large")
    ended = await api.ended(run)
    assert (ended["state"], ended["output"]) == ("succeeded", None)
    answer = await api.get(f"/runs/{run}/output")
    assert json.loads(answer.text) == "x" * 3_000_000
    assert int(answer.headers["Content-Length"]) == ended["output_size"] == 3_000_002


async def test_a_run_that_has_not_ended_is_waited_for_as_long_as_was_said(api: Api) -> None:
    run = await api.started("hold")
    early = await api.get(f"/runs/{run}?wait=50ms")
    assert early.json()["state"] in ("queued", "running")
    assert (await api.get(f"/runs/{run}/output")).json()["code"] == "run_not_final"
    waiting = asyncio.create_task(api.get(f"/runs/{run}?wait=1m"))
    await api.post(f"/runs/{run}/kill")
    assert (await waiting).json()["state"] == "cancelled"
    for text in ("soon", "-1s", "1h", "nan", "1e9", ""):
        assert (await api.get(f"/runs/{run}?wait={text}")).status_code == 400, text


async def test_runs_are_found_by_what_they_are(api: Api) -> None:
    echoes = [await api.started("echo") for _ in range(3)]
    held = await api.started("hold", {"key": "order-77"})
    for run in echoes:
        await api.ended(run)
    middle = (await api.get(f"/runs/{echoes[1]}")).json()["created_at"]

    async def found(query: str) -> list[str]:
        answer = await api.get(f"/runs?{query}")
        assert answer.status_code == 200, answer.text
        return [item["run"] for item in answer.json()["items"]]

    assert await found("workflow=echo") == echoes[::-1]
    assert await found("state=succeeded&tag=loud") == echoes[::-1]
    assert await found("text=order") == [held]
    assert await found(f"text={echoes[0]}") == [echoes[0]]
    assert set(await found(f"created_after={middle}")) >= {echoes[2], held}
    assert echoes[2] not in await found(f"created_before={middle}")
    assert await found("tag=quiet") == []
    first = (await api.get("/runs?limit=3")).json()
    assert await found(f"limit=3&cursor={first['next']}") == [echoes[0]]
    for wrong in (
        "state=gone",
        "limit=0",
        "limit=501",
        "created_after=x",
        "cursor=MTIz!",
        "cursor=LTE",
        "workflow=%00",
        "text=%00",
        "tag=",
    ):
        assert (await api.get(f"/runs?{wrong}")).status_code == 400, wrong


async def test_what_is_not_there_or_another_projects_is_not_found(api: Api) -> None:
    run = await api.started("hold")
    for path in ("", "/status", "/plan", "/output"):
        assert (await api.get(f"/runs/{run}{path}", project="other")).status_code == 404, path
    assert (await api.get("/runs", project="other")).json()["items"] == []
    assert (await api.post("/workflows/echo/runs", {}, project="other")).status_code == 404
    for name in ("last", run[:13], run.upper(), "%2e%2e", "x" * 400):
        assert (await api.get(f"/runs/{name}")).status_code == 404, name
    assert (await api.post("/workflows/echo/runs", {"version": 9})).status_code == 404


async def test_a_run_whose_beginning_was_cut_off_begins_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first commit is lost, the commit is not."""
    store: Any = api.office.store
    create = store.create_run
    lost: list[Created] = []

    async def losing(*args: Any, **more: Any) -> Any:
        created = await create(*args, **more)
        if not lost:
            lost.append(created)
            raise OutcomeUnknown("the connection died")
        return created

    monkeypatch.setattr(type(store), "create_run", lambda _, *args, **more: losing(*args, **more))
    run = await api.started("echo", {}, key="k")
    assert lost[0].id == run
    monkeypatch.undo()
    assert len((await api.get("/runs")).json()["items"]) == 1
    assert (await api.ended(run))["state"] == "succeeded"
