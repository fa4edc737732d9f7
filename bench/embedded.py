"""The embedded engine beside the bare loop: python -m bench.embedded [--quick] [--async]

The two take turns, so that both meet the same disturbances; what is printed is the median of the ratios, one JSON object a
line. `ratio` is ours over bare: higher is better for rates, lower for hops and growth. A turn is as many tasks for us as for the bare
loop: a small workload is asked for again and again, each time when it has ended. The first time, which finds the processor full of
the bare loop's, is told by itself as `first`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench import bare, workloads
from bench.say import say
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Workflow
from headrace.engine.ports.store import RunRow
from headrace.runners.embedded import Embedded

ROOT = str(Path(__file__).parent.parent)
RUNS = 200
"""How many diamonds are triggered at once."""
BARE_TASKS, BARE_HOPS = 5_000, 100
LARGE = 100_000


class Measured(NamedTuple):
    """Ours, the bare loop's, the ratio of the two, and that of the first time to the bare loop's."""

    ours: float
    bare: float
    ratio: float
    first: float


async def main(arguments: list[str]) -> None:
    function = "anoop" if "--async" in arguments else "noop"
    quick = "--quick" in arguments
    with tempfile.TemporaryDirectory() as home:
        async with Embedded.open(Path(home)) as embedded:
            await rate(embedded, workloads.fan(1_000, function), 1, "warm-up", 1)
            await hops(embedded, workloads.chain(100, function), function, 3 if quick else 7)
            repeats = 3 if quick else 15
            small = await rate(embedded, workloads.fan(1_000, function), 1, function, repeats)
            await rate(embedded, workloads.diamond(function), RUNS, function, repeats)
            await rate(embedded, workloads.layers(10, 20, function), 1, function, repeats)
            if not quick:
                large = await rate(embedded, workloads.fan(LARGE, function), 1, function, 3)
                # Each beside the bare loop of its own moment: what disturbs both drops out.
                growth = small.ratio / large.ratio
                say(measure="growth", function=function, small=1_000, large=LARGE, ratio=growth)


async def rate(embedded: Embedded, workflow: Workflow, runs: int, function: str, repeats: int) -> Measured:
    """Tasks per second from the moment the runs are asked for until the last is final."""
    plan, _ = build_plan(workflow)
    tasks = len(workflow.tasks) * runs
    times = max(1, BARE_TASKS // tasks)

    async def once() -> Measured:
        beside = (await bare.measure(max(BARE_TASKS, tasks // 10), 1)).tasks_per_s
        gc.collect()
        ends = [time.perf_counter()]
        for _ in range(times):
            await asyncio.gather(*(_one(embedded, plan) for _ in range(runs)))
            ends.append(time.perf_counter())
        ours, first = tasks * times / (ends[-1] - ends[0]), tasks / (ends[1] - ends[0])
        return Measured(ours, beside, ours / beside, first / beside)

    found = await _median(once, repeats)
    name = f"{workflow.name}{f' x {runs}' if runs > 1 else ''}"
    say(
        measure="rate",
        workload=name,
        function=function,
        tasks=tasks,
        times=times,
        tasks_per_s=found.ours,
        bare=found.bare,
        ratio=found.ratio,
        first=found.first,
    )
    return found


async def hops(embedded: Embedded, workflow: Workflow, function: str, repeats: int) -> None:
    """Milliseconds from one task's end to the next one's, as the engine's commits tell it."""
    plan, _ = build_plan(workflow)
    last: list[float] = []

    async def once() -> Measured:
        beside = (await bare.measure(100, BARE_HOPS)).hop_ms_p50
        ends: list[float] = []
        async for change in embedded.watch(await _submit(embedded, plan)):
            if change.task is not None and change.after == "succeeded":
                ends.append(time.perf_counter())  # noqa: PERF401 - the moment counts, not the list
        gaps = sorted((after - before) * 1e3 for before, after in pairwise(ends))
        last.append(gaps[int(len(gaps) * 0.99)])
        ours = gaps[len(gaps) // 2]
        return Measured(ours, beside, ours / beside, ours / beside)

    found = await _median(once, repeats)
    say(
        measure="hop",
        workload=workflow.name,
        function=function,
        hop_ms_p50=found.ours,
        hop_ms_p99=statistics.median(last),
        bare=found.bare,
        ratio=found.ratio,
    )


async def _median(once: Callable[[], Awaitable[Measured]], repeats: int) -> Measured:
    """Of each figure its own median."""
    taken = [await once() for _ in range(repeats)]
    return Measured(*(statistics.median(figures) for figures in zip(*taken, strict=True)))


async def _one(embedded: Embedded, plan: Plan) -> None:
    state = await embedded.wait(await _submit(embedded, plan))
    if state is not RunState.SUCCEEDED:
        raise RuntimeError(f"a run of the workload {state.word}")


async def _submit(embedded: Embedded, plan: Plan) -> RunRow:
    return await embedded.submit(plan, {}, trigger={"kind": "manual", "by": "bench"}, folder=ROOT)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
