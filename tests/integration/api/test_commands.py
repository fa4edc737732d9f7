"""What is asked of one run over HTTP, and what its engine answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.home import Api, open_home

HOLD = "workflow: hold\ntasks: {wait: {sleep: 1h}, after: {noop: {}, depends_on: wait}}"
TWO = """
workflow: two
params: {fail: {type: boolean, default: true}}
tasks:
  first: {shell: "echo 1 >> first.txt"}
  second: {shell: "[ $FAIL = false ]", env: {FAIL: "${{ params.fail }}"}, depends_on: first, retry: {attempts: 1}}
"""
COMMANDS = ("cancel", "kill", "pause", "resume", "rerun")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(HOLD)
        await opened.registered(TWO)
        yield opened


async def test_a_run_is_paused_resumed_and_cancelled(api: Api) -> None:
    run = await api.started("hold")
    for kind, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = await api.post(f"/runs/{run}/{kind}?wait=10s", role="operator")
        assert (answer.status_code, answer.json()["state"]) == (202, state), kind
    assert [line[1:] for line in (await api.audited())[:3]] == [
        (f"run.{kind}", f"run {run}") for kind in ("cancel", "resume", "pause")
    ]


async def test_the_engines_refusal_is_told_to_whoever_waits(api: Api) -> None:
    run = await api.started("hold")
    refused = await api.post(f"/runs/{run}/resume?wait=10s")
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert "only a paused one can be resumed" in refused.json()["detail"]
    assert (await api.post(f"/runs/{run}/resume")).status_code == 202  # whoever does not wait is not told


async def test_a_run_that_has_ended_takes_no_command_but_a_rerun(api: Api) -> None:
    run = await api.started("hold")
    early = await api.post(f"/runs/{run}/rerun")
    assert (early.status_code, early.json()["code"]) == (409, "run_not_final")
    await api.post(f"/runs/{run}/kill", {"reason": "enough"})
    await api.ended(run)
    for kind in ("cancel", "kill", "pause", "resume"):
        answer = await api.post(f"/runs/{run}/{kind}")
        assert (answer.status_code, answer.json()["code"]) == (409, "run_final"), kind


async def test_a_run_goes_on_from_what_failed(api: Api) -> None:
    run = await api.started("two")
    assert (await api.ended(run))["state"] == "failed"
    answer = await api.post(f"/runs/{run}/rerun?wait=10s", {"from": "failed"})
    assert (answer.status_code, answer.json()["generation"]) == (202, 2)
    assert (await api.ended(run))["state"] == "failed"
    mended = await api.registered(TWO.replace("[ $FAIL = false ]", "true"))
    again = await api.post(f"/runs/{run}/rerun?wait=10s", {"from": ["second"], "version": "latest"})
    assert (again.json()["generation"], again.json()["version"]) == (3, mended["version"])
    assert (await api.ended(run))["state"] == "succeeded"
    nothing = await api.post(f"/runs/{run}/rerun?wait=10s")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "refused")


async def test_everything_that_a_rerun_cannot_mean_is_told_and_nothing_is_posted(api: Api) -> None:
    run = await api.started("two")
    await api.ended(run)
    answer = await api.post(f"/runs/{run}/rerun", {"from": ["secund", "first", "first[1]"]})
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["problems"]] == ["from.0", "from.2"]
    assert 'Did you mean "second"?' in answer.json()["problems"][0]["message"]
    assert (await api.post(f"/runs/{run}/rerun", {"from": []})).status_code == 422
    assert (await api.post(f"/runs/{run}/rerun", {"version": 9})).status_code == 404
    bodies: list[Any] = [
        {"form": "failed"},
        {"from": "second"},
        {"from": [1]},
        {"inputs": [1]},
        {"version": "old"},
        3,
    ]
    for body in bodies:
        assert (await api.post(f"/runs/{run}/rerun", body)).status_code == 422, body
    assert (await api.get(f"/runs/{run}")).json()["generation"] == 1
    assert not [line for line in await api.audited() if line[1] == "run.rerun"]


async def test_the_audit_knows_what_was_asked_but_no_values(api: Api) -> None:
    run = await api.started("two")
    await api.ended(run)
    await api.post(f"/runs/{run}/rerun?wait=10s", {"from": ["second"], "inputs": {"token": "kanarienvogel"}})
    line = (await api.office.store.audit("default", action="run.rerun"))[0]
    assert b'"token"' in line.detail
    assert b"kanarienvogel" not in line.detail


async def test_a_command_is_given_once_for_each_key(api: Api) -> None:
    run = await api.started("two")
    await api.ended(run)
    first = await api.post(f"/runs/{run}/rerun?wait=10s", {"from": "failed"}, key="k")
    await api.ended(run)
    again = await api.post(f"/runs/{run}/rerun?wait=10s", {"from": "failed"}, key="k")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await api.get(f"/runs/{run}")).json()["generation"] == 2
    other = await api.post(f"/runs/{run}/rerun?wait=10s", {"from": ["first"]}, key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_only_operators_of_the_project_give_commands(api: Api) -> None:
    run = await api.started("hold")
    for kind in COMMANDS:
        assert (await api.post(f"/runs/{run}/{kind}", role="viewer")).status_code == 403, kind
        assert (await api.post(f"/runs/{run}/{kind}", project="other")).status_code == 404, kind
        assert (await api.post(f"/runs/last/{kind}")).status_code == 404, kind
    assert (await api.post(f"/runs/{run}/cancel", {"reason": "x", "state": "succeeded"})).status_code == 422
    assert (await api.get(f"/runs/{run}")).json()["state"] in ("queued", "running")
