"""Clients that are slow, many, large or no clients at all, on raw sockets: each is bounded, and the others are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from headrace.api.connections import Bounds
from headrace.api.server import Server, listen
from tests.support.api import Api, opened
from tests.support.waiting import PATIENCE

SHORT = Bounds(
    head_seconds=0.3, body_seconds=0.3, idle_seconds=1.0, head_bytes=8192, headers=50, connections=4
)
LONG = Bounds()


class Line:
    """One connection. What it reads ends when the server has closed it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer with a length."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body


class Served:
    """An API on a socket of this process."""

    def __init__(self, api: Api, server: Server, port: int) -> None:
        self.api, self.server, self.port = api, server, port
        self._lines: list[Line] = []

    async def line(self) -> Line:
        made = Line(*await asyncio.open_connection("127.0.0.1", self.port))
        self._lines.append(made)
        return made

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        line = await self.line()
        await line.send(data)
        return await line.answer()

    def close(self) -> None:
        for line in self._lines:
            line.writer.close()


@asynccontextmanager
async def served(tmp_path: Path, bounds: Bounds) -> AsyncIterator[Served]:
    async with opened(tmp_path) as api:
        listening = listen("127.0.0.1", 0)
        server = Server(api.app, bounds)
        serving = asyncio.create_task(server.serve([listening]))
        await server.answers.wait()
        made = Served(api, server, listening.getsockname()[1])
        try:
            yield made
        finally:
            made.close()
            server.end()
            async with asyncio.timeout(PATIENCE):
                await serving


@pytest.fixture
async def short(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, SHORT) as made:
        yield made


@pytest.fixture
async def usual(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, LONG) as made:
        yield made


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode("latin-1")


ALIVE = head("GET", "/health/live")
START = "/api/v1/workflows/x/runs"


def problem(body: bytes) -> Any:
    return json.loads(body)["code"]


async def test_a_head_that_does_not_end_is_not_waited_for(short: Served) -> None:
    line = await short.line()
    await line.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: 1")
    status, headers, body = await line.answer()
    assert (status, problem(body), headers["connection"]) == (408, "too_slow", "close")
    assert await line.rest() == b""


async def test_bytes_that_trickle_in_do_not_extend_the_time(short: Served) -> None:
    line = await short.line()
    answered = asyncio.create_task(line.rest())
    sent = 0
    while not answered.done():
        await line.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" if sent == 0 else b"X: 1\r\n")
        sent += 1
        await asyncio.wait((answered,), timeout=0.05)
        assert sent < 1_000
    with suppress(ConnectionResetError):  # bytes that cross the answer end the connection before it is read
        assert (await answered).startswith(b"HTTP/1.1 408 ")


async def test_who_says_nothing_is_closed_without_a_word(short: Served) -> None:
    assert await (await short.line()).rest() == b""


async def test_a_body_that_stays_away_is_not_waited_for(short: Served) -> None:
    line = await short.line()
    await line.send(head("POST", START, "Content-Type: application/json", "Content-Length: 100") + b"{")
    assert await line.rest() == b""
    assert (await short.ask(ALIVE))[0] == 200


async def test_a_connection_is_kept_for_another_request_and_not_for_ever(short: Served) -> None:
    line = await short.line()
    for _ in range(3):
        await line.send(ALIVE)
        assert (await line.answer())[0] == 200
    await line.send(ALIVE[:20])
    assert (await line.answer())[0] == 408


async def test_pipelined_requests_are_answered_in_order(short: Served) -> None:
    line = await short.line()
    await line.send(ALIVE + head("GET", "/nowhere") + ALIVE)
    assert [(await line.answer())[0] for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize(
    "lines", [["X: " + "a" * 20_000], [f"X-{n}: 1" for n in range(200)], ["X-" + "a" * 9_000 + ": 1"]]
)
async def test_a_head_has_so_many_bytes_and_headers(short: Served, lines: list[str]) -> None:
    line = await short.line()
    await line.send(head("GET", "/health/live", *lines))
    status, _, body = await line.answer()
    assert (status, problem(body)) == (431, "head_too_large")
    assert await line.rest() == b""


async def test_an_endless_header_is_not_remembered(short: Served) -> None:
    line = await short.line()

    async def endless() -> None:
        await line.send(b"GET / HTTP/1.1\r\nX: ")
        while True:
            await line.send(b"a" * 4096)
            await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionError):
            await endless()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ],
)
async def test_what_is_no_request_gets_a_problem(usual: Served, data: bytes) -> None:
    status, headers, body = await usual.ask(data)
    assert (status, problem(body)) == (400, "bad_request")
    assert headers["content-type"] == "application/problem+json"
    assert "server" not in headers


async def test_who_was_idle_longest_makes_room(tmp_path: Path) -> None:
    bounds = Bounds(connections=4)
    async with served(tmp_path, bounds) as made:
        idle = [await made.line() for _ in range(4)]
        await idle[3].send(ALIVE)  # all four have been taken in
        assert (await idle[3].answer())[0] == 200
        another = await made.line()
        await another.send(ALIVE)
        assert (await another.answer())[0] == 200
        assert await idle[0].rest() == b""
        await idle[3].send(ALIVE)
        assert (await idle[3].answer())[0] == 200


async def test_nobody_with_a_request_under_way_makes_room(tmp_path: Path) -> None:
    async with served(tmp_path, Bounds(connections=2)) as made:
        await made.api.register("workflow: long\ntasks:\n  rest: {sleep: 1h}\n")
        run = await made.api.start("long")
        waiting = [await made.line() for _ in range(2)]
        for line in waiting:
            await line.send(head("GET", f"/api/v1/runs/{run}?wait=60s"))
        looks = 0
        while len(made.server.server_state.tasks) < 2:
            looks += 1
            await made.api.get("/health")
            assert looks < 100_000, "the requests never came"
        line = await made.line()
        status, headers, body = await line.answer()
        assert (status, problem(body)) == (503, "busy")
        assert headers["retry-after"] == "1"
        assert (await made.api("POST", f"/runs/{run}/cancel")).status_code == 202
        for line in waiting:
            assert (await line.answer())[0] == 200


async def test_a_body_is_counted_whatever_its_head_says(usual: Served) -> None:
    line = await usual.line()
    await line.send(head("POST", START, "Content-Type: application/json", "Transfer-Encoding: chunked"))
    piece = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    for _ in range(40):
        await line.send(piece)
    await line.send(b"0\r\n\r\n")
    status, headers, body = await line.answer()
    assert (status, problem(body), headers["connection"]) == (413, "too_large", "close")


async def test_a_body_that_announces_too_much_is_refused(usual: Served) -> None:
    waits = await usual.ask(
        head(
            "POST", START, "Content-Type: application/json", "Content-Length: 2000000", "Expect: 100-continue"
        )
    )
    assert (waits[0], problem(waits[2])) == (413, "too_large")
    line = await usual.line()
    await line.send(head("POST", START, "Content-Type: application/json", "Content-Length: 2000000"))
    await line.send(b" " * 2_000_000)
    assert (await line.answer())[0] == 413


async def test_a_workflow_may_be_larger(usual: Served) -> None:
    text = b"workflow: big\ntasks:\n  a: {noop: {}}\n#" + b"x" * 2_000_000
    kind = "Content-Type: application/yaml"
    line = await usual.line()
    await line.send(head("POST", "/api/v1/workflows", kind, f"Content-Length: {len(text)}") + text)
    assert (await line.answer())[0] == 201
    too_much = await usual.ask(
        head("POST", "/api/v1/workflows", kind, f"Content-Length: {9 << 20}", "Expect: 100-continue")
    )
    assert too_much[0] == 413


async def test_what_comes_compressed_is_not_opened(usual: Served) -> None:
    status, _, body = await usual.ask(
        head("POST", START, "Content-Type: application/json", "Content-Encoding: gzip", "Content-Length: 4")
        + b"\x1f\x8b\0\0"
    )
    assert (status, problem(body)) == (415, "unsupported_encoding")


async def test_who_may_not_call_has_nothing_read(usual: Served) -> None:
    """The answer comes though not one byte of the body has."""
    said = head("POST", START, "X-Role: nobody", "Content-Type: application/json", "Content-Length: 1000000")
    assert (await usual.ask(said))[0] == 401
