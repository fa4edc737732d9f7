"""Runs that wait, on real Kafka and PostgreSQL: python -m bench.waking [--quick]

What an engine uses while many wait for a signal, and how long it takes until 10,000 of them that are woken at one moment have ended:
by one signal, and by the clock. One JSON object a line; a run that is not woken fails the measure.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

import uvloop

from bench.cluster import Cluster, Workload, servers
from bench.say import say
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Signal, Sleep, Task, Workflow
from headrace.engine.ports.store import Store
from headrace.engine.ports.waits import NewSignal

MANY, FEW = (100_000, 10_000), (2_000, 500)
IDLE_SECONDS = 20.0
WITHIN = 300.0

_WAITING = "SELECT count(*) FROM task_runs WHERE finished_at IS NULL"
_UNFINISHED = "SELECT count(*) FROM runs WHERE no > $1 AND finished_at IS NULL"
_WELL = "SELECT count(*) FROM runs WHERE no > $1 AND state = $2"


async def main(arguments: list[str]) -> None:
    many, woken = FEW if "--quick" in arguments else MANY
    async with servers() as where, Cluster(where) as cluster:
        engine = await cluster.engine("e1")
        await cluster.owned(engine)
        await wait(cluster, _listening("never"), many - woken, many - woken)
        after = await wait(cluster, _listening("go"), woken, many)
        before = engine.cpu_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        share = (engine.cpu_seconds() - before) / IDLE_SECONDS
        say(measure="waiting", runs=many, engine_share_of_a_core=share)
        before, began = engine.cpu_seconds(), time.perf_counter()
        await send(cluster)
        sent = time.perf_counter() - began
        await ended(cluster, after, woken)
        seconds, cpu = time.perf_counter() - began, engine.cpu_seconds() - before
        say(measure="woken", by="signal", runs=woken, sent_s=sent, seconds=seconds, engine_cpu_s=cpu)
        due = time.time() + max(10.0, woken / 500)
        after = await wait(cluster, _sleeping(due), woken, many)
        if time.time() > due:
            raise RuntimeError("they were due before the last of them slept")
        before = engine.cpu_seconds()
        await asyncio.sleep(max(0.0, due - time.time()))
        await ended(cluster, after, woken)
        cpu = engine.cpu_seconds() - before
        say(measure="woken", by="clock", runs=woken, seconds=time.time() - due, engine_cpu_s=cpu)


def _listening(name: str) -> Workflow:
    return Workflow(f"listens-to-{name}", (Task("wait", Signal(name)),))


def _sleeping(until: float) -> Workflow:
    moment = datetime.fromtimestamp(until, UTC).isoformat()
    return Workflow("sleeps", (Task("wait", Sleep(until=moment)),))


async def wait(cluster: Cluster, workflow: Workflow, runs: int, waiting: int) -> int:
    """Begin so many runs, until so many task runs wait in all; a number that all of theirs are above."""
    workload: Workload = await cluster.register(workflow)
    after = await cluster.create(workload, runs)
    async with asyncio.timeout(WITHIN):
        while await cluster.look(_WAITING) < waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return after


async def send(cluster: Cluster) -> None:
    """As the API does it."""
    store: Store = cluster.store
    sent = await store.send_signal(NewSignal("default", "go", None, b'{"go":true}', "bench"))
    cluster.nudge(await store.deliver(sent.id))


async def ended(cluster: Cluster, after: int, runs: int) -> None:
    """Until all have; raises RuntimeError unless each has succeeded."""
    async with asyncio.timeout(WITHIN):
        while await cluster.look(_UNFINISHED, after):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    well = await cluster.look(_WELL, after, int(RunState.SUCCEEDED))
    if well != runs:
        raise RuntimeError(f"{well} of {runs} runs have succeeded")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
