"""How long runs stand still when an engine is killed: python -m bench.kill [--quick]

Two engines share runs of a hundred tasks each that take 50 ms, on one worker; one engine is ended by kill -9. What is measured, from that
moment on: until the other has dispatched the first task of a part that it took over, until every run of those parts has moved
again, and that no task was executed twice. Then the last engine is killed too and started anew. Servers: see bench/cluster.py.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from bench import workloads
from bench.cluster import Cluster, Process, Servers, servers
from bench.say import say

WIDTH = 100
SLOTS = "200"
LOOK_SECONDS, WITHIN_SECONDS = 0.01, 60.0

_EPOCHS = "SELECT part, epoch FROM parts WHERE owner = $1"
_LIVE = "SELECT no FROM runs WHERE part = ANY($1::int[]) AND finished_at IS NULL"
_FIRST = """
SELECT min(t.started_at) FROM task_runs t JOIN runs r ON r.no = t.run
JOIN unnest($1::int[], $2::bigint[]) AS old(part, epoch) ON old.part = r.part
WHERE t.epoch > old.epoch AND t.started_at IS NOT NULL"""
_MOVED = """
SELECT max(first) FROM (
    SELECT min(t.started_at) AS first FROM task_runs t WHERE t.run = ANY($1::bigint[]) AND t.started_at > $2 GROUP BY t.run
) AS moved HAVING count(*) >= (SELECT count(*) FROM runs WHERE no = ANY($1::bigint[]) AND (finished_at IS NULL OR finished_at > $2))"""
_AGAIN = "SELECT count(*) FROM task_runs WHERE attempt > 1"


async def main(arguments: list[str]) -> None:
    quick = "--quick" in arguments
    async with servers() as where:
        found = [await killed(where, 100 if quick else 1_000) for _ in range(1 if quick else 3)]
    for name in found[0]:
        taken = [each[name] for each in found]
        say(
            measure="kill",
            of=name,
            task_runs=(100 if quick else 1_000) * WIDTH,
            median=statistics.median(taken),
            worst=max(taken),
        )


async def killed(where: Servers, runs: int) -> dict[str, float]:
    """Seconds, by what was waited for; and how many attempts were repeated."""
    async with Cluster(where) as cluster:
        first, second = await cluster.engine("e1"), await cluster.engine("e2")
        await cluster.worker("w1", "--concurrency", SLOTS)
        await cluster.owned(first, second)
        await cluster.run(await cluster.register(workloads.fan(100)), 5)
        await cluster.create(await cluster.register(workloads.chain(WIDTH, "nap")), runs)
        await asyncio.sleep(2.0)
        one = await _taken_over(cluster, first)
        alone = await _taken_over(cluster, second, again="e3")
        return {
            "one of two: dispatching again, s": one[0],
            "one of two: all its runs moved again, s": one[1],
            "the only one, started again: dispatching, s": alone[0],
            "the only one, started again: all its runs moved again, s": alone[1],
            "attempts that had to be repeated": float(await cluster.look(_AGAIN)),
        }


async def _taken_over(cluster: Cluster, engine: Process, *, again: str | None = None) -> tuple[float, float]:
    """Kill the engine, and start `again`. Seconds until what it owned is dispatched again, and until all of that has moved."""
    owned = await cluster.db.fetch(_EPOCHS, engine.name)
    parts, epochs = [row[0] for row in owned], [row[1] for row in owned]
    live = [row[0] for row in await cluster.db.fetch(_LIVE, parts)]
    began = time.time()
    await engine.end(signal.SIGKILL)
    if again is not None:
        await cluster.engine(again)
    dispatched = await _until(cluster, _FIRST, parts, epochs)
    moved = await _until(cluster, _MOVED, live, dispatched)
    return dispatched - began, moved - began


async def _until(cluster: Cluster, query: str, *arguments: Sequence[Any] | float) -> float:
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            found = await cluster.look(query, *arguments)
            if found is not None:
                return float(found)
            await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
