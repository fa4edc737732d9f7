"""The classes of faults that other orchestrators became known for, each tried here."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from headrace.engine.ports.access import Role
from tests.support.access import Secured, secured
from tests.support.api import ROOT, serving
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")
YAML = {"Content-Type": "application/yaml"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("known")) as made:
        yield made


async def ended(api: Secured, run: str) -> Any:
    answer = await api.ask("GET", f"/runs/{run}?wait=60s", api.token())
    assert answer.json()["state"] in ("succeeded", "failed"), answer.text
    return answer.json()


async def test_a_parameter_never_becomes_program(shared: Secured, tmp_path: Path) -> None:
    """Parameters in shell commands and templates: they arrive as text, whatever they look like."""
    flow = """\
workflow: echoes
params: {word: {type: string}}
tasks:
  say: {shell: 'printf "%s" "$WORD" > "$TO"; printf %s "\\"done\\""', env: {WORD: "${{ params.word }}", TO: "${{ params.to }}"}}
"""
    flow = flow.replace("{word: {type: string}}", "{word: {type: string}, to: {type: string}}")
    made = await shared.ask("POST", "/workflows", shared.token(), content=flow, headers=YAML)
    assert made.status_code == 201, made.text
    marker = tmp_path / "owned"
    words = [
        f"$(touch {marker})",
        f"`touch {marker}`",
        f'"; touch {marker}; "',
        f"'; touch {marker}; '",
        f"x\ntouch {marker}",
        f"${{IFS}}|touch {marker}",
        "${{ secrets.token }}",
        "${{ params.to }}",
        "{{ ''.__class__ }}",
        "{% for x in y %}",
        "%(x)s {0.__class__}",
        "--help",
    ]
    for number, word in enumerate(words):
        to = tmp_path / f"said-{number}"
        body = {"params": {"word": word, "to": str(to)}}
        run = (
            await shared.ask("POST", "/workflows/echoes/runs", shared.token(Role.OPERATOR), json=body)
        ).json()["run"]
        assert (await ended(shared, run))["state"] == "succeeded"
        assert to.read_text() == word
    assert not marker.exists()


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__[1].__subclasses__()",
        "().__class__.__base__",
        "params.__init__.__globals__",
        "__import__('os').system('id')",
        "engine.factory.create('x')",
        "constructor.constructor('return process')()",
        "this.process.mainModule.require('child_process')",
        "''|attr('format')",
        "'{0.__class__}'.format(params)",
        "T(java.lang.Runtime).getRuntime().exec('id')",
        "open('/etc/passwd').read()",
        "eval('1+1')",
        "lambda: 0",
        "[x for x in (1).__class__.__bases__]",
    ],
)
async def test_an_expression_is_no_way_out(shared: Secured, expression: str) -> None:
    """Refused when it is registered, or failed as an expression when it is judged: never more than that."""
    document = {
        "workflow": "escapes",
        "params": {"x": {"type": "integer", "default": 1}},
        "tasks": {"a": {"noop": None}},
        "output": "${{ " + expression + " }}",
    }
    made = await shared.ask("POST", "/workflows", shared.token(), json=document)
    if made.status_code != 422:
        assert made.status_code in (200, 201), made.text
        run = (await shared.ask("POST", "/workflows/escapes/runs", shared.token(), json={})).json()["run"]
        found = await ended(shared, run)
        assert (found["state"], found["output"]) == ("failed", None)
    assert "root:" not in made.text
    assert "uid=" not in made.text


async def test_code_is_taken_from_authors_alone_and_never_imported(
    shared: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "imported"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()\ndef main(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    flow = "workflow: evil\ntasks: {a: {python: 'evil_module:main'}}\n"
    for credentials, status in (
        (None, 401),
        (shared.token(Role.VIEWER), 403),
        (shared.token(Role.OPERATOR), 403),
    ):
        for path in ("/workflows", "/workflows?dry_run=true"):
            answer = await shared.ask("POST", path, credentials, content=flow, headers=YAML)
            assert answer.status_code == status
        assert (await shared.ask("POST", "/runs", credentials, json={"workflow": flow})).status_code == status
    for path in ("/workflows?dry_run=true", "/workflows"):
        answer = await shared.ask("POST", path, shared.token(Role.AUTHOR), content=flow, headers=YAML)
        assert answer.status_code in (200, 201), answer.text
    await shared.ask("GET", "/workflows/evil/graph?format=svg", shared.token())
    assert not marker.exists()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/yaml", b"!!python/object/apply:os.system ['id']"),
        ("application/yaml", b"workflow: x\ntasks: {a: !!python/name:os.system {noop: }}"),
        ("application/yaml", b"workflow: !!binary aWQ=\ntasks: {a: {noop: }}"),
        ("application/x-python-pickle", b"\x80\x04cos\nsystem\n(S'id'\ntR."),
        ("application/octet-stream", b"\x80\x04cos\nsystem\n(S'id'\ntR."),
        ("application/xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
        ("application/x-msgpack", b"\x81\xa8workflow\xa1x"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n--x--",
        ),
    ],
)
async def test_nothing_is_read_that_makes_objects(shared: Secured, kind: str, body: bytes) -> None:
    for path in ("/workflows", "/runs", "/tokens", "/auth/login"):
        answer = await shared.ask("POST", path, shared.token(), content=body, headers={"Content-Type": kind})
        assert answer.status_code in (400, 415, 422), (path, answer.text)
        assert "root:" not in answer.text


async def test_secrets_of_tasks_are_nowhere(tmp_path: Path) -> None:
    """A task that prints its secret, in a process of its own: not in its log lines, answers, events, dead letters, database, files
    or the process's own output."""
    canary = "canary-Zk3vQpLx-7Rt2Yb8Nd6Hs"
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "leaks.yaml").write_text(
        """\
workflow: leaks
tasks:
  say:
    shell: 'echo "log $WORD"; echo "log $WORD" | base64 >&2; printf "{\\"out\\": \\"%s\\"}" "$WORD"'
    env: {WORD: "${{ secrets.canary }}"}
  fail:
    shell: 'echo "$WORD" >&2; exit 3'
    env: {WORD: "${{ secrets.canary }}"}
    depends_on: say
output: "${{ tasks.say.output }}"
"""
    )
    with serving(tmp_path, "dev", str(flows), HEADRACE_SECRET_CANARY=canary) as live, live.client() as client:
        until = time.monotonic() + PATIENCE
        while client.get(f"{ROOT}/workflows/leaks").status_code != 200:
            assert time.monotonic() < until, live.said
        run = client.post(f"{ROOT}/workflows/leaks/runs", json={}).json()["run"]
        assert client.get(f"{ROOT}/runs/{run}?wait=60s").json()["state"] == "failed"
        paths = [
            "",
            "/tasks",
            "/plan",
            "/why",
            "/timeline",
            "/graph",
            "/tasks/say",
            "/tasks/say/inputs",
            "/tasks/say/output",
        ]
        paths += [
            "/tasks/say/attempts",
            "/tasks/say/attempts/1/logs",
            "/tasks/fail",
            "/tasks/fail/attempts/1/logs",
            "/logs",
            "/events",
        ]
        answers = [client.get(f"{ROOT}/runs/{run}{path}") for path in paths]
        answers += [
            client.get(f"{ROOT}{path}")
            for path in ("/dead-letters", "/audit", "/stats", "/workflows/leaks/versions/1")
        ]
        answers.append(client.get(f"{ROOT}/workflows/{quote(canary)}"))
        answers.append(client.post(f"{ROOT}/tokens", json={"name": canary * 9}))
        assert any("log ***" in answer.text for answer in answers)
        for answer in answers:
            assert canary not in answer.text + json.dumps(dict(answer.headers)), answer.request.url
        assert live.end() == 0
        assert canary not in live.said
    found = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert any(path.name == "headrace.db" for path in found)
    assert [path for path in found if canary.encode() in path.read_bytes()] == []
