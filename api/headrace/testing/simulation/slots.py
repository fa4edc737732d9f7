"""Counts the slots of pools that attempts in flight hold, and the runs that go on with one key, as they are committed: promise I12,
limits hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.engine.core.concurrency import shares_of
from headrace.engine.core.limits import Name
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Workflow
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.store import RunUpdate

FLYING = (TaskState.DISPATCHED, TaskState.RUNNING)


class Slots:
    """`sizes`: of pools, by name. A pool that is not there is unlimited."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._used = dict.fromkeys(sizes, 0)
        self._holders = dict.fromkeys(sizes, 0)
        self._grown: dict[str, None] = {}

    def moved(self, plan: Plan, task: int, before: int | None, after: int) -> None:
        """A task run went from one state to another in a commit."""
        pool = plan.tasks[task].pool
        if pool is None or pool.name not in self._sizes:
            return
        change = (after in FLYING) - (before in FLYING)
        self._used[pool.name] += change * pool.cost
        self._holders[pool.name] += change
        if change > 0:
            self._grown[pool.name] = None

    def over(self) -> Iterator[str]:
        """The commit is complete. What costs more than its whole pool may have it alone."""
        grown, self._grown = self._grown, {}
        for name in grown:
            used, size = self._used[name], self._sizes[name]
            if used > size and self._holders[name] > 1:
                yield f"I12: {used} slots of pool {name} are in use, and it has {size}"

    def left(self) -> Iterator[str]:
        """All is over."""
        for name, used in self._used.items():
            if used:
                yield f"I12: {used} slots of pool {name} are in use, and nothing runs"


class Places:
    """Of active runs and of concurrency keys. A run that somebody runs again does not wait for its place."""

    def __init__(self) -> None:
        self._going: dict[Name, set[int]] = {}
        self._sizes: dict[Name, int] = {}
        self._evaluator = CelEvaluator()

    def moved(self, workflow: Workflow, run: str, update: RunUpdate) -> None:
        """The state of a run was committed; `run`: its id."""
        scope = {"params": {}, "run": {"id": run, "workflow": workflow.name}, "event": None}
        goes = update.started_at is not None and update.generation == 1 and not RunState(update.state).final
        for share in shares_of("default", workflow, scope, self._evaluator):
            going = self._going.setdefault(share.name, set())
            if goes:
                going.add(update.no)
                self._sizes[share.name] = share.size or 0
            else:
                going.discard(update.no)

    def over(self) -> Iterator[str]:
        """The commit is complete."""
        for name, going in self._going.items():
            if going and len(going) > self._sizes[name]:
                yield f"I12: {len(going)} runs go on with {name}, and {self._sizes[name]} may"
