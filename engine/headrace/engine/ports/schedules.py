"""Schedules as stored: what starts a workflow by time, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace.engine.ports.acts import Act
from headrace.engine.ports.workflow_settings import WorkflowSettings

if TYPE_CHECKING:
    from headrace.engine.ports.store import InboxRow, NewRun, VersionRow

TIMING = ("cron", "every", "at", "timezone", "start", "end", "dst")
"""Keys of a trigger that say when: one that says otherwise begins anew at the moment of its change."""


class NewSchedule(NamedTuple):
    """A trigger by time of a workflow that is registered. `trigger`: it as JSON, its defaults filled in."""

    id: str  # workflow.trigger
    trigger: bytes


class ScheduleRow(NamedTuple):
    """A schedule. `cursor`: every moment up to it is dealt with; `due_at`: when it is to be looked at again, None: never. `revision`
    counts its changes. `waiting`: moments that wait for a run to end; `running`: ids of runs not yet seen to end; `waits_for`: the
    one at whose end to look. `problem`: why no run could be begun at `last_at`, in words."""

    no: int
    project: str
    id: str
    workflow: str
    trigger: bytes
    revision: int
    paused: bool
    paused_by: str | None
    paused_why: str | None
    cursor: float
    due_at: float | None
    waiting: tuple[float, ...]
    running: tuple[str, ...]
    waits_for: str | None
    failures: int
    skipped: int
    last_at: float | None
    last_run: str | None
    problem: str | None
    created_at: float
    changed_at: float


class RunEnd(NamedTuple):
    """How a run that a schedule has started stands. `finished_at` None: it goes on."""

    id: str
    no: int
    part: int
    state: int
    finished_at: float | None


class DueSchedule(NamedTuple):
    """A schedule to be looked at, with what deciding about it takes, as of one moment. `version`: the newest of its workflow,
    without its document; `runs`: those of `running` that there are."""

    schedule: ScheduleRow
    version: VersionRow | None
    settings: WorkflowSettings | None
    runs: Mapping[str, RunEnd]


class ScheduleStep(NamedTuple):
    """What one look comes to: the schedule as it is to stand, with the revision that was seen; runs to begin; commands to post."""

    schedule: ScheduleRow
    runs: tuple[NewRun, ...] = ()
    commands: tuple[InboxRow, ...] = ()
    act: Act | None = None  # when it was paused


class Upcoming(NamedTuple):
    """What comes next. `schedule_at`, `backfill_at`: when the next one is due; `schedule_freed`, `backfill_freed`: whether a run
    has ended that one waits for; `backfills`: whether one goes on."""

    schedule_at: float | None
    schedule_freed: bool
    backfill_at: float | None
    backfill_freed: bool
    backfills: bool


class Schedules(Protocol):
    """Anyone may look for what is due: of several who find the same, one advances it."""

    async def schedules(
        self, project: str, *, workflow: str | None = None, after: str | None = None, limit: int | None = None
    ) -> list[ScheduleRow]:
        """By id; `after` is an id (keyset paging)."""

    async def schedule(self, project: str, id: str) -> ScheduleRow | None: ...

    async def set_schedule(
        self,
        project: str,
        id: str,
        at: float,
        *,
        paused: bool,
        by: str,
        why: str | None = None,
        act: Act | None = None,
    ) -> ScheduleRow | None:
        """Pause or resume it. What came meanwhile is passed over, what waited goes, and failures are counted anew. Nothing changes
        when it stands so already. None: there is no such schedule."""

    async def due_schedules(self, now: float, limit: int) -> list[DueSchedule]:
        """Those whose time has come, the longest due first, and those whose run has ended that a moment waits for."""

    async def upcoming(self) -> Upcoming:
        """What comes next, of schedules and of backfills."""

    async def advance(self, steps: Sequence[ScheduleStep]) -> list[ScheduleStep]:
        """Write the steps of those schedules that still stand as they were seen, with their runs, in one transaction; returns the
        steps that were. A run whose `idempotency` exists is left as it is."""
