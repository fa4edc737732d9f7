"""The full mode beside the bare loop: python -m bench.full [--quick] [--async] [--workers N]

One engine and one worker (or several) on real Kafka and PostgreSQL, and the bare loop on the same servers, take turns, so that both meet
the same disturbances; what is printed is the median of the ratios, one JSON object a line. `ratio` is ours over bare:
higher is better for rates, lower for hops and growth. Servers: see bench/cluster.py.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import NamedTuple

import uvloop

from bench import workloads
from bench.bare_kafka import BareKafka
from bench.cluster import Cluster, Servers, Workload, fresh_database, servers
from bench.relay import Relay
from bench.say import say
from headrace.engine.core.workflow import Workflow

RUNS = 200
"""How many diamonds are triggered at once."""

BARE_TASKS, BARE_HOPS = 10_000, 200
CHAINS = 3
"""Chains in one measure of hops."""

WAITING, MANY_WAITING = 1_000, 100_000
IDLE_SECONDS = 10.0
STATISTICS_SECONDS = 11.0
"""After so long without a statement a server's process has told the statistics about its last one."""

_STARTS = "SELECT started_at FROM task_runs WHERE run = $1 ORDER BY started_at"
_COMMITS = "SELECT sum(seq) FROM parts"
"""Each commit counts in the parts that it wrote; a single run has one part."""

_WAITING = "SELECT count(*) FROM task_runs WHERE finished_at IS NULL"
_HOT = """
SELECT relname, n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables
WHERE relname IN ('task_runs', 'runs', 'parts') ORDER BY relname"""


class Measured(NamedTuple):
    """Ours, the bare loop's, and the ratio of the two."""

    ours: float
    bare: float
    ratio: float


async def main(arguments: list[str]) -> None:
    function = "anoop" if "--async" in arguments else "noop"
    quick = "--quick" in arguments
    workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
    say(measure="machine", cores=os.cpu_count(), scheduling=_scheduling(), engines=1, workers=workers)
    async with servers() as where:
        await speed(where, function, workers, quick=quick)
        if function == "noop" and workers == 1:
            await costs(where, 10_000 if quick else 100_000)
            await idle(where, WAITING if quick else MANY_WAITING)


async def speed(where: Servers, function: str, workers: int, *, quick: bool) -> None:
    """Rates, hops and growth."""
    async with (
        fresh_database(where.database) as beside,
        BareKafka(where.kafka, beside) as bare,
        Cluster(where) as cluster,
    ):
        await cluster.owned(await cluster.engine("e1"))
        for number in range(workers):
            await cluster.worker(f"w{number}")
        setting = Setting(cluster, bare, function, workers)
        await cluster.run(await cluster.register(workloads.fan(1_000, function)), 3)  # warm-up
        await setting.hops(workloads.chain(100, function), 3 if quick else 7)
        repeats = 3 if quick else 9
        small = await setting.rate(workloads.fan(1_000, function), 1, repeats)
        await setting.rate(workloads.diamond(function), RUNS, repeats)
        await setting.rate(workloads.layers(10, 20, function), 1, repeats)
        many = BARE_TASKS if quick else 100_000
        if not quick:
            await setting.rate(
                workloads.fan(BARE_TASKS, function), 1, 3
            )  # as many tasks as the bare loop has
        large = await setting.rate(workloads.fan(many, function), 1, 3)
        # Each beside the bare loop of its own moment: what disturbs both drops out.
        say(measure="growth", function=function, small=1_000, large=many, ratio=small.ratio / large.ratio)


class Setting(NamedTuple):
    """What takes turns, and on what."""

    cluster: Cluster
    bare: BareKafka
    function: str
    workers: int

    async def rate(self, workflow: Workflow, runs: int, repeats: int) -> Measured:
        """Tasks per second from the moment the runs are asked for until the last is seen to be final."""
        workload = await self.cluster.register(workflow)
        tasks = workload.tasks * runs

        async def once() -> Measured:
            beside = (await self.bare.measure(max(BARE_TASKS, tasks // 5), 1)).tasks_per_s
            ours = tasks / await self.cluster.run(workload, runs)
            return Measured(ours, beside, ours / beside)

        found = await _median(once, repeats)
        name = f"{workflow.name}{f' x {runs}' if runs > 1 else ''}"
        self._say("rate", name, tasks=tasks, tasks_per_s=found.ours, bare=found.bare, ratio=found.ratio)
        return found

    async def hops(self, workflow: Workflow, repeats: int) -> None:
        """Milliseconds from one task's start to the next one's, as the worker's clock tells them; of the bare loop, from one
        task's publishing to the next one's."""
        workload = await self.cluster.register(workflow)
        tails: list[Measured] = []

        async def once() -> Measured:
            beside = await self.bare.measure(1, BARE_HOPS)
            gaps = sorted(await self._gaps(workload))
            p50, p99 = statistics.median(gaps), gaps[int(len(gaps) * 0.99)]
            tails.append(Measured(p99, beside.hop_ms_p99, p99 / beside.hop_ms_p99))
            return Measured(p50, beside.hop_ms_p50, p50 / beside.hop_ms_p50)

        for what, found in (("p50", await _median(once, repeats)), ("p99", _medians(tails))):
            self._say("hop", workflow.name, of=what, ms=found.ours, bare=found.bare, ratio=found.ratio)

    async def _gaps(self, workload: Workload) -> list[float]:
        gaps = []
        for _ in range(CHAINS):
            await self.cluster.run(workload)
            last = await self.cluster.look("SELECT max(no) FROM runs")
            starts = [row[0] for row in await self.cluster.db.fetch(_STARTS, last)]
            gaps += [(after - before) * 1e3 for before, after in pairwise(starts)]
        return gaps

    def _say(self, measure: str, workload: str, **figures: object) -> None:
        say(measure=measure, workload=workload, function=self.function, workers=self.workers, **figures)


async def costs(where: Servers, width: int) -> None:
    """Commits, round trips and in-place updates of one fan under load."""
    async with Cluster(where) as cluster, Relay(cluster.url) as relay:
        await cluster.owned(await cluster.engine("e1", url=relay.url))
        await cluster.worker("w1")
        await cluster.run(await cluster.register(workloads.fan(1_000)), 2)
        workload = await cluster.register(workloads.fan(width))
        commits, hot = await _statistics(cluster)
        trips = relay.trips
        await cluster.run(workload)
        trips = relay.trips - trips
        ended, hot_ended = await _statistics(cluster)
        say(
            measure="costs",
            workload=workload.plan.workflow.name,
            commits_per_task=(ended - commits) / workload.tasks,
            round_trips_per_task=trips / workload.tasks,
            hot_updates={
                table: _share(hot_ended[table][1] - hot[table][1], hot_ended[table][0] - hot[table][0])
                for table in hot
            },
        )


async def _statistics(cluster: Cluster) -> tuple[int, dict[str, tuple[int, int]]]:
    await asyncio.sleep(STATISTICS_SECONDS)
    hot = {name: (updated, in_place) for name, updated, in_place in await cluster.db.fetch(_HOT)}
    return int(await cluster.db.fetchval(_COMMITS)), hot


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


async def idle(where: Servers, runs: int) -> None:
    """What engine and worker use while nothing happens: without runs, and with many that wait for an hour."""
    async with Cluster(where) as cluster:
        engine, worker = await cluster.engine("e1"), await cluster.worker("w1")
        await cluster.owned(engine)
        await cluster.run(await cluster.register(workloads.fan(1_000)))
        workload = await cluster.register(workloads.sleeper())
        for waiting in (0, runs):
            await cluster.create(workload, waiting)
            while await cluster.look(_WAITING) < waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            await asyncio.sleep(2.0)
            before = engine.cpu_seconds(), worker.cpu_seconds()
            await asyncio.sleep(IDLE_SECONDS)
            say(
                measure="idle",
                waiting_runs=waiting,
                engine_share_of_a_core=(engine.cpu_seconds() - before[0]) / IDLE_SECONDS,
                worker_share_of_a_core=(worker.cpu_seconds() - before[1]) / IDLE_SECONDS,
            )


async def _median(once: Callable[[], Awaitable[Measured]], repeats: int) -> Measured:
    return _medians([await once() for _ in range(repeats)])


def _medians(taken: list[Measured]) -> Measured:
    """Of each figure its own median."""
    return Measured(*(statistics.median(figures) for figures in zip(*taken, strict=True)))


def _scheduling() -> str:
    names: dict[int, str] = {os.SCHED_FIFO: "fifo", os.SCHED_RR: "rr", os.SCHED_OTHER: "other"}
    return names.get(os.sched_getscheduler(0), "another")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
