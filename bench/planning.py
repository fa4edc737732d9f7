"""A plan of a million tasks and five million edges: python -m bench.planning [--quick]

Each task waits for five of the thousand before it. The plan is built in this process, so that the peak is the plan's and that of
the workflow it comes from. `--quick`: a tenth of it.
"""

from __future__ import annotations

import random
import resource
import sys
import time

from bench.say import say
from headrace.engine.core.planning import build_plan
from headrace.engine.core.workflow import PythonCall, Retry, Task, Workflow

NEAR = 1_000
EACH = 5
KIB = 1 / 1024


def main(arguments: list[str]) -> None:
    count = 100_000 if "--quick" in arguments else 1_000_000
    workflow = graph(count)
    began = time.perf_counter()
    plan, _ = build_plan(workflow)
    seconds = time.perf_counter() - began
    say(
        measure="plan",
        tasks=plan.facts.tasks,
        edges=plan.facts.edges,
        depth=plan.facts.depth,
        seconds=seconds,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
    )


def graph(count: int) -> Workflow:
    """Always the same graph, its tasks in an order that says nothing."""
    draw = random.Random(1)
    work, retry = PythonCall("bench.noops:noop"), Retry()
    ids = [f"t{number:07}" for number in range(count)]
    tasks = []
    for number, id in enumerate(ids):
        before = range(max(0, number - NEAR), number)
        after = draw.sample(before, min(EACH, len(before)))
        tasks.append(Task(id, work, depends_on=tuple(ids[at] for at in sorted(after)), retry=retry))
    draw.shuffle(tasks)
    return Workflow("large", tuple(tasks))


if __name__ == "__main__":
    main(sys.argv[1:])
