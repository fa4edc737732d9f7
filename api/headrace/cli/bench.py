"""`headrace bench`: a few workloads of no-op tasks on the embedded engine, one JSON line each.

Figures of one machine at one moment: compare them only with others taken in the same minute. The measures with
their yardsticks are in bench/ of a checkout.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import embedded, go
from headrace.cli.output import print_line, say
from headrace.cli.where import Where
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import PythonCall, Task, Workflow

if TYPE_CHECKING:
    from headrace.runners.embedded import Embedded

NO_OP = PythonCall("headrace.cli.bench:nothing")


def nothing() -> None:
    """The task that is measured."""


def chain(length: int) -> Workflow:
    """One after the other: the cost of a hop."""
    tasks = [
        Task(id=f"t{n:06}", work=NO_OP, depends_on=(f"t{n - 1:06}",) if n else ()) for n in range(length)
    ]
    return Workflow(name="chain", tasks=tuple(tasks))


def fan(size: int) -> Workflow:
    """One, then all but two at once, then one."""
    middle = [Task(id=f"m{n:06}", work=NO_OP, depends_on=("a",)) for n in range(size - 2)]
    last = Task(id="z", work=NO_OP, depends_on=tuple(task.id for task in middle))
    return Workflow(name="fan", tasks=(Task(id="a", work=NO_OP), *middle, last))


def diamond() -> Workflow:
    """A, then B and C, then D."""
    return Workflow(
        name="diamond",
        tasks=(
            Task(id="a", work=NO_OP),
            Task(id="b", work=NO_OP, depends_on=("a",)),
            Task(id="c", work=NO_OP, depends_on=("a",)),
            Task(id="d", work=NO_OP, depends_on=("b", "c")),
        ),
    )


def layers(depth: int, width: int) -> Workflow:
    """Each task depends on the whole layer before it."""
    tasks = [
        Task(
            id=f"l{level:02}_{n:02}",
            work=NO_OP,
            depends_on=tuple(f"l{level - 1:02}_{m:02}" for m in range(width)) if level else (),
        )
        for level in range(depth)
        for n in range(width)
    ]
    return Workflow(name="layers", tasks=tuple(tasks))


WORKLOADS = {
    "chain-100": (chain(100), 1),
    "fan-1000": (fan(1000), 1),
    "diamonds-200": (diamond(), 200),
    "layers-10x20": (layers(10, 20), 1),
}
"""Name → workflow and how many runs of it are triggered at once."""


def bench(
    *workloads: str,
    repeat: Annotated[int, Parameter(help="How often each; the median counts [3].")] = 3,
) -> int:
    """How fast the engine is on this machine.

    Each workload runs on a store of its own in a temporary folder, with fsync on.

    Parameters
    ----------
    workloads
        chain-100, fan-1000, diamonds-200, layers-10x20; all of them when left out.
    """
    for name in workloads:
        if name not in WORKLOADS:
            raise Stop(f'there is no workload "{name}".', hint=f"There are: {', '.join(WORKLOADS)}.")
    say(f"Python {platform.python_version()}, {platform.machine()}; the median of {repeat}")
    for name in workloads or WORKLOADS:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            print_line({"workload": name, **go(_measure(name, Path(folder), repeat))})
    return Status.OK


async def _measure(name: str, folder: Path, repeat: int) -> dict[str, Any]:
    from headrace.engine.core.planning import build_plan

    workflow, runs = WORKLOADS[name]
    plan, _ = build_plan(workflow)
    tasks = plan.facts.tasks * runs
    async with embedded(Where(home=folder).settings(), own=True) as home:
        taken = [await _once(home, plan, runs) for _ in range(repeat + 1)]  # the first one warms up
    seconds = statistics.median(taken[1:])
    return {
        "tasks": tasks,
        "runs": runs,
        "seconds": round(seconds, 4),
        "tasks_per_second": round(tasks / seconds),
        "seconds_per_task": round(seconds / tasks, 9),
        "all_seconds": [round(one, 4) for one in taken[1:]],
    }


async def _once(home: Embedded, plan: Plan, runs: int) -> float:
    began = time.perf_counter()
    rows = [await home.submit(plan, {}, trigger={"kind": "manual", "by": "bench"}) for _ in range(runs)]
    for row in rows:
        async for _ in home.watch(row):
            pass
    taken = time.perf_counter() - began
    for row in rows:
        ended = await home.store.run(row.no)
        if ended is None or ended.state != RunState.SUCCEEDED:
            raise RuntimeError(f"run {row.id} of the workload did not succeed")
    return taken
