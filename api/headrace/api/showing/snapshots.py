"""Runs as the store knew them at one row of their history: laid out once, however many look, page after page.

A snapshot holds no payload. It is kept by the run's last history row, so it is built again only when the run has moved. While a run
moves all the time, one that is out of date by no more than twice what building it took is good enough: many viewers of a
large run cost no more than a third of a core.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from headrace.api.showing.reasons import machine_of
from headrace.engine.shell.rows import run_status
from headrace.engine.shell.views import Layout, RunUnknown

if TYPE_CHECKING:
    from headrace.engine.core.machine.machine import RunMachine
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.store import Loaded, RunRow, Store
    from headrace.engine.shell.plans import Plans

KEPT_TASKS = 200_000
"""Task runs that snapshots together keep in memory; the newest is kept however large it is."""
BESIDES = 100
"""What a snapshot weighs beside its task runs, in task runs."""
LARGE = 2_000
"""From so many task runs on, a snapshot is laid out on another thread."""
LONGEST_BEHIND = 1.0
"""Seconds that a snapshot of a moving run may be behind."""


class Snapshot:
    """A run, its task runs in order, and the machine that explains them, laid when it is first asked."""

    def __init__(self, run: RunRow, plan: Plan, loaded: Loaded) -> None:
        self.run = run
        self.plan = plan
        self.layout = Layout(plan, run_status(run), loaded.tasks)
        self.weight = len(self.layout) + BESIDES
        self._rows = loaded.tasks
        self._machine: RunMachine | None = None
        self._laying = asyncio.Lock()
        self.built_at = monotonic()
        self.cost = 0.0

    @property
    def machine(self) -> RunMachine:
        """The deciding machine, only to be asked. `explaining` has laid it where it is large."""
        if self._machine is None:
            self._machine = machine_of(self.plan, self.run, self._rows)
        return self._machine

    async def explaining(self) -> RunMachine:
        """The same, without holding up others while it is laid."""
        async with self._laying:
            if self._machine is None and len(self.layout) >= LARGE:
                self._machine = await asyncio.to_thread(machine_of, self.plan, self.run, self._rows)
        return self.machine


class Snapshots:
    """The snapshots in use."""

    def __init__(self, store: Store, plans: Plans) -> None:
        self._store = store
        self._plans = plans
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()
        self._tasks = 0
        self._building: dict[int, asyncio.Task[Snapshot]] = {}

    async def get(self, run: RunRow) -> Snapshot:
        """The run as it stands, `run` being its row as it was just read. Raises PlanMissing, RowDamaged, and
        RunUnknown for one that is no longer kept."""
        while True:
            kept = self._kept.get(run.no)
            if kept is not None and _good(kept, run):
                self._kept.move_to_end(run.no)
                return kept
            building = self._building.get(run.no)
            if building is None:
                break
            with suppress(Exception):  # its own caller is told; whoever comes after tries again
                await asyncio.shield(building)
        building = self._building[run.no] = asyncio.create_task(self._build(run))
        building.add_done_callback(partial(self._built, run.no))
        return await asyncio.shield(building)

    def forget(self, run: int) -> None:
        """Somebody knows that the run has moved, and wants to see it: what is a moment old will not do."""
        gone = self._kept.pop(run, None)
        if gone is not None:
            self._tasks -= gone.weight

    def _built(self, run: int, building: asyncio.Task[Snapshot]) -> None:
        del self._building[run]
        if not building.cancelled():
            building.exception()  # whoever wanted it may have gone

    async def _build(self, run: RunRow) -> Snapshot:
        began = monotonic()
        loaded = next(iter(await self._store.load([run.no])), None)
        if loaded is None:
            raise RunUnknown(f"There is no run {run.id} any more.")
        plan = (await self._plans.get(loaded.run.plan)).plan
        if len(loaded.tasks) + len(plan.ids) < LARGE:
            made = Snapshot(loaded.run, plan, loaded)
        else:
            made = await asyncio.to_thread(Snapshot, loaded.run, plan, loaded)
        made.built_at = monotonic()
        made.cost = made.built_at - began
        self._keep(made)
        return made

    def _keep(self, made: Snapshot) -> None:
        before = self._kept.pop(made.run.no, None)
        if before is not None:
            self._tasks -= before.weight
        self._kept[made.run.no] = made
        self._tasks += made.weight
        while self._tasks > KEPT_TASKS and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._tasks -= gone.weight


def _good(kept: Snapshot, run: RunRow) -> bool:
    """Whether what is kept tells how the run stands: exactly, or closely enough."""
    if kept.run.seq >= run.seq and kept.run.generation >= run.generation:
        return True
    return monotonic() - kept.built_at <= min(2 * kept.cost, LONGEST_BEHIND)
