"""Limits hold (I12): while a world lives, its database is asked again and again how many slots attempts in flight hold.

One query is one snapshot, so what it shows was true at a moment, whichever engines decided it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import asyncpg

from headrace.engine.core.plan import Plan
from headrace.engine.core.states import TaskState
from headrace.testing.simulation.shapes import POOLS

LOOK_EVERY = 0.05
_IN_FLIGHT = f"""
SELECT runs.plan, task_runs.task, count(*) FROM task_runs JOIN runs ON runs.no = task_runs.run
WHERE task_runs.state IN ({TaskState.DISPATCHED:d}, {TaskState.RUNNING:d}) GROUP BY 1, 2
"""


class PoolWatch:
    """`looks`: how often it was seen that slots are held; `broken`: what should not be."""

    def __init__(self, url: str, plans: Iterable[Plan]) -> None:
        self._url = url
        self._plans = {plan.hash: plan for plan in plans}
        self.looks = 0
        self.broken: dict[str, None] = {}

    async def look_on(self) -> None:
        """Until it is cancelled. The database may be away meanwhile."""
        while True:
            try:
                connection: Any = await asyncpg.connect(self._url)
                try:
                    while True:
                        self._judge(await connection.fetch(_IN_FLIGHT))
                        await asyncio.sleep(LOOK_EVERY)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(LOOK_EVERY)

    def _judge(self, rows: Iterable[Any]) -> None:
        used: Counter[str] = Counter()
        holders: Counter[str] = Counter()
        for plan, task, count in rows:
            pool = self._plans[plan].tasks[task].pool
            if pool is not None:
                used[pool.name] += pool.cost * count
                holders[pool.name] += count
        self.looks += bool(used)
        for name, slots in used.items():
            if slots > POOLS[name] and holders[name] > 1:
                self.broken[f"I12: {slots} slots of pool {name} were in use, and it has {POOLS[name]}"] = None
