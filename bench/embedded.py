"""The embedded engine beside the bare loop, in the same minute: python -m bench.embedded [--quick] [--async]

Prints one JSON object a line. `ratio` is ours over bare for rates (higher is better), and for hops (lower is better).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from bench import bare, workloads
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Workflow
from headrace.engine.ports.store import RunRow
from headrace.runners.embedded import Embedded

ROOT = str(Path(__file__).parent.parent)
RUNS = 200
"""How many diamonds are triggered at once."""


async def main(arguments: list[str]) -> None:
    function = "anoop" if "--async" in arguments else "noop"
    quick = "--quick" in arguments
    floor = await bare.measure(20_000 if quick else 50_000, 300 if quick else 1_000)
    say(measure="bare", **floor._asdict())
    with tempfile.TemporaryDirectory() as home:
        async with Embedded.open(Path(home)) as embedded:
            await rate(embedded, workloads.fan(1_000, function), 1, floor, "warm-up")
            for _ in range(3):
                await hops(embedded, workloads.chain(100, function), floor, function)
                await rate(embedded, workloads.fan(1_000, function), 1, floor, function)
                await rate(embedded, workloads.diamond(function), RUNS, floor, function)
                await rate(embedded, workloads.layers(10, 20, function), 1, floor, function)
            if not quick:
                await rate(embedded, workloads.fan(100_000, function), 1, floor, function)
    floor = await bare.measure(20_000 if quick else 50_000, 300 if quick else 1_000)
    say(measure="bare again", **floor._asdict())


async def rate(embedded: Embedded, workflow: Workflow, runs: int, floor: bare.Bare, function: str) -> None:
    """Tasks per second from the moment the runs are asked for until the last is final."""
    plan, _ = build_plan(workflow)
    gc.collect()
    began = time.perf_counter()
    await asyncio.gather(*(_one(embedded, plan) for _ in range(runs)))
    wall = time.perf_counter() - began
    tasks = len(workflow.tasks) * runs
    say(
        measure="rate",
        workload=f"{workflow.name}{f' x {runs}' if runs > 1 else ''}",
        function=function,
        tasks=tasks,
        tasks_per_s=tasks / wall,
        ratio=tasks / wall / floor.tasks_per_s,
    )


async def hops(embedded: Embedded, workflow: Workflow, floor: bare.Bare, function: str) -> None:
    """Milliseconds from one task's end to the next one's, as the engine's commits tell it."""
    plan, _ = build_plan(workflow)
    ends: list[float] = []
    row = await _submit(embedded, plan)
    async for change in embedded.watch(row):
        if change.task is not None and change.after == "succeeded":
            ends.append(time.perf_counter())
    gaps = sorted((after - before) * 1e3 for before, after in pairwise(ends))
    p50, p99 = gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]
    say(
        measure="hop",
        workload=workflow.name,
        function=function,
        hop_ms_p50=p50,
        hop_ms_p99=p99,
        ratio=p50 / floor.hop_ms_p50,
    )


async def _one(embedded: Embedded, plan: Plan) -> None:
    state = await embedded.wait(await _submit(embedded, plan))
    assert state is RunState.SUCCEEDED, state


async def _submit(embedded: Embedded, plan: Plan) -> RunRow:
    return await embedded.submit(plan, {}, trigger={"kind": "manual", "by": "bench"}, folder=ROOT)


def say(**fields: object) -> None:
    """One line."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}
    print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
