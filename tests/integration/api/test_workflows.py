"""Workflows over HTTP: texts that become versions or lists of problems, and what is registered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.api.asking import authoring
from tests.integration.api.home import Api, open_home

HELLO = """
workflow: hello
description: Greets people.
tags: [people]
params: {name: {type: string, default: world}}
tasks:
  greet: {shell: 'echo "Hello, $NAME"', env: {NAME: "${{ params.name }}"}}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        yield opened


async def test_a_text_becomes_a_version_once(api: Api) -> None:
    first = await api.upload(HELLO)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert first.headers["Location"] == "/api/v1/workflows/hello/versions/1"
    again = await api.upload(HELLO.replace("Greets people.", "Says hello."))
    assert (again.status_code, again.json()["plan"]) == (200, first.json()["plan"])
    assert (await api.get("/workflows/hello")).json()["description"] == "Says hello."
    other = await api.upload(HELLO.replace("Hello", "Good day"))
    assert (other.status_code, other.json()["version"]) == (201, 2)
    document = (await api.get("/workflows/hello/versions/2")).json()["document"]
    as_json = await api.upload(json.dumps(document), kind="application/json; charset=utf-8")
    assert (as_json.status_code, as_json.json()["version"]) == (200, 2)
    assert [line[1:] for line in await api.audited()] == [("workflow.register", "workflow hello")] * 4


async def test_every_problem_is_told_with_its_place_as_validate_does(api: Api) -> None:
    answer = await api.upload(HELLO.replace("shell:", "shall:") + "  late: {noop: {}, depends_on: gret}\n")
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "invalid_workflow"
    assert [(one["code"], one["line"], one["task"]) for one in problem["problems"]] == [
        ("schema", 7, "greet"),
        ("unknown_dependency", 8, "late"),
    ]
    assert problem["problems"][1]["hint"] == 'Did you mean "greet"?'
    assert await api.audited() == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("workflow: w\ntasks: {a: {container: {image: x}}}", "not_supported_yet"),
        ("workflow: w\ntasks: {a: {shell: x, pool: p}}", "unknown_pool"),
        ("workflow: w\ntasks: !!python/object/apply:os.system ['true']", "parse_error"),
        ("", "schema"),
        ("workflow: w\ntasks: {}", "empty_workflow"),
        ("[" * 5000, "parse_error"),
        (b"workflow: \xff", "parse_error"),
    ],
)
async def test_what_cannot_run_or_be_read_is_refused(api: Api, text: str | bytes, code: str) -> None:
    answer = await api.upload(text)
    assert answer.status_code == 422
    assert code in {problem["code"] for problem in answer.json()["problems"]}


async def test_a_bomb_of_aliases_is_refused_at_once(api: Api) -> None:
    lines = ["workflow: bomb", "x-0: &a0 [x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    answer = await api.upload("\n".join(lines))
    assert answer.status_code == 422
    assert "aliases" in answer.json()["problems"][0]["message"]


async def test_a_check_registers_nothing(api: Api) -> None:
    answer = await api.upload(HELLO, query="?dry_run=true")
    assert answer.status_code == 200
    assert (answer.json()["valid"], answer.json()["workflow"]) == (True, "hello")
    assert (await api.get("/workflows")).json() == {"items": [], "next": None}
    assert await api.audited() == []


async def test_only_texts_of_workflows_are_read(api: Api) -> None:
    for kind in ("text/plain", "application/x-python", "multipart/form-data"):
        answer = await api.upload(HELLO, kind=kind)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_large_text_is_checked_by_a_process_of_its_own(api: Api) -> None:
    """And gives the same answers."""
    large = HELLO + "".join(f"  t{n}: {{shell: 'true', depends_on: greet}}\n" for n in range(2000))
    assert len(large) > authoring.SMALL
    answer = await api.upload(large)
    assert (answer.status_code, answer.json()["name"]) == (201, "hello")
    assert (await api.get("/workflows/hello/graph")).json()["tasks"] == 2001
    wrong = await api.upload(large + "  last: {shell: x, retries: 3}\n")
    assert [one["task"] for one in wrong.json()["problems"]] == ["last"]


async def test_a_text_that_takes_for_ever_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authoring, "WITHIN", 0.05)
    large = HELLO + "".join(f"  t{n}: {{shell: 'true', bad: 1}}\n" for n in range(20_000))
    answer = await api.upload(large)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_more_texts_than_can_be_checked_are_sent_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authoring, "IN_LINE", 1)
    answers = await asyncio.gather(*(api.upload(HELLO + "#" * 70_000) for _ in range(8)))
    told = sorted(answer.status_code for answer in answers)
    assert told[0] < 300
    assert told[-1] == 503
    assert next(one for one in answers if one.status_code == 503).headers["Retry-After"]


async def test_workflows_are_listed_by_tag_text_and_page(api: Api) -> None:
    for name, tag in (("alpha", "a"), ("beta", "a"), ("gamma", "b")):
        await api.registered(
            f"workflow: {name}\ntags: [{tag}]\ndescription: The {name} one.\ntasks: {{t: {{noop: {{}}}}}}"
        )
    assert await names(api, "?tag=a") == ["alpha", "beta"]
    assert await names(api, "?text=GAMMA%20one") == ["gamma"]
    first = (await api.get("/workflows?limit=2")).json()
    assert [item["name"] for item in first["items"]] == ["alpha", "beta"]
    assert await names(api, f"?limit=2&cursor={first['next']}") == ["gamma"]
    for wrong in ("cursor=nonsense", "cursor=Ilx1MDAwMCI", "text=%00", "text=", f"tag={'x' * 501}"):
        assert (await api.get(f"/workflows?{wrong}")).status_code == 400, wrong
    assert (await api.get("/workflows", project="other")).json()["items"] == []


async def names(api: Api, query: str) -> list[str]:
    return [item["name"] for item in (await api.get(f"/workflows{query}")).json()["items"]]


async def test_versions_are_shown_and_compared(api: Api) -> None:
    await api.registered(HELLO)
    await api.registered(HELLO.replace("world", "you"))
    listed = (await api.get("/workflows/hello/versions?limit=1")).json()
    assert [item["version"] for item in listed["items"]] == [2]
    rest = (await api.get(f"/workflows/hello/versions?cursor={listed['next']}")).json()
    assert [item["version"] for item in rest["items"]] == [1]
    diff = (await api.get("/workflows/hello/diff?from=1&to=2")).json()
    assert diff["diff"][:2] == ["--- hello version 1", "+++ hello version 2"]
    assert [line[:1] for line in diff["diff"] if "default: you" in line] == ["+"]
    assert (await api.get("/workflows/hello/diff")).json() == diff
    assert (await api.get("/workflows/hello/diff?to=9")).status_code == 404


async def test_a_graph_comes_in_every_format(api: Api) -> None:
    await api.registered(HELLO + "  after: {noop: {}, depends_on: greet}\n")
    document = (await api.get("/workflows/hello/graph", role="viewer")).json()
    assert {node["id"]: node["upstream"] for node in document["nodes"]} == {"greet": [], "after": ["greet"]}
    for format, kind, part in (
        ("svg", "image/svg+xml", "<svg"),
        ("mermaid", "text/plain", "flowchart"),
        ("dot", "text/vnd.graphviz", "digraph"),
        ("text", "text/plain", "hello: 2 tasks"),
    ):
        answer = await api.get(f"/workflows/hello/graph?format={format}&version=1")
        assert answer.headers["Content-Type"].startswith(kind)
        assert part in answer.text


async def test_what_is_not_there_or_another_projects_is_not_found(api: Api) -> None:
    await api.registered(HELLO)
    for path in (
        "/workflows/hallo",
        f"/workflows/{'x' * 300}",
        "/workflows/hello/versions/9",
        "/workflows/hello/versions/99999999999999999999",
        "/workflows/hello/versions/-1",
        "/workflows/hello/graph?version=2",
    ):
        assert (await api.get(path)).status_code == 404, path
    for path in ("", "/versions", "/versions/1", "/diff", "/graph"):
        assert (await api.get(f"/workflows/hello{path}", project="other")).status_code == 404, path
    assert (await api.patch("/workflows/hello", {"paused": True}, project="other")).status_code == 404


async def test_a_paused_workflow_is_started_by_nobody_until_it_is_resumed(api: Api) -> None:
    await api.registered(HELLO)
    changed = await api.patch("/workflows/hello", {"paused": True, "priority": "low"}, role="operator")
    assert (changed.json()["paused"], changed.json()["priority"]) == (True, "low")
    refused = await api.post("/workflows/hello/runs", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "workflow_paused")
    assert (await api.post("/runs", {"workflow": HELLO})).status_code == 409
    assert (await api.get("/workflows")).json()["items"][0]["paused"] is True
    await api.patch("/workflows/hello", {"paused": False})
    run = await api.started("hello")
    assert (await api.get(f"/runs/{run}")).json()["priority"] == "low"
    await api.patch("/workflows/hello", {"priority": None})
    assert (await api.get("/workflows/hello")).json()["priority"] is None
    assert [line for line in await api.audited() if line[1] == "workflow.set"] == [
        ("user:ada", "workflow.set", "workflow hello")
    ] * 3


async def test_what_a_change_does_not_name_cannot_be_changed(api: Api) -> None:
    await api.registered(HELLO)
    for body in (
        {"version": 7},
        {"paused": "yes"},
        {"paused": None},
        {"priority": "urgent"},
        {"project": "other"},
    ):
        assert (await api.patch("/workflows/hello", body)).status_code == 422, body


async def test_roles(api: Api) -> None:
    assert (await api.upload(HELLO, role="operator")).status_code == 403
    await api.registered(HELLO, role="author")
    assert (await api.get("/workflows/hello", role="viewer")).status_code == 200
    assert (await api.get("/workflows/hello/versions/1", role="viewer")).status_code == 403
    assert (await api.patch("/workflows/hello", {"paused": True}, role="viewer")).status_code == 403


async def test_the_schema_is_for_everybody(api: Api) -> None:
    assert (await api.get("/schema/workflow", role="viewer")).json()["title"] == "Headrace workflow"
