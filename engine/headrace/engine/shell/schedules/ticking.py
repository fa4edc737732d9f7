"""The ticker: finds schedules whose time has come, and begins their runs; those of backfills too (`filling`).

Every engine has one, and none leads. What is due is found by an index; whoever is first writes the step, its runs and the next
due moment in one transaction, on condition that the schedule stands as it was seen. So a moment is dealt with once, whoever
dies when: before the commit nothing has happened, after it everything has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from headrace.engine.core.schedules.stepping import Standing, Step, settled, started, step
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Act
from headrace.engine.ports.schedules import DueSchedule, ScheduleRow, ScheduleStep
from headrace.engine.ports.store import InboxRow, NewRun, Store, StoreLost, StoreUnavailable
from headrace.engine.shell import commands
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.schedules.filling import LOOK_EVERY as FILLING_EVERY
from headrace.engine.shell.schedules.filling import Filling
from headrace.engine.shell.schedules.firing import CannotFire, Firing
from headrace.engine.shell.schedules.reading import Schedule, read

EVERY = 1.0
"""Seconds between two looks when nothing is due: somebody else may have registered or resumed a schedule."""
SOON = 0.05
"""Seconds after which to look again when somebody else was faster with all that was due."""
AT_ONCE = 500
"""Schedules that are advanced by one transaction."""
BY = "schedules"
"""Who a schedule acts as."""

_SUCCEEDED = {RunState.SUCCEEDED: True, RunState.FAILED: False}
_logger = logging.getLogger(__name__)


class Ticker:
    """`nudge` tells whoever owns a part that something lies in its inbox."""

    def __init__(self, store: Store, firing: Firing, clock: Clock, nudge: Callable[[int], None]) -> None:
        self._store = store
        self._firing = firing
        self._clock = clock
        self._nudge = nudge
        self._filling = Filling(store, firing, clock, nudge)

    async def run(self) -> None:
        """Until cancelled, or until the store is lost."""
        told = False
        while True:
            pause = EVERY
            try:
                pause = await self.tick()
                told = False
            except StoreLost:
                return
            except StoreUnavailable as problem:
                _logger.info("schedules are put off: %s", problem)
            except Exception:
                if not told:
                    _logger.exception("schedules could not be looked at; it is tried every second")
                told = True
            await asyncio.sleep(pause)

    async def tick(self) -> float:
        """Deal with all that is due, of schedules and of backfills. Returns after how many seconds to look again, at most EVERY.
        Raises StoreUnavailable."""
        seen, now = await self._store.upcoming(), self._clock.now()
        if seen.schedule_freed or _is_due(seen.schedule_at, now):
            pause = await self._schedules()
        else:
            pause = self._until(seen.schedule_at)
        if seen.backfill_freed or _is_due(seen.backfill_at, now):
            return min(pause, await self._filling.tick())
        return min(pause, FILLING_EVERY) if seen.backfills else pause

    def _until(self, due_at: float | None) -> float:
        return EVERY if due_at is None else min(EVERY, max(0.0, due_at - self._clock.now()))

    async def _schedules(self) -> float:
        while True:
            now = self._clock.now()
            due = await self._store.due_schedules(now, AT_ONCE)
            if due:
                taken = await self._store.advance(await self._steps(due, now))
                self._tell(taken)
                if not taken:
                    return SOON
            if len(due) < AT_ONCE:
                break
        return self._until((await self._store.upcoming()).schedule_at)

    async def _steps(self, due: Sequence[DueSchedule], now: float) -> list[ScheduleStep]:
        steps = []
        for each in due:
            steps.append(await self._stepped(each, now))
            await asyncio.sleep(0)  # the engine that shares this loop goes on
        return steps

    def _tell(self, taken: Sequence[ScheduleStep]) -> None:
        parts = {run.part for each in taken for run in each.runs}
        parts.update(command.part for each in taken for command in each.commands)
        for part in sorted(parts):
            self._nudge(part)

    async def _stepped(self, due: DueSchedule, now: float) -> ScheduleStep:
        """What one look at a schedule comes to. What cannot be read stands still, and says why."""
        row = due.schedule
        try:
            schedule = read(row.id, row.trigger)
            held = not schedule.enabled or (due.settings is not None and due.settings.paused)
            made = step(schedule.rules, self._firing.calendar, _standing(due), now, held=held)
        except ValueError as problem:
            return ScheduleStep(
                row._replace(due_at=None, waits_for=None, problem=f"it cannot be read: {problem}")
            )
        if made.pause:
            return _paused(row, made.standing, now)
        return await self._begun(due, schedule, made, now)

    async def _begun(self, due: DueSchedule, schedule: Schedule, made: Step, now: float) -> ScheduleStep:
        row, standing = due.schedule, made.standing
        runs: list[NewRun] = []
        problem, last_at, last_run = row.problem, row.last_at, row.last_run
        priority = None if due.settings is None else due.settings.priority
        for moment in made.start:
            last_at, problem = moment, None
            try:
                if due.version is None:
                    raise CannotFire(f"there is no workflow {row.workflow} any more.")
                runs.append(await self._firing.run(schedule, due.version, moment, now, priority=priority))
                last_run = runs[-1].id
            except CannotFire as why:
                problem = str(why)
                _logger.warning("schedule %s begins no run: %s", row.id, why)
        unbegun = len(made.start) - len(runs)
        standing = started(standing, tuple(run.id for run in runs))
        stands = row._replace(
            cursor=standing.cursor,
            due_at=now if unbegun and standing.waiting else made.due_at,
            waiting=standing.waiting,
            running=standing.running,
            waits_for=standing.waits_for,
            failures=standing.failures + unbegun,
            skipped=standing.skipped,
            last_at=last_at,
            last_run=last_run,
            problem=problem,
        )
        return ScheduleStep(stands, tuple(runs), _cancelling(due, made, now))


def _is_due(at: float | None, now: float) -> bool:
    return at is not None and at <= now


def _standing(due: DueSchedule) -> Standing:
    """How the schedule stands, with the runs that have ended taken out. One that is not there is over."""
    row = due.schedule
    ended: dict[str, bool | None] = {}
    for run in row.running:
        end = due.runs.get(run)
        if end is None or end.finished_at is not None:
            ended[run] = None if end is None else _SUCCEEDED.get(RunState(end.state))
    return settled(Standing(row.cursor, row.waiting, row.running, row.failures, row.skipped), ended)


def _paused(row: ScheduleRow, standing: Standing, now: float) -> ScheduleStep:
    count = standing.failures
    why = f"{count} runs in a row have failed" if count != 1 else "its last run has failed"
    detail = msgspec.json.encode({"why": why})
    stands = row._replace(
        paused=True,
        paused_by=BY,
        paused_why=why,
        due_at=None,
        waiting=(),
        running=standing.running,
        waits_for=None,
        failures=count,
        changed_at=now,
    )
    act = Act(row.project, now, BY, None, "schedule.pause", f"schedule {row.id}", detail)
    _logger.warning("schedule %s is paused: %s", row.id, why)
    return ScheduleStep(stands, act=act)


def _cancelling(due: DueSchedule, made: Step, now: float) -> tuple[InboxRow, ...]:
    body = commands.encode("cancel", commands.StopBody(BY, f"schedule {due.schedule.id} begins its next run"))
    ends = (due.runs[run] for run in made.cancel if run in due.runs)
    return tuple(InboxRow(0, end.part, end.no, "cancel", body, now) for end in ends)
