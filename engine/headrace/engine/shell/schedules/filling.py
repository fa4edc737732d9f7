"""Backfills under way: finds those that are to be looked at, and begins the runs of their next moments.

As with schedules, every engine looks and none leads: whoever is first writes the step and its runs in one transaction, on
condition that the backfill stands as it was seen. So its limit holds, whoever dies when: what goes on and what begins are
counted and written as of one revision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.engine.core.backfills import Newest, Turn, step
from headrace.engine.core.states import RunState
from headrace.engine.ports.backfills import (
    CANCELLED,
    FAILED,
    PASSED,
    REFUSED,
    STARTED,
    SUCCEEDED,
    BackfillMoment,
    BackfillRow,
    BackfillStep,
    DueBackfill,
    NewBackfill,
)
from headrace.engine.ports.schedules import RunEnd
from headrace.engine.ports.store import NewRun, Store
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.schedules.firing import CannotFire, Firing
from headrace.engine.shell.schedules.reading import Schedule, read

LOOK_EVERY = 0.2
"""Seconds between two looks while a backfill goes on: the end of a run makes room for the next."""
HELD_FOR = 5.0
"""Seconds after which to look again at one whose workflow is paused."""
AT_ONCE = 20
"""Backfills that are advanced by one transaction."""

_ENDS = {RunState.SUCCEEDED: SUCCEEDED, RunState.FAILED: FAILED, RunState.CANCELLED: CANCELLED}
_logger = logging.getLogger(__name__)


class Filling:
    """`nudge` tells whoever owns a part that something lies in its inbox."""

    def __init__(self, store: Store, firing: Firing, clock: Clock, nudge: Callable[[int], None]) -> None:
        self._store = store
        self._firing = firing
        self._clock = clock
        self._nudge = nudge

    async def tick(self) -> float:
        """Deal with all that is due. Returns after how many seconds to look again. Raises StoreUnavailable."""
        while True:
            now = self._clock.now()
            due = await self._store.due_backfills(now, AT_ONCE)
            if not due:
                return LOOK_EVERY
            taken = await self._store.advance_backfills(await self._steps(due, now))
            for part in sorted({run.part for each in taken for run in each.runs}):
                self._nudge(part)
            if not taken:  # somebody else was faster with all of them
                return LOOK_EVERY

    async def _steps(self, due: Sequence[DueBackfill], now: float) -> list[BackfillStep]:
        steps = []
        for each in due:
            steps.append(await self._stepped(each, now))
            await asyncio.sleep(0)  # the engine that shares this loop goes on
        return steps

    async def _stepped(self, due: DueBackfill, now: float) -> BackfillStep:
        """What one look comes to: runs that have ended are seen to, then come the turns that there is room for."""
        row = due.backfill
        moved = [each._replace(state=end) for each in due.started if (end := _ended(due, each)) is not None]
        active = len(due.started) - len(moved)
        if row.state != "running":
            over = row.state == "cancelled" and not active
            stands = row._replace(due_at=None, finished_at=(row.finished_at or now) if over else None)
            return BackfillStep(stands, tuple(moved))
        if due.settings is not None and due.settings.paused:
            return BackfillStep(row._replace(due_at=now + HELD_FOR), tuple(moved))
        turns = [_turn(each, due.newest) for each in due.coming]
        made = step(row.reprocess, turns, max(0, row.max_active - active))
        moved += [
            BackfillMoment(turn.place, turn.moment, PASSED, turn.newest and turn.newest.id)
            for turn in made.passed
        ]
        runs, refused, problem = await self._begun(due, made.start, now)
        begun = {run.scheduled_at: run.id for run in runs}
        moved += [
            BackfillMoment(turn.place, turn.moment, STARTED, begun[turn.moment])
            for turn in made.start
            if turn.moment in begun
        ]
        moved += [BackfillMoment(turn.place, turn.moment, REFUSED, None) for turn in refused]
        # Once more, for what is behind those that were looked at, for the room that refused turns have left, and for runs that
        # another has begun in the same moment. Else the end of a run is what it waits for.
        again = bool(runs or refused or (due.more and not made.waits))
        over = not (again or made.waits or active)
        stands = row._replace(
            state="done" if over else row.state,
            problem=problem or row.problem,
            due_at=now if again else None,
            finished_at=now if over else None,
            changed_at=now if over else row.changed_at,
        )
        return BackfillStep(stands, tuple(moved), tuple(runs))

    async def _begun(
        self, due: DueBackfill, turns: Sequence[Turn], now: float
    ) -> tuple[list[NewRun], list[Turn], str | None]:
        """The runs of these turns, the turns that have none, and why not."""
        row = due.backfill
        part = selection_of(row)
        runs: list[NewRun] = []
        refused: list[Turn] = []
        problem = None
        for turn in turns:
            try:
                if due.version is None:
                    raise CannotFire(f"there is no workflow {row.workflow} any more.")
                runs.append(
                    await self._firing.run(
                        read_for(row),
                        due.version,
                        turn.moment,
                        now,
                        params=msgspec.json.decode(row.params),
                        more={"backfill": row.no},
                        follows=None if turn.newest is None else turn.newest.id,
                        select=part.select,
                        exclude=part.exclude,
                    )
                )
            except (CannotFire, ValueError) as why:
                problem = str(why)
                refused.append(turn)
        if problem is not None:
            _logger.warning("backfill %s begins no run for %s moments: %s", row.no, len(refused), problem)
        return runs, refused, problem


def read_for(row: BackfillRow) -> Schedule:
    """The schedule as it was when the backfill was asked for, with the backfill's own priority. Raises ValueError for what this
    release does not know."""
    return read(row.schedule, row.trigger)._replace(priority=row.priority)


class Selection(NamedTuple):
    """Selectors of the part of the graph that runs; with neither, all of it."""

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()


def selection_of(row: BackfillRow | NewBackfill) -> Selection:
    """What of the graph its runs run."""
    return Selection() if row.selection is None else Selection(**msgspec.json.decode(row.selection))


def newest_of(end: RunEnd | None) -> Newest | None:
    """A moment's newest run, as the policy looks at it."""
    if end is None:
        return None
    return Newest(end.id, None if end.finished_at is None else RunState(end.state) is RunState.SUCCEEDED)


def _turn(each: BackfillMoment, newest: Mapping[float, RunEnd]) -> Turn:
    return Turn(each.place, each.moment, newest_of(newest.get(each.moment)))


def _ended(due: DueBackfill, each: BackfillMoment) -> str | None:
    """What a started moment has come to, or None while its run goes on. A run that is not there any more has ended once."""
    end = due.ends.get(each.run or "")
    if end is None:
        return CANCELLED
    return None if end.finished_at is None else _ENDS[RunState(end.state)]
