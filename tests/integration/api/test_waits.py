"""Approvals and signals over HTTP, on an engine that waits for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from tests.support.api import Api, opened
from tests.support.waiting import comes_true

PAY = """
workflow: pay
params: {sum: {type: integer, default: 7}}
tasks:
  ask:
    approval:
      title: "Pay ${{ params.sum }}?"
      form: {note: {type: string, minLength: 3}, urgent: {type: boolean, default: false}}
      approvers: 2
output: "${{ tasks.ask.output }}"
"""
ONE = "workflow: one\ntasks: {ask: {approval: {title: go, ROLES}}}\noutput: '${{ tasks.ask.output.by }}'\n"
PAID = """
workflow: paid
params: {order: {type: string, default: A-1}, lookback: {type: string, default: 0s}}
tasks:
  wait: {signal: {name: paid, key: params.order, match: payload.cents > 0}}
output: "${{ tasks.wait.output }}"
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as api:
        yield api


async def waits(api: Api, run: str, task: str) -> None:
    """Until the task waits."""

    async def holds() -> bool:
        return bool((await api.get(f"/runs/{run}/tasks/{task}"))["state"] == "waiting")

    await comes_true(holds, f"{task} does not wait")


async def asked(api: Api, text: str, **start: Any) -> tuple[str, int]:
    """A run that asks, and the number of its approval."""
    name = (await api.register(text))["name"]
    run = await api.start(name, **start)
    await waits(api, run, "ask")
    [one] = (await api.get(f"/approvals?run={run}"))["items"]
    return run, one["id"]


async def say(api: Api, no: int, what: str, body: Any = None, **more: Any) -> tuple[int, Any]:
    answer = await api("POST", f"/approvals/{no}/{what}?wait=30s", json=body, **more)
    return answer.status_code, answer.json()


async def test_people_agree_one_after_the_other(api: Api) -> None:
    run, no = await asked(api, PAY)
    one = await api.get(f"/approvals/{no}")
    assert (one["run"], one["workflow"], one["task"], one["title"]) == (run, "pay", "ask", "Pay 7?")
    assert (one["approvers"], one["agreed"], one["self"], one["roles"]) == (2, [], False, [])
    assert one["form"]["note"] == {"type": "string", "minLength": 3}
    bob, cyd = {"actor": "user:bob"}, {"actor": "user:cyd"}
    status, told = await say(api, no, "approve", {"form": {"note": "yes"}, "comment": "fine"}, **bob)
    assert (status, told) == (202, {"id": no, "approved": True, "decided": True})
    [vote] = (await api.get(f"/approvals/{no}"))["agreed"]
    assert (vote["by"], vote["comment"]) == ("user:bob", "fine")
    status, told = await say(api, no, "approve", {"form": {"note": "yes"}}, **bob)
    assert (status, told["code"]) == (409, "agreed_already")
    why = await api.get(f"/runs/{run}/tasks/ask/why")
    assert "1 of 2 approvals (user:bob agreed)" in why["sentences"][0]
    assert (await say(api, no, "approve", {"form": {"note": "yes", "urgent": True}}, **cyd))[0] == 202
    ended = await api.ended(run)
    assert ended["state"] == "succeeded"
    assert {name: ended["output"][name] for name in ("approved", "by", "form", "expired")} == {
        "approved": True,
        "by": "user:bob, user:cyd",
        "form": {"note": "yes", "urgent": True},
        "expired": False,
    }
    assert (await say(api, no, "approve", {"form": {"note": "yes"}}, **bob))[0] == 404
    assert (await api.get("/approvals"))["items"] == []
    lines = (await api.get("/audit?action=approval"))["items"]
    assert [(line["actor"], line["action"], line["object"]) for line in reversed(lines)] == [
        ("user:bob", "approval.approve", f"task ask of run {run}"),
        ("user:cyd", "approval.approve", f"task ask of run {run}"),
    ]


async def test_nobody_approves_a_run_that_they_started_but_may_reject_it(api: Api) -> None:
    run, no = await asked(api, ONE.replace("ROLES", "on_reject: continue"), actor="user:bob")
    status, told = await say(api, no, "approve", actor="user:bob")
    assert (status, told["code"]) == (403, "own_run")
    assert (await say(api, no, "reject", {"comment": "too much"}, actor="user:bob"))[0] == 202
    assert (await api.ended(run))["output"] == "user:bob"


async def test_nor_a_run_that_one_of_theirs_has_called(api: Api) -> None:
    await api.register(ONE.replace("ROLES", ""))
    parent = (await api.register("workflow: parent\ntasks: {call: {workflow: one}}\n"))["name"]
    await api.start(parent, actor="user:bob")

    async def holds() -> bool:
        return bool((await api.get("/approvals"))["items"])

    await comes_true(holds, "nobody is asked")
    [one] = (await api.get("/approvals"))["items"]
    assert (await say(api, one["id"], "approve", actor="user:bob"))[1]["code"] == "own_run"
    assert (await say(api, one["id"], "approve", actor="user:cyd"))[0] == 202


@pytest.mark.parametrize(
    ("roles", "role", "status"),
    [
        ("", "viewer", 403),
        ("", "operator", 202),
        ("roles: [admin]", "author", 403),
        ("roles: [admin, author]", "author", 202),
    ],
)
async def test_who_may_decide(api: Api, roles: str, role: str, status: int) -> None:
    _, no = await asked(api, ONE.replace("ROLES", roles))
    assert (await say(api, no, "approve", actor="user:bob", role=role))[0] == status


async def test_a_form_that_does_not_fit_decides_nothing(api: Api) -> None:
    run, no = await asked(api, PAY)
    for form, fields in (
        ({}, ["form.note"]),
        ({"note": "x"}, ["form.note"]),
        ({"note": 5, "urgent": "yes", "nots": 1}, ["form.nots", "form.note", "form.urgent"]),
    ):
        status, told = await say(api, no, "approve", {"form": form}, actor="user:bob")
        assert (status, [problem["field"] for problem in told["problems"]]) == (422, fields)
    assert (await api.get(f"/approvals/{no}"))["agreed"] == []
    assert (await api("POST", f"/runs/{run}/cancel?wait=30s")).status_code == 202
    assert (await api.get("/approvals"))["items"] == []


async def test_the_same_request_twice_is_one_decision(api: Api) -> None:
    run, no = await asked(api, ONE.replace("ROLES", ""))
    for replayed in (None, "true"):
        answer = await api("POST", f"/approvals/{no}/approve", key="k1", actor="user:bob")
        assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (202, replayed)
        await api.ended(run)
    answer = await api("POST", f"/approvals/{no}/reject", key="k1", actor="user:bob")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_what_viewers_see_and_other_projects_do_not(api: Api) -> None:
    _, no = await asked(api, PAY)
    [one] = (await api.get("/approvals", role="viewer"))["items"]
    assert (one["title"], one["redacted"]) == (None, True)
    assert (await api.get("/approvals", project="other"))["items"] == []
    assert (await api("GET", f"/approvals/{no}", project="other")).status_code == 404
    assert (await say(api, no, "approve", {"form": {"note": "yes"}}, project="other"))[0] == 404


async def test_a_signal_ends_the_wait_that_it_is_meant_for(api: Api) -> None:
    name = (await api.register(PAID))["name"]
    runs = {order: await api.start(name, {"params": {"order": order}}) for order in ("A-1", "B-2")}
    for run in runs.values():
        await waits(api, run, "wait")
    for body in ({}, {"key": "A-1"}, {"key": "A-1", "payload": {"cents": 0}}, {"payload": {"cents": 5}}):
        assert (await api("POST", "/signals/paid", json=body)).status_code == 202
    answer = await api("POST", "/signals/paid", json={"key": "A-1", "payload": {"cents": 5}})
    assert (answer.json()["name"], answer.json()["key"]) == ("paid", "A-1")
    ended = await api.ended(runs["A-1"])
    assert (ended["state"], ended["output"]) == ("succeeded", {"cents": 5})
    assert (await api.get(f"/runs/{runs['B-2']}"))["state"] == "running"
    why = await api.get(f"/runs/{runs['B-2']}/tasks/wait/why")
    assert why["sentences"] == ["waits without a worker for signal paid with key B-2"]


async def test_one_that_came_early_counts_as_far_back_as_is_looked(api: Api) -> None:
    await api("POST", "/signals/paid", json={"key": "A-1", "payload": {"cents": 5}})
    await api.register(PAID)
    late = await api.start("paid")
    await waits(api, late, "wait")
    await api.register(PAID.replace("key: params.order,", "key: params.order, lookback: 1h,"))
    ended = await api.ended(await api.start("paid"))
    assert ended["output"] == {"cents": 5}
    assert (await api.get(f"/runs/{late}"))["state"] == "running"


async def test_a_signal_that_is_none(api: Api) -> None:
    large = {"payload": "x" * 40_000}
    for path, body, field in (("paid", large, "payload"), ("a%01", {}, "name"), ("x" * 300, {}, "name")):
        answer = await api("POST", f"/signals/{path}", json=body)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, field), answer.text
    assert (await api("POST", "/signals/paid", json={"kay": "A"})).status_code in (400, 422)
    assert (await api("POST", "/signals/paid", json={}, role="viewer")).status_code == 403


async def test_a_signal_sent_twice_by_one_request_is_sent_once(api: Api) -> None:
    first = await api("POST", "/signals/paid", json={}, key="k")
    again = await api("POST", "/signals/paid", json={}, key="k")
    assert (first.json()["id"], again.json()["id"]) == (1, None)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await api("POST", "/signals/paid", json={"key": "x"}, key="k")).status_code == 422
    assert len(await api.office.store.signals("default", ["paid"], 0.0)) == 1


async def test_the_client_speaks_of_waits_too(api: Api) -> None:
    run, no = await asked(api, PAY)
    transport = api.client._transport
    async with AsyncClient("http://127.0.0.1", "t", transport=transport) as client:
        assert [one.id async for one in client.approvals.list(run=run)] == [no]
        assert (await client.approvals.get(no)).title == "Pay 7?"
        with pytest.raises(ApiError) as own:
            await client.approvals.approve(no, {"note": "yes"})
        assert own.value.code == "own_run"
        assert (await client.approvals.reject(no, comment="no", wait=30.0)).decided
        assert (await client.signal("paid", key="k", payload=[1])).name == "paid"
    failed = await api.ended(run)
    [letter_free] = (await api.get(f"/runs/{run}/tasks"))["items"]
    assert (failed["state"], letter_free["reason"]) == ("failed", "rejected")
    assert json.dumps(letter_free["error"]).count("user:ada rejected it: no") == 1


async def test_a_number_or_a_run_that_is_none(api: Api) -> None:
    for no in (0, -1, 7, 2**63, 10**30):
        assert (await api("GET", f"/approvals/{no}")).status_code == 404
        assert (await api("POST", f"/approvals/{no}/reject")).status_code == 404
    assert (await api("GET", "/approvals?run=none")).status_code == 404
