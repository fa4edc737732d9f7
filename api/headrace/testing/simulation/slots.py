"""Counts the slots of pools that attempts in flight hold, as they are committed: promise I12, limits hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.engine.core.plan import Plan
from headrace.engine.core.states import TaskState

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
