"""`http` tasks against a real server on this machine, and against addresses that must not be reached (faults 68)."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports.messages import Hole, Limits
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.secrets import EnvironmentSecrets, Secrets
from tests.integration.runners.desk import Desk, job, opened


class Server:
    """Answers as the path says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.port = 0
        self.forever = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := (await reader.readline()).decode():
                method, path, _ = line.split()
                headers: dict[str, str] = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, text = header.partition(":")
                    headers[name.lower()] = text.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked.append((method, path, headers, body))
                if path.startswith("/hang"):
                    await self.forever.wait()
                status, more, content = self.answers.get(path.partition("?")[0], (404, {}, b""))
                more = {"content-length": str(len(content)), **more}
                head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in more.items())
                writer.write(head.encode() + b"\r\n" + content)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.forever.set()
        listening.close()
        await listening.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


def http(**work: Any) -> Any:
    limits = work.pop("limits", None)
    return job("http", {"method": "GET", "expect": [[200, 299]], "redirects": 0, **work}, limits=limits)


def value(report: Any) -> Any:
    assert report.kind == "succeeded", report
    return json.loads(report.output)


def error(report: Any) -> Any:
    assert report.kind == "failed", report
    return report.error


async def test_a_json_answer(desk: Desk, server: Server) -> None:
    server.answers["/a"] = (
        201,
        {"Content-Type": "application/problem+json; charset=utf-8", "X-Two": "1"},
        b'{"k": [1]}',
    )
    answer = value(
        await desk.run(http(), {"url": f"{server.url}/a?x=1", "query": {"y": [1, "ü"], "z": None, "b": True}})
    )
    assert (answer["status"], answer["body"], answer["headers"]["x-two"]) == (201, {"k": [1]}, "1")
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/a?x=1&y=1&y=%C3%BC&b=true")
    assert "idempotency-key" not in headers


async def test_texts_and_nothing(desk: Desk, server: Server) -> None:
    server.answers["/text"] = (200, {"Content-Type": "text/plain; charset=latin-1"}, "é".encode("latin-1"))
    server.answers["/none"] = (204, {}, b"")
    server.answers["/odd"] = (200, {"Content-Type": "x; charset=nonsense"}, b"\xff")
    assert value(await desk.run(http(), {"url": f"{server.url}/text"}))["body"] == "é"
    assert value(await desk.run(http(), {"url": f"{server.url}/none"}))["body"] is None
    assert value(await desk.run(http(), {"url": f"{server.url}/odd"}))["body"] == "\ufffd"
    assert server.connections == 1, "connections are kept"


@pytest.mark.parametrize(
    ("given", "kind", "body"),
    [
        ({"json": {"a": None, "b": [1, "é"]}}, "application/json", '{"a":null,"b":[1,"é"]}'.encode()),
        ({"json": None}, "application/json", b"null"),
        (
            {"form": {"a": ["1", 2], "b": "x y", "c": None}},
            "application/x-www-form-urlencoded",
            b"a=1&a=2&b=x+y",
        ),
        ({"body": "raw é"}, None, "raw é".encode()),
        ({}, None, b""),
    ],
)
async def test_bodies(
    desk: Desk, server: Server, given: dict[str, Any], kind: str | None, body: bytes
) -> None:
    server.answers["/"] = (200, {}, b"")
    await desk.run(http(method="POST"), {"url": f"{server.url}/", **given}, task=7)
    _, _, headers, got = server.asked[0]
    assert got == body
    assert headers.get("content-type") == kind
    assert headers["idempotency-key"] == "run-1/0/task"
    await desk.run(http(method="POST"), {"url": f"{server.url}/", **given}, task=7, attempt=2)
    assert server.asked[1][2]["idempotency-key"] == headers["idempotency-key"], "the same for all attempts"


async def test_headers_of_the_task_win(desk: Desk, server: Server) -> None:
    server.answers["/"] = (200, {}, b"")
    headers = {"content-TYPE": "text/csv", "Idempotency-Key": "mine", "X-N": 1}
    await desk.run(http(method="PATCH"), {"url": f"{server.url}/", "json": 1, "headers": headers})
    got = server.asked[0][2]
    assert (got["content-type"], got["idempotency-key"], got["x-n"]) == ("text/csv", "mine", "1")


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (404, False), (408, True), (425, True), (429, True), (500, True), (302, True)],
)
async def test_unexpected_statuses(desk: Desk, server: Server, status: int, retryable: bool) -> None:
    server.answers["/s"] = (status, {"Retry-After": "7"}, b"because")
    report = await desk.run(http(), {"url": f"http://user:hunter2@127.0.0.1:{server.port}/s?token=hunter2"})
    problem = error(report)
    assert (problem.kind, problem.status, problem.retryable, report.retry_after) == (
        "http",
        status,
        retryable,
        7.0,
    )
    assert f"answered {status}" in problem.message
    assert "hunter2" not in problem.message
    log = await desk.log()
    assert log[-1] == "because"
    assert "hunter2" not in "".join(log)


async def test_expected_statuses_are_what_the_task_says(desk: Desk, server: Server) -> None:
    server.answers["/s"] = (404, {}, b"")
    assert (
        value(await desk.run(http(expect=[[200, 299], [404, 404]]), {"url": f"{server.url}/s"}))["status"]
        == 404
    )
    assert value(await desk.run(http(expect=[404]), {"url": f"{server.url}/s"}))["status"] == 404
    assert error(await desk.run(http(expect=[[400, 403]]), {"url": f"{server.url}/s"})).status == 404


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0", 0, 0),
        ("-5", 0, 0),
        ("999999", 3600, 3600),
        ("soon", None, None),
        ("nan", None, None),
    ],
)
async def test_retry_after(
    desk: Desk, server: Server, text: str, low: float | None, high: float | None
) -> None:
    server.answers["/s"] = (503, {"Retry-After": text}, b"")
    wait = (await desk.run(http(), {"url": f"{server.url}/s"})).retry_after
    assert wait is None if low is None or high is None else low <= (wait or 0.0) <= high


async def test_retry_after_a_date(desk: Desk, server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    server.answers["/s"] = (503, {"Retry-After": date}, b"")
    wait = (await desk.run(http(), {"url": f"{server.url}/s"})).retry_after
    assert wait is not None
    assert 900 <= wait <= 1000


async def test_answers_too_large_are_refused_also_when_packed(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(bytes(17 * 1024 * 1024))
    server.answers["/bomb"] = (200, {"Content-Encoding": "gzip"}, packed)
    server.answers["/fine"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 1000))
    assert error(await desk.run(http(), {"url": f"{server.url}/bomb"})).reason == "invalid_output"
    assert value(await desk.run(http(), {"url": f"{server.url}/fine"}))["body"] == "x" * 1000


async def test_json_that_is_none(desk: Desk, server: Server) -> None:
    server.answers["/bad"] = (200, {"Content-Type": "application/json"}, b'{"a": NaN}')
    problem = error(await desk.run(http(), {"url": f"{server.url}/bad"}))
    assert (problem.reason, problem.retryable) == ("invalid_output", False)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://"},
        {"url": 7},
        {"url": "http://127.0.0.1/", "headers": {"X": "a\r\nInjected: 1"}},
        {"url": "http://127.0.0.1/", "headers": {"X\r\nInjected": "1"}},
        {"url": "http://127.0.0.1/", "headers": {"X Y": "1"}},
        {"url": "http://127.0.0.1:{port}/", "headers": {"X Y": "1"}},
        {"url": "http://127.0.0.1/", "query": [1]},
        {"url": "http://127.0.0.1:99999/"},
    ],
)
async def test_inputs_that_make_no_request(desk: Desk, server: Server, given: dict[str, Any]) -> None:
    """faults 73."""
    given = {
        **given,
        "url": str(given["url"]).replace("{port}", str(server.port)) if given["url"] != 7 else 7,
    }
    problem = error(await desk.run(http(), given))
    assert (problem.reason, problem.retryable) == ("invalid_input", False)
    assert not any("injected" in headers for _, _, headers, _ in server.asked)


async def test_a_server_that_is_not_there_may_be_tried_again(desk: Desk, server: Server) -> None:
    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        problem = error(await desk.run(http(), {"url": url}))
        assert (problem.kind, problem.reason, problem.retryable) == ("http", None, True)
        assert "ConnectError" in problem.kinds


async def test_a_server_that_does_not_answer(desk: Desk, server: Server) -> None:
    began = time.monotonic()
    limits = Limits(attempt=0.2, grace=1)
    problem = error(await desk.run(http(limits=limits), {"url": f"{server.url}/hang"}))
    assert (problem.kind, problem.reason, problem.retryable) == ("timeout", "timed_out", True)
    assert time.monotonic() - began < 20
    waiting = desk.make(http(), {"url": f"{server.url}/hang"})
    desk.send(waiting)
    await desk.hear(1, "started")
    desk.abort(waiting)
    assert [report.kind for report in await desk.hear(1)] == ["cancelled"]


async def test_redirects_are_followed_as_far_as_allowed(desk: Desk, server: Server) -> None:
    server.answers["/1"] = (302, {"Location": "/2"}, b"")
    server.answers["/2"] = (307, {"Location": f"{server.url}/3"}, b"")
    server.answers["/3"] = (200, {}, b"here")
    assert error(await desk.run(http(), {"url": f"{server.url}/1"})).status == 302
    assert error(await desk.run(http(redirects=1), {"url": f"{server.url}/1"})).status == 307
    assert value(await desk.run(http(redirects=2), {"url": f"{server.url}/1"}))["body"] == "here"


async def test_headers_do_not_follow_a_redirect_to_another_server(desk: Desk, server: Server) -> None:
    """Whatever carries a token was meant for the first server."""
    async with serving() as other:
        server.answers["/1"] = (307, {"Location": f"{other.url}/2"}, b"")
        server.answers["/same"] = (307, {"Location": "/2"}, b"")
        other.answers["/2"] = server.answers["/2"] = (200, {}, b"")
        headers = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "Accept": "text/csv"}
        for path in ("/1", "/same"):
            await desk.run(http(redirects=1), {"url": f"{server.url}{path}", "headers": headers})
        seen = other.asked[0][2]
        assert "hunter2" not in str(seen)
        assert seen["accept"] == "text/csv"
        assert server.asked[-1][2]["x-api-key"] == "hunter2"


async def test_secrets_are_filled_in_and_taken_out(tmp_path: Path, server: Server) -> None:
    """faults 72."""
    canary = "c4n-ary/p@ss wörd"
    secrets = Secrets([EnvironmentSecrets({"HEADRACE_SECRET_REPORTS": canary})])
    async with opened(tmp_path, secrets=secrets) as desk:
        server.answers["/echo"] = (200, {"X-Echo": "c4n-ary/p@ss w"}, canary.encode())
        inputs = {"url": f"{server.url}/echo", "query": {"key": None}, "headers": {"X-Token": None}}
        holes = [
            Hole(["query", "key"], [{"secret": "reports"}]),
            Hole(["headers", "X-Token"], ["t ", {"secret": "reports"}]),
        ]
        report = await desk.run(http(), inputs, holes=holes)
        assert "c4n-ary" in server.asked[0][1]
        assert value(report)["body"] == "***"
        server.answers["/echo"] = (500, {}, f"no: {canary}".encode())
        problem = error(await desk.run(http(), inputs, holes=holes))
        assert "c4n" not in problem.message
        assert (await desk.log())[-1] == "no: ***"
        missing = error(await desk.run(http(), inputs, holes=[Hole(["query", "key"], [{"secret": "other"}])]))
        assert (missing.reason, missing.retryable) == ("secret_not_found", False)
        assert "HEADRACE_SECRET_OTHER" in missing.message


# what must not be reached ------------------------------------------------------------------------------------------
FORMS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7F.0x0.0x0.0x1", "0177.0.0.1",
    "017700000001", "127.255.255.254", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "%31%32%37.0.0.1",
    "127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::1]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
    "[100::1]", "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]", "169.254.170.2", "100.100.100.200", "100.64.0.1", "168.63.129.16", "192.0.0.192",
    "10.0.0.1", "10.255.255.255", "167772161", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "3232235521", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.0.2.1", "192.88.99.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255", "[2001:db8::1]", "[2001:10::1]",
]  # fmt: skip
URLS = [f"http://{form}:{{port}}/" for form in FORMS] + [
    *(f"https://{form}:{{port}}/" for form in FORMS[:24]),
    "http://user:pass@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/",
    "HTTP://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "ldap://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "ws://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}!/",
    "data:text/plain,hello",
    "//127.0.0.1:{port}/",
    "http:///etc/passwd",
    "/etc/passwd",
]


async def test_the_corpus_of_forbidden_addresses(tmp_path: Path, server: Server) -> None:
    assert len(URLS) >= 100
    server.answers["/"] = (200, {}, b"reached")
    async with opened(tmp_path, http_policy=HttpPolicy()) as desk:
        # one after the other: in a line, what waits behind a slow name server would be handed back
        for url in URLS:
            problem = error(await desk.run(http(), {"url": url.replace("{port}", str(server.port))}))
            # what is refused before it is an address at all (a host with a scope, an odd scheme) never was one
            assert (
                problem.reason in ("address_refused", "invalid_input")
                or "cannot be resolved" in problem.message
            ), (
                url,
                problem,
            )
    assert server.connections == 0


async def test_each_redirect_is_checked(tmp_path: Path, server: Server) -> None:
    """The first address is allowed by name; where it points to is not."""
    async with opened(tmp_path, http_policy=HttpPolicy(["localhost"])) as desk:
        for target in (f"http://127.0.0.1:{server.port}/2", "file:///etc/passwd", "gopher://localhost/"):
            server.answers["/1"] = (302, {"Location": target}, b"")
            before = len(server.asked)
            report = await desk.run(http(redirects=3), {"url": f"http://localhost:{server.port}/1"})
            assert error(report).reason == "address_refused"
            assert [path for _, path, _, _ in server.asked[before:]] == ["/1"]


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the second answer of the name server never counts."""
    answers = iter([("93.184.216.34",), ("127.0.0.1",)])
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in next(answers)]

    connected: list[str] = []

    async def create_connection(self: Any, *arguments: Any, **more: Any) -> Any:
        connected.append(str(arguments[1] if len(arguments) > 1 else more.get("host")))
        raise OSError("no way out of here")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    async with opened(tmp_path, http_policy=HttpPolicy()) as desk:
        problem = error(await desk.run(http(), {"url": "http://rebind.example/"}))
        assert problem.kind == "http"
        assert (asked, connected) == (["rebind.example"], ["93.184.216.34"])
        assert error(await desk.run(http(), {"url": "http://rebind.example/"})).reason == "address_refused"
        assert connected == ["93.184.216.34"]
