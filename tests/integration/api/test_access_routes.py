"""Every route, asked by nobody, by every role, and about what belongs to another project; and every way to write its path."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from headrace.api.access.listing import Route, routes_of
from headrace.engine.ports.access import Role
from headrace.engine.ports.backfills import NewBackfill
from tests.support.access import MINE, OTHER, ROLES, Secured, secured
from tests.support.waiting import comes_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = routes_of()
GUARDED = [route for route in ROUTES if route.role is not None]
CANARY = "canary-of-default"
FLOW = f"""\
workflow: guarded
description: {CANARY}
triggers: [{{id: nightly, cron: "0 6 * * *"}}]
params: {{word: {{type: string, default: {CANARY}}}}}
tasks:
  say: {{shell: 'echo "$WORD"; exit 1', env: {{WORD: "${{{{ params.word }}}}"}}}}
"""
ASKS = f"""\
workflow: guarded_asks
tasks: {{ask: {{approval: {{title: "{CANARY}"}}}}}}
"""
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/workflows/{name}": {"paused": True},
    "/api/v1/workflows/{name}/runs": {},
    "/api/v1/users/{name}/role": {"role": "admin"},
    "/api/v1/backfills/{backfill}": {"priority": "high"},
    "/api/v1/pools/{pool}": {"slots": 1},
    "/api/v1/dead-letters/discard": {"letters": [1], "reason": "none"},
    "/api/v1/dead-letters/requeue": {"letters": [1]},
}
NO_TEXT = ("%00", "%ed%a0%80", "%ff")
INSTALLATION = {
    "PATCH /api/v1/users/{name}",
    "POST /api/v1/users",
    "GET /api/v1/poison-letters",
    "POST /api/v1/poison-letters/discard",
    "POST /api/v1/workers/{worker}/drain",
}
"""What an admin of one project is refused too."""
NEW = {"POST /api/v1/signals/{name}", "PUT /api/v1/pools/{pool}"}
"""What names something new, in the asker's own project."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("routes"), users=True) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(shared: Secured) -> dict[str, str]:
    """What there is in `default`: a workflow, a run that failed with a dead letter, a token."""
    kind = {"Content-Type": "application/yaml"}
    made = await shared.ask("POST", "/workflows", shared.token(), content=FLOW, headers=kind)
    assert made.status_code == 201, made.text
    begun = await shared.ask("POST", "/workflows/guarded/runs", shared.token(), json={})
    run = begun.json()["run"]
    ended = await shared.ask("GET", f"/runs/{run}?wait=60s", shared.token())
    assert ended.json()["state"] == "failed"
    letters = (await shared.ask("GET", "/dead-letters", shared.token())).json()["items"]
    backfill = await shared.office.store.create_backfill(
        NewBackfill(
            MINE,
            "guarded",
            "guarded.nightly",
            b'{"cron":"0 6 * * *","timezone":"UTC","dst":{"gap":"after","overlap":"first"}}',
            b'{"word":"%s"}' % CANARY.encode(),
            *("missing", "forward", 1, "low", "user:ada"),
            created_at=0.0,
            moments=(),
        )
    )
    made = await shared.ask("POST", "/workflows", shared.token(), content=ASKS, headers=kind)
    assert made.status_code == 201, made.text
    await shared.ask("POST", "/workflows/guarded_asks/runs", shared.token(), json={})

    async def asks() -> bool:
        return bool((await shared.ask("GET", "/approvals", shared.token())).json()["items"])

    await comes_true(asks, "nobody is asked")
    [approval] = (await shared.ask("GET", "/approvals", shared.token())).json()["items"]
    await shared.ask("PUT", "/pools/guarded", shared.token(), json={"slots": 1, "note": CANARY})
    tokens = (await shared.ask("GET", "/tokens", shared.token())).json()["items"]
    return {
        "name": "guarded",
        "run": run,
        "task": "say",
        "attempt": "1",
        "version": "1",
        "letter": str(letters[0]["id"]),
        "id": tokens[0]["id"],
        "schedule": "guarded.nightly",
        "backfill": str(backfill.no),
        "approval": str(approval["id"]),
        "pool": "guarded",
    }


async def test_no_route_is_left_without_a_role() -> None:
    assert len(GUARDED) > 40
    assert {route.path for route in ROUTES if route.role is None} == {
        "/api/v1/auth/login",
        "/api/v1/schema/workflow",
        "/docs",
        "/docs/{name}",
        "/health/live",
        "/health/ready",
        "/schema/openapi.json",
    }


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_a_route_answers_its_role_and_those_above(shared: Secured, route: Route) -> None:
    assert route.role is not None
    path = filled(route.path, {"version": "1", "letter": "1", "attempt": "1"})
    nobody = await shared.ask(route.method, path, root="")
    assert (nobody.status_code, nobody.headers["www-authenticate"][:6]) == (401, "Bearer")
    for role in ROLES:
        if role >= route.role and is_stream(route):
            continue  # it would go on; the tests of live routes listen
        # without a body: who may, gets as far as being told what is wrong with that
        answer = await shared.ask(route.method, path, shared.token(role), root="")
        said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if role < route.role:
            assert (answer.status_code, said["code"]) == (403, "forbidden"), role
            assert route.role.word in said["detail"]
        elif f"{route.method} {route.path}" not in INSTALLATION:
            assert answer.status_code not in (401, 403, 405), (role, answer.text)


@pytest.mark.parametrize(
    "route",
    [route for route in GUARDED if "{" in route.path and f"{route.method} {route.path}" not in NEW],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_what_belongs_to_another_project_is_not_there(
    shared: Secured, theirs: dict[str, str], route: Route
) -> None:
    foreign = shared.token(Role.ADMIN, OTHER)
    before = await audited(shared)
    path = filled(route.path, theirs)
    body = BODIES.get(route.path) if route.method in ("POST", "PUT", "PATCH") else None
    unknown = await shared.ask(route.method, filled(route.path, NOWHERE), foreign, root="", json=body)
    answer = await shared.ask(route.method, path, foreign, root="", json=body)
    if f"{route.method} {route.path}" in INSTALLATION:
        assert answer.status_code in (403, 422)
        return
    assert answer.status_code == 404, answer.text
    assert CANARY not in answer.text
    assert answer.json()["code"] == unknown.json()["code"]
    assert await audited(shared) == before


async def test_lists_hold_what_belongs_to_the_project_alone(shared: Secured, theirs: dict[str, str]) -> None:
    lists = [
        route for route in GUARDED if route.method == "GET" and "{" not in route.path and not is_stream(route)
    ]
    assert len(lists) > 8
    for route in lists:
        if f"GET {route.path}" in INSTALLATION:
            continue
        answer = await shared.ask("GET", route.path, shared.token(Role.ADMIN, OTHER), root="")
        assert answer.status_code == 200, route
        assert not any(mark in answer.text for mark in (CANARY, theirs["run"], "guarded", theirs["id"])), (
            route
        )


async def test_what_is_asked_of_many_reaches_none_of_another_project(
    shared: Secured, theirs: dict[str, str]
) -> None:
    foreign = shared.token(Role.ADMIN, OTHER)
    mine = await shared.ask("POST", "/runs/bulk", shared.token(), json={"action": "rerun", "filter": {}})
    assert mine.json()["runs"] == 1, mine.text
    plan = await shared.ask("POST", "/runs/bulk", foreign, json={"action": "rerun", "filter": {}})
    assert plan.json()["runs"] == 0
    stolen = await shared.ask("POST", "/runs/bulk", foreign, json={"confirm": mine.json()["plan_id"]})
    assert stolen.json()["code"] == "no_plan", stolen.text
    body = {"letters": [int(theirs["letter"])], "reason": "not mine"}
    told = await shared.ask("POST", "/dead-letters/discard", foreign, json=body)
    assert told.status_code in (200, 202, 404), told.text
    assert told.json().get("discarded", []) == []
    letter = await shared.ask("GET", f"/dead-letters/{theirs['letter']}", shared.token())
    assert letter.json()["state"] == "open"


async def test_a_viewer_sees_no_value(shared: Secured, theirs: dict[str, str]) -> None:
    """Parameters, inputs, outputs, log lines, documents: nothing that a task was given or gave."""
    canary = "value-for-operators-only"
    begun = await shared.ask(
        "POST", "/workflows/guarded/runs", shared.token(), json={"params": {"word": canary}}
    )
    run = begun.json()["run"]
    await shared.ask("GET", f"/runs/{run}?wait=60s", shared.token())
    seen = False
    for route in GUARDED:
        if route.method != "GET" or is_stream(route):
            continue
        path = filled(route.path, {**theirs, "run": run})
        viewer = await shared.ask("GET", path, shared.token(Role.VIEWER), root="")
        assert canary not in viewer.text, route
        seen = seen or canary in (await shared.ask("GET", path, shared.token(Role.OPERATOR), root="")).text
    assert seen


TRICKS = [
    "/api/v1/./{}",
    "/api/v1//{}",
    "//api/v1/{}",
    "/api/v1/x/../{}",
    "/api/v1/%2e/{}",
    "/api/v1/x/%2e%2e/{}",
    "/api/v1/x%2f..%2f{}",
    "/api%2fv1%2f{}",
    "/api/v1/%252e%252e/{}",
    "/api/v1/{};a=b",
    "/api/v1;/{}",
    "/api/v1/{}/",
    "/api/v1/{}/configs",
    "/api/v1/{}.json",
    "/api/v1/{}%00",
    "/api/v1/{}%0a",
    "/api/v1/{}%20",
    "/api/v1/{}?/docs",
    "/api/v1/{}?x=/health/live",
    "/API/V1/{}",
    "/docs/../api/v1/{}",
    "/docs/%2e%2e/api/v1/{}",
    "/health/live/../../api/v1/{}",
    "/api/v1/auth/login/../../{}",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_path_in_disguise_opens_nothing(shared: Secured, theirs: dict[str, str], trick: str) -> None:
    """Who may not read the audit does not, however the path is written; who may, gets the same list or nothing."""
    path = trick.format("audit")
    for credentials in (None, shared.token(Role.AUTHOR)):
        answer = await raw(shared, "GET", path, credentials)
        assert answer.status_code in (400, 401, 403, 404), answer.text
        assert "token.create" not in answer.text
    allowed = await raw(shared, "GET", path, shared.token())
    assert allowed.status_code in (200, 400, 404)


async def test_what_no_database_could_keep_comes_to_no_route(shared: Secured) -> None:
    """NUL, half of a surrogate pair, a byte that is no UTF-8; in every path and every query."""
    credentials = shared.token()
    for route in ROUTES:
        plain = filled(route.path, {})
        tricks = [f"{plain}?cursor=a&text={bad}" for bad in NO_TEXT] + [f"{plain}?{bad}" for bad in NO_TEXT]
        for parameter in re.findall(r"\{(\w+)\}", route.path):
            tricks += [filled(route.path, {parameter: f"1{bad}"}) for bad in NO_TEXT]
        for path in tricks:
            answer = await raw(shared, route.method, path, credentials)
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), (path, answer.text)
    kept = await raw(shared, "GET", "/api/v1/runs?text=%2500%EF%BF%BD%F0%9F%8C%8A", credentials)
    assert kept.status_code == 200, kept.text


@pytest.mark.parametrize(
    "header",
    ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"],
)
async def test_a_method_is_what_the_request_line_says(
    shared: Secured, theirs: dict[str, str], header: str
) -> None:
    path = f"/tokens/{theirs['id']}"
    for method in ("GET", "POST"):
        answer = await shared.ask(
            method, f"{path}?_method=DELETE", shared.token(), headers={header: "DELETE"}
        )
        assert answer.status_code == 405
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Original-Path"):
        answer = await shared.ask("GET", "/me", shared.token(Role.VIEWER), headers={name: "/api/v1/audit"})
        assert answer.json()["role"] == "viewer"
    kept = (await shared.ask("GET", "/tokens", shared.token())).json()["items"]
    assert [token["revoked_at"] for token in kept if token["id"] == theirs["id"]] == [None]


async def test_other_methods_are_not_a_way_around(shared: Secured) -> None:
    for method in ("OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get"):
        answer = await shared.ask(method, "/audit", None)
        assert answer.status_code in (400, 401, 403, 404, 405, 501), method
        assert "token.create" not in answer.text


NOWHERE = {
    "name": "no-such-one",
    "run": "01890000-0000-7000-8000-000000000000",
    "task": "nothing",
    "attempt": "1",
    "version": "1",
    "letter": "999999",
    "id": "0123456789abcdef",
    "schedule": "no.such",
    "backfill": "999999",
    "approval": "999999",
    "pool": "no-such-one",
    "worker": "nobody",
}


def filled(path: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], NOWHERE[found[1]]), path)


def is_stream(route: Route) -> bool:
    return route.path.endswith("/events") or route.path.endswith("/{run}/logs")


async def raw(api: Secured, method: str, path: str, credentials: str | None) -> Any:
    """With the path as it is written: a client would put it in order before it sends it."""
    headers = {} if credentials is None else {"Authorization": f"Bearer {credentials}"}
    request = api.client.build_request(method, "/", headers=headers)
    request.url = request.url.copy_with(raw_path=path.encode())
    return await api.client.send(request)


async def audited(api: Secured) -> int:
    return len(
        [*await api.office.store.audit(MINE, limit=500), *await api.office.store.audit(OTHER, limit=500)]
    )
