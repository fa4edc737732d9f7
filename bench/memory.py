"""What the engine holds for a hundred thousand live task runs, and what it costs while nothing happens: python -m bench.memory

A thousand runs of a hundred tasks are loaded by an engine without workers. In the first measure each run is a sequence, of
which one task is ready and the others wait; in the second all hundred thousand stand in the line. What is counted is what
Python allocates for them beyond the plan, the rows just read and the collector's leftovers.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

from bench import workloads
from bench.say import say
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.core.canonical import canonical_json
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.workflow import Workflow
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.store import NewRun
from headrace.engine.shell.children import run_id
from headrace.engine.shell.engine import Engine
from headrace.engine.store import open_store
from headrace.runners import authored

WIDTH = 100
MIB = 1 / (1 << 20)
IDLE_SECONDS = 3.0


async def main(arguments: list[str]) -> None:
    runs = 100 if "--quick" in arguments else 1_000
    chain = workloads.chain(WIDTH)
    await measure("waiting", chain, runs)
    await measure(
        "in the line", Workflow("beside", tuple(replace(task, depends_on=()) for task in chain.tasks)), runs
    )


async def measure(what: str, workflow: Workflow, runs: int) -> None:
    """Load `runs` runs and weigh them."""
    plan, _ = build_plan(workflow)
    with tempfile.TemporaryDirectory() as home:
        store = await open_store(f"sqlite:///{Path(home)}/headrace.db")
        version = await store.register(authored.version_row(plan, "default", time.time()))
        await asyncio.gather(*(store.create_run(_new(plan, version.version)) for _ in range(runs)))
        engine = Engine(store, MemoryBroker(parts=1, inboxes=1).engine_side(), CelEvaluator())
        engine.plans.offer(plan)
        await engine.start()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        while await engine.turn() or engine.live < runs:
            pass
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        turning = asyncio.create_task(engine.run())
        began = time.process_time()
        await asyncio.sleep(IDLE_SECONDS)
        idle = (time.process_time() - began) / IDLE_SECONDS
        waiting = engine.waiting
        await engine.stop()
        await turning
        await store.close()
    say(
        measure="memory",
        what=what,
        runs=runs,
        task_runs=runs * WIDTH,
        in_line=waiting,
        mib=(after - before) * MIB,
        idle_share_of_a_core=idle,
    )


def _new(plan: Plan, version: int) -> NewRun:
    now = time.time()
    return NewRun(
        id=run_id(now),
        project="default",
        workflow=plan.workflow.name,
        version=version,
        plan=plan.hash,
        part=0,
        params=canonical_json({}),
        trigger=canonical_json({"kind": "manual", "by": "bench"}),
        created_at=now,
        scheduled_at=now,
        priority=plan.workflow.priority.value,
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
