"""The HTTP API on an embedded home, over a real socket: python -m bench.api [--quick]

How long a page of the dependency state of a 10,000-task run takes, while the run waits and while it moves, and how many
look-ups of a run's status are answered a second. Clients are processes of their own; what they cost of a core is told
beside each figure, because on a small machine they take from the server what they use. JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.say import say

ROOT = "/api/v1"
TASKS = 10_000
CLIENTS = 3
"""Processes that ask for a status at once."""
TOGETHER = 8
"""Connections of each of them."""
SECONDS, QUICK_SECONDS = 10.0, 3.0


class Served(NamedTuple):
    """A server process and the runs on it. `waits`: half of its tasks have ended, half wait; `over`: all have ended."""

    pid: int
    address: str
    waits: str
    over: str


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--serve"]:
        from headrace.api.server import run_on_uvloop

        run_on_uvloop(serve(Path(arguments[1])))
        return 0
    if arguments[:1] == ["--ask"]:
        asyncio.run(ask(arguments[1], arguments[2], float(arguments[3])))
        return 0
    quick = "--quick" in arguments
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as served:
        for name, run in (("waits", served.waits), ("over", served.over)):
            for limit in (50, 500):
                pages(served, f"tasks ({name})", f"/runs/{run}/tasks?limit={limit}", 20 if quick else 100)
        pages(served, "why", f"/runs/{served.waits}/why?limit=50", 20 if quick else 100)
        first_looks(served, 3 if quick else 10)
        lookups(served, QUICK_SECONDS if quick else SECONDS)
    return 0


# -- measured ------------------------------------------------------------------------------------------------------


def pages(served: Served, what: str, path: str, count: int) -> None:
    """Milliseconds of one page after the other through the whole list, again and again."""
    connection = _connection(served.address)
    taken: list[float] = []
    began, used = time.perf_counter(), (_cpu(served.pid), time.process_time())
    cursor: str | None = None
    size = 0
    while len(taken) < count:
        asked = time.perf_counter()
        body = _get(connection, path + (f"&cursor={cursor}" if cursor else ""))
        taken.append((time.perf_counter() - asked) * 1e3)
        size = max(size, len(body))
        cursor = json.loads(body)["next"]
    wall = time.perf_counter() - began
    taken.sort()
    say(
        measure="page",
        of=what,
        path=path.rpartition("/")[2],
        tasks=TASKS,
        bytes=size,
        ms_p50=statistics.median(taken),
        ms_p95=taken[int(len(taken) * 0.95)],
        server_cores=(_cpu(served.pid) - used[0]) / wall,
        driver_cores=(time.process_time() - used[1]) / wall,
    )


def first_looks(served: Served, count: int) -> None:
    """Milliseconds of a page when nobody has looked since the run moved: it is read and laid out anew."""
    connection = _connection(served.address)
    path = f"/runs/{served.waits}"
    taken = []
    for number in range(count):
        _post(connection, f"{path}/{'pause' if number % 2 == 0 else 'resume'}?wait=10s")
        time.sleep(1.0)  # a page as of a moment ago would do for a run that moves all the time
        asked = time.perf_counter()
        _get(connection, f"{path}/tasks?limit=50")
        taken.append((time.perf_counter() - asked) * 1e3)
    say(measure="first page", of="tasks", tasks=TASKS, ms_p50=statistics.median(taken), ms_max=max(taken))


def lookups(served: Served, seconds: float) -> None:
    """Status look-ups a second, by several processes at once."""
    path = f"{ROOT}/runs/{served.waits}/status"
    words = (sys.executable, "-m", "bench.api", "--ask", served.address, path, str(seconds))
    used = _cpu(served.pid)
    began = time.perf_counter()
    asking = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)]
    told = [json.loads(process.communicate()[0]) for process in asking]
    wall = time.perf_counter() - began
    waits = sorted(one for each in told for one in each["ms"])
    say(
        measure="status look-ups",
        clients=CLIENTS,
        connections=CLIENTS * TOGETHER,
        per_s=sum(each["answers"] / each["seconds"] for each in told),
        ms_p50=waits[len(waits) // 2],
        ms_p99=waits[int(len(waits) * 0.99)],
        server_cores=(_cpu(served.pid) - used) / wall,
        driver_cores=sum(each["cpu"] for each in told) / wall,
    )


async def ask(address: str, path: str, seconds: float) -> None:
    """One client process: the same question again and again on several connections, as cheaply as a client can."""
    parts = urlsplit(address)
    question = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    until = time.perf_counter() + seconds
    waits: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (asked := time.perf_counter()) < until:
            writer.write(question)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            waits.append((time.perf_counter() - asked) * 1e3)
        writer.close()

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(TOGETHER)))
    wall = time.perf_counter() - began
    some = waits[:: max(1, len(waits) // 10_000)]
    print(json.dumps({"answers": len(waits), "seconds": wall, "cpu": time.process_time() - used, "ms": some}))


# -- served --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    """A server process over a new home with its two runs."""
    process = subprocess.Popen(
        (sys.executable, "-m", "bench.api", "--serve", str(home)), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the server did not start")
        told = json.loads(line)
        yield Served(process.pid, told["address"], told["waits"], told["over"])
    finally:
        process.terminate()
        process.wait()


async def serve(home: Path) -> None:
    """The embedded engine and the application, until the process is told to end."""
    from bench import workloads
    from headrace.api.access.opening import make_gate
    from headrace.api.app import create_app
    from headrace.api.opening import open_embedded
    from headrace.api.server import Server, address_of, listen
    from headrace.engine.core.planning import build_plan

    trigger = {"kind": "manual", "by": "bench"}
    async with open_embedded(home, folder=Path(__file__).parent.parent) as (office, embedded):
        over = await embedded.submit(
            build_plan(workloads.fan(TASKS))[0], {}, trigger=trigger, folder=office.folder
        )
        await embedded.wait(over)
        ended = 0
        waits = await embedded.submit(
            build_plan(workloads.half(TASKS))[0], {}, trigger=trigger, folder=office.folder
        )
        async for change in embedded.watch(waits):
            ended += change.after == "succeeded"
            if ended == TASKS // 2:
                break
        socket_: socket.socket = listen("127.0.0.1", 0)
        server = Server(create_app(office, make_gate(office, host="127.0.0.1", authenticate=False)))
        told = {"address": address_of(socket_), "waits": waits.id, "over": over.id}
        print(json.dumps(told), flush=True)
        await server.serve([socket_])


def _connection(address: str) -> HTTPConnection:
    parts = urlsplit(address)
    return HTTPConnection(parts.hostname or "", parts.port)


def _get(connection: HTTPConnection, path: str) -> bytes:
    return _answer(connection, "GET", path)


def _post(connection: HTTPConnection, path: str) -> bytes:
    return _answer(connection, "POST", path)


def _answer(connection: HTTPConnection, method: str, path: str) -> bytes:
    connection.request(method, ROOT + path)
    answer: Any = connection.getresponse()
    body: bytes = answer.read()
    if answer.status not in (200, 202):
        raise RuntimeError(f"{method} {path}: {answer.status} {body.decode()}")
    return body


def _cpu(pid: int) -> float:
    """Seconds of a processor that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
