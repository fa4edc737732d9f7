"""A thousand clients follow one run of a cluster: python -m bench.live [--quick] [--clients N]

The run moves about ten times a second. What is told: whether every client got every event once (or a gap that says so), what a
client costs the API process in memory and CPU, and how many no-op tasks a second the engine gets through with the clients and
without, and with job-events and without. The clients are one process of their own, whose CPU is told too: on a small machine it takes what it
uses from the others. Servers: see bench/cluster.py; Redis is a lab's. JSON lines.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench import workloads
from bench.cluster import Cluster, Process, Servers, Workload, servers
from bench.say import say
from headrace.dsl.source import plan, read_text
from headrace.engine.core.states import RunState
from headrace.engine.shell import history
from headrace.engine.shell.views import Changes
from headrace.lab import Lab

CLIENTS, QUICK_CLIENTS = 1_000, 200
ITEMS, QUICK_ITEMS = 100, 30
"""Of the run that is followed: about 0.3 s and three moves each."""
TURNS = 9
"""Measures of the rate, of which the median is told."""

STEADY = """\
workflow: steady
tasks:
  step: {{python: "bench.noops:pause", map: {items}, max_parallel: 1}}
"""
_EVENT = re.compile(rb"event: (\w+)\n(?:id: ([\w.]+)\n)?")


class Listener(asyncio.Protocol):
    """One client: it keeps a digest of the ids that it got, and how many."""

    def __init__(self, request: bytes, ended: asyncio.Event) -> None:
        self._request = request
        self._ended = ended
        self._text = b""
        self.ids = hashlib.sha256()
        self.moves = self.gaps = 0
        self.done = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        text = self._text + data
        cut = text.rfind(b"\n\n") + 2
        whole, self._text = text[:cut], text[cut:]
        for name, id in _EVENT.findall(whole):
            if name in (b"run", b"task"):
                self.moves += 1
                self.ids.update(id + b"\n")
            elif name == b"gap":
                self.gaps += 1
            elif name == b"end":
                self.done = True
                self._transport.close()

    def connection_lost(self, fault: Exception | None) -> None:
        self._ended.set()


async def listen(address: str, run: str, count: int) -> None:
    """The clients' process: prints `ready`, and in the end what each of them got."""
    parts = urlsplit(address)
    request = f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    ended = [asyncio.Event() for _ in range(count)]
    listeners = []
    for each in ended:
        _, listener = await loop.create_connection(
            lambda each=each: Listener(request, each),  # type: ignore[misc]
            parts.hostname or "",
            parts.port or 80,
        )
        listeners.append(listener)
    print("ready", flush=True)
    await asyncio.gather(*(each.wait() for each in ended))
    told: dict[str, int] = {}
    for listener in listeners:
        key = f"{listener.ids.hexdigest()} {listener.moves} {listener.gaps} {listener.done}"
        told[key] = told.get(key, 0) + 1
    used = os.times()
    print(json.dumps({"told": told, "cpu": used.user + used.system}), flush=True)


async def story(cluster: Cluster, no: int) -> tuple[str, int]:
    """The digest of the ids that the run's history makes, and how many there are."""
    row = await cluster.store.run(no)
    assert row is not None
    document = await cluster.store.plan(row.plan)
    assert document is not None
    from headrace.engine.shell.plans import build

    changes, ids, count = Changes(build(document), RunState.QUEUED), hashlib.sha256(), 0
    for entry in await cluster.store.history(no):
        found = changes.recorded(history.decode(entry.body, history.NoContent()))
        count += len(found)
        for place in range(len(found)):
            ids.update(f"{entry.seq}.{place + 1}\n".encode())
    return ids.hexdigest(), count


def resident(process: Process) -> int:
    """Bytes of memory that it has now."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    found = re.search(r"Pss:\s+(\d+)", text)
    assert found is not None
    return int(found[1]) * 1024


async def rates(cluster: Cluster, fan: Workload) -> list[float]:
    return [fan.tasks / await cluster.run(fan) for _ in range(TURNS)]


async def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--listen"]:
        await listen(arguments[1], arguments[2], int(arguments[3]))
        return
    quick = "--quick" in arguments
    clients = QUICK_CLIENTS if quick else CLIENTS
    if "--clients" in arguments:
        clients = int(arguments[arguments.index("--clients") + 1])
    items = QUICK_ITEMS if quick else ITEMS
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        lab = Lab(Path(folder))
        (redis,) = await asyncio.to_thread(lab.up, ("valkey",))
        try:
            async with servers() as where:
                await announced(where)
                settings = {"HEADRACE_REDIS_URL": str(redis.address), "HEADRACE_STREAMS": "100000"}
                async with Cluster(where, **settings) as cluster:
                    await measure(cluster, clients, items)
        finally:
            await asyncio.to_thread(lab.down, ("valkey",), delete=True)


async def announced(where: Servers) -> None:
    """What job-events costs: two clusters, with it and without, take turns."""
    async with Cluster(where) as silent, Cluster(where, HEADRACE_EVENTS="true") as telling:
        fans = []
        for cluster in (silent, telling):
            await cluster.owned(await cluster.engine("e1"))
            await cluster.worker("w1")
            fans.append(await cluster.register(workloads.fan(1_000, "noop")))
            await cluster.run(fans[-1], 3)  # warm-up
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(TURNS):
            for cluster, fan, rate in zip((silent, telling), fans, found, strict=True):
                rate.append(fan.tasks / await cluster.run(fan))
    without, with_ = map(statistics.median, found)
    say(measure="job-events", without=without, with_events=with_, ratio=with_ / without)


async def measure(cluster: Cluster, clients: int, items: int) -> None:
    await cluster.owned(await cluster.engine("e1"))
    await cluster.worker("w1")
    api, address = await cluster.api("api")
    fan = await cluster.register(workloads.fan(1_000, "noop"))
    followed = plan(read_text(STEADY.format(items=list(range(items))), "steady.yaml")).plan
    steady = await cluster.register(followed.workflow)
    await cluster.run(fan, 3)  # warm-up
    alone = await rates(cluster, fan)
    before = await cluster.create(steady, 1)
    no = int(await cluster.look("SELECT max(no) FROM runs"))
    assert no > before
    run = str(await cluster.look("SELECT id FROM runs WHERE no = $1", no))
    unlistened = await rates(cluster, fan)  # the followed run moves, and nobody listens
    empty = resident(api)
    listening = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.live",
        "--listen",
        address,
        run,
        str(clients),
        stdout=asyncio.subprocess.PIPE,
    )
    assert listening.stdout is not None
    assert (await listening.stdout.readline()) == b"ready\n"
    await asyncio.sleep(1.0)
    used, at = api.cpu_seconds(), time.perf_counter()
    listened = await rates(cluster, fan)
    full = resident(api)
    used, seconds = api.cpu_seconds() - used, time.perf_counter() - at
    found = json.loads(await listening.stdout.readline())
    await listening.wait()
    digest, moves = await story(cluster, no)
    complete = found["told"].get(f"{digest} {moves} 0 True", 0)
    gapped = sum(count for key, count in found["told"].items() if key.split()[2] != "0")
    lasted = await cluster.look("SELECT finished_at - started_at FROM runs WHERE no = $1", no)
    say(
        measure="live",
        clients=clients,
        events=moves,
        events_a_second=moves / float(lasted),
        complete=complete,
        with_a_gap=gapped,
        neither=clients - complete - gapped,
        memory_kib_a_client=(full - empty) / clients / 1024,
        api_cpu=used / seconds,
        clients_cpu_seconds=float(found["cpu"]),
    )
    say(
        measure="live dispatch rate",
        clients=clients,
        alone=statistics.median(alone),
        moving=statistics.median(unlistened),
        listened=statistics.median(listened),
        ratio=statistics.median(listened) / statistics.median(unlistened),
    )
    if complete + gapped < clients:
        raise RuntimeError("some client missed an event and was not told")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
