"""Backfills as stored: moments of a schedule that are made up for, and how far each one is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace.engine.ports.acts import Act
from headrace.engine.ports.schedules import RunEnd
from headrace.engine.ports.workflow_settings import WorkflowSettings

if TYPE_CHECKING:
    from headrace.engine.ports.store import NewRun, VersionRow

STATES = ("running", "paused", "cancelled", "done")
"""Of a backfill."""
WAITING, STARTED, SUCCEEDED, FAILED, CANCELLED, PASSED, REFUSED = MOMENT_STATES = (
    "waiting",
    "started",
    "succeeded",
    "failed",
    "cancelled",
    "passed",
    "refused",
)
"""Of one of its moments. `started`: its run was not yet seen to end; `passed`: it had a run that serves; `refused`: no run could be
begun for it."""


class NewBackfill(NamedTuple):
    """A backfill to begin. `trigger`: the schedule's, as JSON; `params`: JSON, laid over what the trigger gives; `moments`: in the
    order of their turns; `selection`: selectors of the part of the graph that its runs run, {select, exclude} as JSON, None: all."""

    project: str
    workflow: str
    schedule: str
    trigger: bytes
    params: bytes
    reprocess: str
    order: str
    max_active: int
    priority: str
    by: str
    created_at: float
    moments: tuple[float, ...]
    selection: bytes | None = None


class BackfillRow(NamedTuple):
    """A backfill. `revision` counts its changes; `due_at`: when it is to be looked at again, None: when one of its runs has ended.
    `problem`: why the last moment that was refused was. `finished_at`: when nothing of it was left to wait for. `selection`: as of `NewBackfill`."""

    no: int
    project: str
    workflow: str
    schedule: str
    trigger: bytes
    params: bytes
    reprocess: str
    order: str
    max_active: int
    priority: str
    state: str
    revision: int
    by: str
    paused_by: str | None
    paused_why: str | None
    problem: str | None
    due_at: float | None
    created_at: float
    changed_at: float
    finished_at: float | None
    selection: bytes | None = None


class BackfillMoment(NamedTuple):
    """One moment of a backfill. `place` counts from 0 in the order of turns; `run`: the one that was begun for it, or that serves."""

    place: int
    moment: float
    state: str
    run: str | None


class DueBackfill(NamedTuple):
    """A backfill to be looked at, with what deciding about it takes, as of one moment. `version`: the newest of its workflow, without
    its document; `started`: moments in that state, and `ends` their runs that there are; `coming`: the next that wait, and
    `newest` the newest runs of their moments; `more`: that others wait after those."""

    backfill: BackfillRow
    version: VersionRow | None
    settings: WorkflowSettings | None
    started: tuple[BackfillMoment, ...]
    ends: Mapping[str, RunEnd]
    coming: tuple[BackfillMoment, ...]
    newest: Mapping[float, RunEnd]
    more: bool


class BackfillStep(NamedTuple):
    """What one look comes to: the backfill as it is to stand, with the revision that was seen; its moments that have moved; runs to
    begin."""

    backfill: BackfillRow
    moved: tuple[BackfillMoment, ...] = ()
    runs: tuple[NewRun, ...] = ()


class ChangedBackfill(NamedTuple):
    """A backfill as it stands after a change. `parts`: in whose inboxes its runs are told to stop."""

    backfill: BackfillRow
    parts: tuple[int, ...] = ()


class Backfills(Protocol):
    """Anyone may look for what is due: of several who find the same, one advances it."""

    async def create_backfill(self, new: NewBackfill, *, act: Act | None = None) -> BackfillRow:
        """Begin it. The act's object is `backfill NUMBER` in the audit, whatever it says."""

    async def backfills(
        self,
        project: str,
        *,
        workflow: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[BackfillRow]:
        """Newest first; `before` is a number (keyset paging)."""

    async def backfill(self, project: str, no: int) -> BackfillRow | None: ...

    async def backfill_counts(self, numbers: Collection[int]) -> dict[int, dict[str, int]]:
        """How many moments of each are in which state."""

    async def backfill_moments(
        self, no: int, *, state: str | None = None, after: int = -1, limit: int | None = None
    ) -> list[BackfillMoment]:
        """In the order of their turns; `after` is a place."""

    async def newest_runs(self, project: str, schedule: str, moments: Sequence[float]) -> dict[float, RunEnd]:
        """The newest run of each moment of a schedule that has one, whoever has begun it for that moment: the schedule, or a
        backfill."""

    async def set_backfill(
        self,
        project: str,
        no: int,
        at: float,
        *,
        by: str,
        state: str | None = None,
        why: str | None = None,
        max_active: int | None = None,
        priority: str | None = None,
        stop: bytes | None = None,
        act: Act | None = None,
    ) -> ChangedBackfill | None:
        """Pause it, let it go on (running), or cancel it; or change how many runs it may have at once and what their priority is.
        `stop`: the command that its runs are sent which go on. One that is over moves no more. None: there is no such backfill."""

    async def due_backfills(self, now: float, limit: int) -> list[DueBackfill]:
        """Those whose time has come, and those of which a run has ended that was not seen to."""

    async def advance_backfills(self, steps: Sequence[BackfillStep]) -> list[BackfillStep]:
        """Write the steps of those that still stand as they were seen, with their runs, in one transaction; returns the steps that
        were. A moment whose run's `idempotency` exists is passed over instead."""
