"""What a soak asks for: runs of several kinds at a steady rate."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from bench import workloads
from bench.cluster import Cluster, Workload
from headrace.dsl.source import plan, read_text
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Workflow

_MAPPED = """\
workflow: mapped
tasks:
  list: {python: "bench.noops:noop"}
  each: {python: "bench.noops:noop", depends_on: [list], map: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], max_parallel: 5}
  last: {python: "bench.noops:noop", depends_on: [each]}
"""
_NAPPING = """\
workflow: napping
tasks:
  nap: {sleep: 2s}
  after: {python: "bench.noops:noop", depends_on: [nap]}
"""
_FAILING = """\
workflow: failing
tasks:
  fails: {python: "bench.noops:fail", retry: {attempts: 2, delay: 1s}}
  never: {python: "bench.noops:noop", depends_on: [fails]}
on_failure:
  told: {python: "bench.noops:noop"}
"""


class Kind(NamedTuple):
    """One workflow of the load: so many of a hundred runs are of it, and all of them end so."""

    workload: Workload
    share: int
    ends: RunState


async def register(cluster: Cluster) -> list[Kind]:
    """The workflows of the load."""
    good, bad = RunState.SUCCEEDED, RunState.FAILED
    built = [
        (workloads.chain(10), 35, good),
        (workloads.diamond(), 25, good),
        (workloads.layers(3, 5), 10, good),
        (workloads.fan(50), 5, good),
        (_read(_MAPPED), 10, good),
        (_read(_NAPPING), 10, good),
        (_read(_FAILING), 5, bad),
    ]
    return [Kind(await cluster.register(workflow), share, ends) for workflow, share, ends in built]


def _read(text: str) -> Workflow:
    return plan(read_text(text, "soak.yaml")).plan.workflow


class Load:
    """Asks for `rate` runs a second until it is cancelled. `asked`: how many of each kind so far."""

    def __init__(self, cluster: Cluster, kinds: list[Kind], rate: float, seed: int) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._rate = rate
        self._random = random.Random(seed)
        self.asked = [0] * len(kinds)

    async def go_on(self) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            place = self._random.choices(range(len(self._kinds)), [kind.share for kind in self._kinds])[0]
            await self._cluster.create(self._kinds[place].workload, 1)
            self.asked[place] += 1
            next_at += self._random.expovariate(self._rate)
            await asyncio.sleep(max(0.0, next_at - loop.time()))
