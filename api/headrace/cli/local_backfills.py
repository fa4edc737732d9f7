"""Backfills in this machine's database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from headrace.cli.failure import Stop
from headrace.cli.refusals import no_backfill

if TYPE_CHECKING:
    from headrace.api.shapes.backfills import BackfillEntry, BackfillMomentEntry, BackfillPlan
    from headrace.cli.local import LocalStation
    from headrace.cli.settings import Settings
    from headrace.engine.ports.backfills import BackfillRow
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.schedules.asking import Wanted
    from headrace.engine.shell.schedules.firing import Firing


class LocalBackfills:
    """Those of one project, at a station."""

    def __init__(self, settings: Settings, store: Store, station: LocalStation) -> None:
        self._settings, self._store, self._project = settings, store, settings.project
        self._station = station

    async def plan(self, wanted: Wanted) -> BackfillPlan:
        from headrace.api.asking import backfills
        from headrace.api.problems import Problem
        from headrace.cli.here import me

        firing = await self._firing(None)
        try:
            return await backfills.plan(
                self._store, firing, self._project, wanted, f"local:{me()}", time.time()
            )
        except Problem as problem:
            raise Stop(problem.detail) from None

    async def confirm(self, plan_id: str) -> BackfillEntry:
        from headrace.api.asking import backfills
        from headrace.api.problems import Problem
        from headrace.cli.acts import act
        from headrace.cli.here import me

        firing = await self._firing(None)
        try:
            row, _ = await backfills.confirm(
                self._store,
                firing,
                self._project,
                plan_id,
                f"local:{me()}",
                time.time(),
                lambda detail: act(self._settings, "backfill.create", "backfill", detail),
            )
        except Problem as problem:
            raise Stop(problem.detail) from None
        return await self._shown(row)

    async def list(self, workflow: str | None, state: str | None, most: int) -> Sequence[BackfillEntry]:
        rows = await self._store.backfills(self._project, workflow=workflow, state=state, limit=most)
        return [await self._shown(row) for row in rows]

    async def get(self, number: int) -> BackfillEntry:
        return await self._shown(await self._row(number))

    async def moments(self, number: int, state: str | None) -> Sequence[BackfillMomentEntry]:
        from headrace.api.showing.backfills import moment_entries
        from headrace.engine.calendars import IanaCalendar

        row = await self._row(number)
        return moment_entries(row, await self._store.backfill_moments(row.no, state=state), IanaCalendar())

    async def change(self, number: int, action: str, detail: dict[str, Any], **values: Any) -> BackfillEntry:
        from headrace.api.asking.backfills import require_going
        from headrace.api.problems import Problem
        from headrace.cli.acts import act
        from headrace.cli.here import me
        from headrace.engine.shell import commands

        row = await self._row(number)
        try:
            require_going(row, values.get("state"))
        except Problem as problem:
            raise Stop(problem.detail) from None
        if values.pop("runs", False):
            why = detail.get("reason") or f"backfill {number} is cancelled"
            values["stop"] = commands.encode("cancel", commands.StopBody(f"local:{me()}", why))
        line = act(self._settings, f"backfill.{action}", f"backfill {number}", detail)
        made = await self._store.set_backfill(
            self._project, number, time.time(), by=f"local:{me()}", act=line, **values
        )
        return await self._shown(row if made is None else made.backfill)

    async def take_up(self) -> bool:
        from headrace.runners.embedded import PART, Embedded

        home = self._station.home
        if isinstance(home, Embedded) and not home.owns and not await self._store.has_owner(PART):
            await home.take_over()
        return self._station.owns

    @asynccontextmanager
    async def under_way(self, folder: str) -> AsyncIterator[None]:
        if not self._station.owns:
            yield
            return
        filling = asyncio.create_task(self._fill(await self._firing(folder)))
        try:
            yield
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _fill(self, firing: Firing) -> None:
        from headrace.engine.shell.clock import SystemClock
        from headrace.engine.shell.schedules.filling import LOOK_EVERY, Filling

        engine = self._station.engine
        filling = Filling(self._store, firing, SystemClock(), lambda part: engine.wake())
        while True:
            await filling.tick()
            await asyncio.sleep(LOOK_EVERY)

    async def _firing(self, folder: str | None) -> Firing:
        from headrace.engine.calendars import IanaCalendar
        from headrace.engine.expressions import CelEvaluator
        from headrace.engine.shell.plans import Plans
        from headrace.engine.shell.schedules.firing import Firing
        from headrace.runners.authored import checker

        evaluator = CelEvaluator()
        return Firing(
            Plans(self._store),
            IanaCalendar(),
            evaluator,
            checker(evaluator),
            1,
            folder_of=lambda workflow: folder,
        )

    async def _row(self, number: int) -> BackfillRow:
        row = await self._store.backfill(self._project, number) if 0 < number < 2**63 else None
        if row is None:
            raise no_backfill(number)
        return row

    async def _shown(self, row: BackfillRow) -> BackfillEntry:
        from headrace.api.showing.backfills import backfill_entry
        from headrace.api.veiling import OPEN

        settings = await self._store.workflow_settings(self._project, [row.workflow])
        counts = await self._store.backfill_counts([row.no])
        return backfill_entry(row, counts[row.no], settings.get(row.workflow), OPEN)
