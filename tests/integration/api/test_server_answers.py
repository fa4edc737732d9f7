"""What every answer has in common: problems for all that goes wrong, headers, hosts, other sites, health, the description."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from litestar.routes import HTTPRoute

from headrace.api import limits
from headrace.api.access.guarding import Gate
from headrace.api.app import create_app
from headrace.api.headers import Policy
from headrace.api.lately import Lately
from headrace.api.office import Office
from headrace.api.opening import open_outside
from tests.support.api import HELLO, ROOT, Api, Introduced

RUN = "00000000-0000-7000-8000-000000000000"


@asynccontextmanager
async def client(office: Office, policy: Policy | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """To an application of its own over the office."""
    app = create_app(office, Gate(Introduced(office)), policy)
    transport = httpx2.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as made:
        yield made


# -- problems -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/api/v1/runs/nope", {}, 404, "not_found"),
        ("PUT", "/api/v1/runs", {}, 405, "method_not_allowed"),
        ("GET", "/api/v1/runs?limit=0", {}, 400, "invalid"),
        ("GET", "/api/v1/runs?limit=many&state=odd", {}, 400, "invalid"),
        ("GET", "/api/v1/runs?cursor=%01", {}, 400, "cursor"),
        ("GET", "/api/v1/dead-letters?workflow=a%20b", {}, 400, "invalid"),
        ("GET", "/api/v1/dead-letters?task=", {}, 400, "invalid"),
        ("GET", "/api/v1/dead-letters?fingerprint=%25", {}, 400, "invalid"),
        ("GET", "/api/v1/dead-letters/groups?workflow=a%20b", {}, 400, "invalid"),
        ("GET", f"/api/v1/audit?object={'x' * 501}", {}, 400, "invalid"),
        ("GET", "/api/v1/workers?queue=", {}, 400, "invalid"),
        ("GET", "/api/v1/runs/r/tasks/t?index=1;2", {}, 400, "invalid"),
        ("GET", "/api/v1/runs/r/tasks/t/attempts?index=1,2,3,4", {}, 400, "invalid"),
        ("GET", "/api/v1/runs", {"headers": {"X-Role": "nobody"}}, 401, "unauthenticated"),
        (
            "POST",
            "/api/v1/workflows/hello/runs",
            {"json": {}, "headers": {"X-Role": "viewer"}},
            403,
            "forbidden",
        ),
        ("POST", "/api/v1/workflows/hello/runs", {"content": b"{"}, 400, "bad_request"),
        ("POST", "/api/v1/workflows/hello/runs", {"content": b"\xff\xfe"}, 400, "bad_request"),
        ("POST", "/api/v1/workflows/hello/runs", {"content": b"[" * 100 + b"]" * 100}, 400, "too_deep"),
        ("POST", "/api/v1/workflows/hello/runs", {"json": []}, 422, "invalid"),
        (
            "POST",
            "/api/v1/workflows/hello/runs",
            {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
            415,
            "unsupported_media_type",
        ),
    ],
)
async def test_every_error_is_a_problem(
    api: Api, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    if "content" in more:
        more = {**more, "headers": {"Content-Type": "application/json", **more.get("headers", {})}}
    answer = await api.client.request(method, path, **more)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:headrace:problem:{code}"
    assert document["title"]
    assert document["detail"]
    if status == 405:
        assert "GET" in answer.headers["allow"]


async def test_all_that_is_wrong_with_a_body_is_told_at_once(api: Api) -> None:
    body = {"priority": "urgent", "params": [], "state": "succeeded", "owner": "eve", "on_conflict": 7}
    answer = await api("POST", "/workflows/hello/runs", json=body)
    assert answer.status_code == 422
    told = {one["field"]: one["message"] for one in answer.json()["problems"]}
    assert told.keys() == body.keys()
    assert told["owner"] == "There is no such field."
    assert "urgent" in told["priority"]


async def test_all_that_is_wrong_with_a_query_is_told_at_once(api: Api) -> None:
    answer = await api("GET", "/runs?limit=5000&state=odd")
    assert {one["field"] for one in answer.json()["problems"]} == {"limit", "state"}


async def test_a_fault_tells_nothing_but_its_id(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with client(replace(api.office, now=cast("Any", None))) as broken:
        answer = await broken.get(f"{ROOT}/runs", headers={"X-Request-Id": "here-1"})
    assert (answer.status_code, answer.json()["code"]) == (500, "fault")
    assert "NoneType" not in answer.text
    told = [record for record in caplog.records if record.exc_info]
    assert len(told) == 1
    assert "here-1" in told[0].getMessage()


async def test_a_database_that_cannot_be_used_is_503_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "headrace.db"
    async with (
        open_outside(tmp_path, f"sqlite:///{path}", artifacts=str(tmp_path)) as office,
        client(office) as made,
    ):
        assert (await made.get("/health/ready")).status_code == 200
        with sqlite3.connect(path) as database:
            database.execute("ALTER TABLE runs RENAME TO gone")
            database.execute("ALTER TABLE parts RENAME TO gone_too")
        answer = await made.get(f"{ROOT}/runs")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "headrace.db" not in answer.text
    async with client(replace(office, checked=Lately())) as made:
        ready = await made.get("/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
        assert (await made.get("/health/live")).status_code == 200


async def test_a_damaged_row_is_named(api: Api) -> None:
    run = (await api.ran(HELLO))["run"]
    with sqlite3.connect(api.home.home / "headrace.db") as database:
        changed = database.execute("UPDATE runs SET params = ?", (b'{"name": "x"}',))
        assert changed.rowcount == 1
    answer = await api("GET", f"/runs/{run}")
    assert (answer.status_code, answer.json()["code"]) == (500, "row_damaged")
    assert "parameters" in answer.json()["detail"]
    assert (await api("GET", "/runs")).status_code == 200  # others are not hidden by it


async def test_an_answer_that_takes_too_long_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.register("workflow: long\ntasks:\n  rest: {sleep: 1h}\n")
    run = await api.start("long")
    monkeypatch.setattr(limits, "PATIENT_SECONDS", 0.1)
    answer = await api("GET", f"/runs/{run}?wait=30s")
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
    assert (await api("GET", f"/runs/{run}")).status_code == 200


async def test_what_no_engine_takes_is_not_accepted_for_ever(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    opening = open_outside(tmp_path, url, artifacts=str(tmp_path), most_starts=2)
    async with opening as office, client(office) as made:
        kind = {"Content-Type": "application/yaml"}
        assert (await made.post(f"{ROOT}/workflows", content=HELLO, headers=kind)).status_code == 201
        for _ in range(2):
            assert (await made.post(f"{ROOT}/workflows/hello/runs", json={})).status_code == 202
        refused = await made.post(f"{ROOT}/workflows/hello/runs", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "no_room")
        assert int(refused.headers["retry-after"]) > 0
        assert len((await made.get(f"{ROOT}/runs")).json()["items"]) == 2


# -- headers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/health/live", "/nowhere", "/docs", "/docs/docs.js", f"{ROOT}/runs", f"{ROOT}/runs/x"]
)
async def test_every_answer_has_its_headers(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    said = answer.headers
    assert said["x-content-type-options"] == "nosniff"
    assert said["x-frame-options"] == "DENY"
    assert said["referrer-policy"] == "no-referrer"
    assert said["content-security-policy"].startswith("default-src 'none'")
    assert said["cache-control"] == ("public, max-age=3600" if path.startswith("/docs/") else "no-store")
    assert re.fullmatch("[0-9a-f]{32}", said["x-request-id"])
    assert "server" not in said
    assert "access-control-allow-origin" not in said


@pytest.mark.parametrize(
    ("given", "taken"), [("abc-1:2.3_4", True), ("a b", False), ("é", False), ("x" * 101, False)]
)
async def test_a_request_id_is_kept_when_it_is_one(api: Api, given: str, taken: bool) -> None:
    answer = await api.client.get("/health/live", headers={b"X-Request-Id": given.encode()})
    assert (answer.headers["x-request-id"] == given) == taken


async def test_hosts_that_are_not_ours_are_not_answered(api: Api) -> None:
    async with client(api.office, Policy(hosts=("localhost", "*.example.com", "[::1]"))) as made:
        for host, status in [
            ("localhost", 200),
            ("LOCALHOST:8080", 200),
            ("a.example.com", 200),
            ("[::1]:80", 200),
            ("example.com", 421),
            ("example.com.evil", 421),
            ("evilexample.com", 421),
            ("localhost.evil", 421),
            ("", 400),
        ]:
            answer = await made.get("/health/live", headers={"Host": host})
            assert answer.status_code == status, host


async def test_pages_of_other_sites_call_only_where_that_is_wanted(api: Api) -> None:
    ours, other = "https://ours.example", "https://evil.example"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    closed = await api.client.options(f"{ROOT}/runs", headers={"Origin": ours, **asks})
    assert "access-control-allow-origin" not in closed.headers
    async with client(api.office, Policy(origins=(ours,))) as made:
        for origin, allowed in ((ours, True), (other, False)):
            preflight = await made.options(f"{ROOT}/runs", headers={"Origin": origin, **asks})
            plain = await made.get(f"{ROOT}/runs", headers={"Origin": origin})
            for answer in (preflight, plain):
                assert (answer.headers.get("access-control-allow-origin") == origin) == allowed
                assert "access-control-allow-credentials" not in answer.headers


# -- health ---------------------------------------------------------------------------------------------------------------


async def test_strangers_learn_of_health_and_no_more(api: Api) -> None:
    nobody = {"X-Role": "nobody"}
    assert (await api.client.get("/health/ready", headers=nobody)).json() == {"status": "ok"}
    assert (await api.client.get(f"{ROOT}/health", headers=nobody)).status_code == 401
    whole = await api.get("/health", role="viewer")
    assert (whole["status"], whole["store"]["status"], whole["kafka"], whole["redis"], whole["engines"]) == (
        "ok",
        "ok",
        None,
        None,
        1,
    )


async def test_what_is_away_beside_the_database_is_told_and_does_not_stop_anything(api: Api) -> None:
    office = replace(api.office, kafka=lambda: "It cannot be reached.")
    async with client(office) as made:
        assert (await made.get("/health/ready")).json() == {"status": "degraded"}
        whole = (await made.get(f"{ROOT}/health")).json()
        assert (whole["degraded"], whole["kafka"]["detail"]) == (True, "It cannot be reached.")


# -- the description ------------------------------------------------------------------------------------------------------


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_every_route_is_described_with_its_errors_and_its_role(api: Api) -> None:
    document = (await api.client.get("/schema/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, method, _ in operations(document)}
    served = {
        (method, route.path_format)
        for route in api.app.routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
        if method != "OPTIONS" and not route.path.startswith(("/docs", "/schema", "/metrics"))
    }
    assert described == served
    names = []
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        names.append(operation["operationId"])
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        public = operation.get("security") == []
        assert public != ("x-headrace-role" in operation), where
        wanted = {"400", "429", "500", "503"} | (set() if public else {"401", "403"})
        wanted |= {"404"} if "{" in path else set()
        wanted |= {"413", "415", "422"} if "requestBody" in operation else set()
        assert wanted <= operation["responses"].keys(), where
        said = set(re.findall(r"\b(?:20\d|4\d\d|50\d)\b", operation["description"]))
        assert said <= operation["responses"].keys(), (where, said)
        for status, response in operation["responses"].items():
            if status in ("400", "401", "403", "404", "500"):
                assert response == {"$ref": response["$ref"]}, (where, status)
    assert len(set(names)) == len(names)
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/")]


async def test_the_description_says_what_holds_of_bodies(api: Api) -> None:
    document = (await api.client.get("/schema/openapi.json")).json()
    schemas = document["components"]["schemas"]
    letters = schemas["PoisonDiscardBody"]["properties"]["letters"]
    assert letters["items"] == {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    assert letters["maxItems"] == 500
    assert schemas["RerunBody"]["description"].startswith("`from`:")
    for path, method, operation in operations(document):
        for reference in references(operation.get("requestBody", {})):
            assert schemas[reference.rpartition("/")[2]]["additionalProperties"] is False, (path, method)
    assert not [name for name in schemas if re.fullmatch(r"\w+", name) is None]
    assert r"\\Z" not in json.dumps(document)  # no pattern that JavaScript reads as another one


async def test_the_page_asks_no_other_host(api: Api) -> None:
    page = (await api.client.get("/docs")).text
    script = (await api.client.get("/docs/docs.js")).text
    assert not re.search(r"(?:https?:)?//[a-z]", page)
    assert "http" not in script
    assert "validatorUrl: null" in script
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        answer = await api.client.get(f"/{name}")
        assert answer.status_code == 200, name
        assert answer.content
    assert "<script>" not in page  # the policy would not run it


@pytest.mark.parametrize(
    "name",
    [
        "../docs.html",
        "..%2fdocs.html",
        "%2e%2e/docs.html",
        "%2e%2e%2f%2e%2e%2fapp.py",
        "..%252fapp.py",
        "swagger/LICENSE",
        "ORIGIN.md",
        "docs.html",
        "docs.js%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..\\..\\app.py",
    ],
)
async def test_names_of_files_lead_nowhere_else(api: Api, name: str) -> None:
    answer = await api.client.get(httpx2.URL("http://localhost", raw_path=b"/docs/" + name.encode()))
    assert answer.status_code in (400, 404)
    assert json.loads(answer.content)["status"] == answer.status_code
