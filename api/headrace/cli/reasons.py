"""Why a task run is where it is, told from its run as stored: its upstreams, its rule, its clocks, its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.cli.output import instant
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Kind

if TYPE_CHECKING:
    from headrace.engine.shell.views import RunView, TaskView

FINAL = frozenset(state.word for state in TaskState if state.final)
WORST = ("failed", "upstream_failed", "cancelled", "skipped", "succeeded", "removed")
BUSY = ("running", "dispatched", "retrying", "waiting", "queued", "pending")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A direct upstream over all its task runs that count for the one asked about."""

    id: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What stands out: something under way first, else the worst end."""
        return next((word for word in (*BUSY, *WORST) if self.counts.get(word)), "pending")

    @property
    def final(self) -> bool:
        return all(word in FINAL for word in self.counts)

    def tally(self) -> str:
        """` (13 succeeded, 7 running)` where there is more than one task run."""
        if sum(self.counts.values()) < 2:
            return ""
        return " (" + ", ".join(f"{number} {word}" for word, number in self.counts.items()) + ")"


def upstreams(view: RunView, task: TaskView) -> list[Upstream]:
    """The direct upstreams with the states of their task runs; within a map, those of the same item."""
    plan = view.plan
    found = []
    for node in plan.upstream(plan.index[task.id]):
        name = plan.ids[node]
        inner = plan.kinds[node] is Kind.GROUP
        shared = task.map_path[: plan.regions[plan.home[node]].level]
        counts = Counter(
            one.state
            for one in view.tasks
            if (one.id == name or (inner and one.id.startswith(name + ".")))
            and one.map_path[: len(shared)] == shared
        )
        found.append(Upstream(name, dict(counts)))
    return found


def verdict(task: TaskView) -> str:
    """`final`, `ready` when it is under way or in line, else `waiting`."""
    if task.state in FINAL:
        return "final"
    return "waiting" if task.state in ("pending", "waiting", "retrying") else "ready"


def blockers(view: RunView, task: TaskView) -> Iterator[tuple[str, str]]:
    """Code and sentence, the most telling first; for a final task, what decided it."""
    if task.state in FINAL:
        yield from _decided(view, task)
        return
    if view.run.paused and task.state in ("pending", "queued"):
        yield "paused", "the run is paused; headrace runs resume lets it go on"
    match task.state:
        case "pending":
            yield from _pending(view, task)
        case "queued":
            pool = view.plan.tasks[view.plan.index[task.id]].pool
            yield "pool", f"waits for a slot of {f'pool {pool.name}' if pool else 'a limit'}"
        case "retrying":
            error = f": {task.error['kind']}: {task.error['message']}" if task.error else ""
            yield "retry", f"attempt {task.attempts} failed{error}; the next one is {_due(task)}"
        case "waiting":
            if task.child_run:
                yield "child", f"waits for its child, run {task.child_run}"
            else:
                yield "timer", f"waits without a worker; it goes on {_due(task)}"
        case _:
            since = f" since {instant(task.started_at)}" if task.started_at else ""
            yield "running", f"attempt {task.attempts} is with worker {task.worker or '?'}{since}"


def _due(task: TaskView) -> str:
    return f"due at {instant(task.due_at)}" if task.due_at is not None else "not yet due"


def _pending(view: RunView, task: TaskView) -> Iterator[tuple[str, str]]:
    open_ = [one for one in upstreams(view, task) if not one.final]
    for one in open_:
        yield "upstream", f"waits for {one.id}, which is {one.state}{one.tally()}"
    if open_:
        return
    plan = view.plan
    group = plan.group[plan.index[task.id]]
    if group >= 0:
        for node in plan.upstream(group):
            yield "group", f"its group {plan.ids[group]} waits for {plan.ids[node]}"
    if view.run.state == RunState.RUNNING and group < 0:
        yield "line", "everything it needs is there; it waits in line for a worker"
    elif view.run.state == RunState.QUEUED:
        yield "run_queued", "the run has not begun; an engine must be running"


def _decided(view: RunView, task: TaskView) -> Iterator[tuple[str, str]]:
    by = f" by {task.by}" if task.by else ""
    if task.error:
        yield task.reason or "error", f"{task.error['kind']}: {task.error['message']}"
    match (task.state, task.reason):
        case ("upstream_failed" | "skipped", "trigger_rule" | None):
            told = [one for one in upstreams(view, task) if one.state != "succeeded"]
            for one in told or upstreams(view, task):
                yield "upstream", f"{one.id} is {one.state}{one.tally()}"
        case ("skipped", "when"):
            condition = view.plan.tasks[view.plan.index[task.id]].when
            yield "when", f"its condition was false: {condition}"
        case (state, str() as reason) if not task.error:
            yield reason, f"{state} with reason {reason}{by}"
        case (state, _) if by:
            yield "decided", f"{state}{by}"
