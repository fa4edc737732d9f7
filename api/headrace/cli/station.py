"""Where a command works: on the database of this machine, or on a server. One protocol, so that no command knows which.

A station speaks in the API's own shapes: `headrace.cli.local` makes them from rows with the functions that the API uses, and
`headrace.cli.remote` gets them from a server. So what a command prints is the same wherever the run lives.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from headrace.api.live.words import Line
    from headrace.api.shapes.backfills import BackfillEntry, BackfillMomentEntry, BackfillPlan
    from headrace.api.shapes.operations import (
        DiscardAnswer,
        GroupEntry,
        LetterDetail,
        LetterEntry,
        PoisonEntry,
        WorkerEntry,
    )
    from headrace.api.shapes.pools import PoolEntry
    from headrace.api.shapes.runs import DegradedCache, RunDetail, RunEntry, RunStatus
    from headrace.api.shapes.schedules import Preview, ScheduleEntry
    from headrace.api.shapes.tasks import TaskRun, TaskWhy
    from headrace.api.shapes.waits import ApprovalEntry
    from headrace.api.shapes.workflows import VersionDetail, VersionDiff, VersionEntry, WorkflowEntry
    from headrace.cli.progress import Change
    from headrace.cli.references import TaskRef
    from headrace.engine.core.plan import Plan
    from headrace.engine.shell.schedules.asking import Wanted

RunCommand = Literal["cancel", "kill", "pause", "resume", "rerun"]
TaskAction = Literal["retry", "skip", "succeed", "cancel"]


class Seen(NamedTuple):
    """A run with all its task runs, in the plan's order. `aside`: why no engine goes on with it, where one has said so."""

    run: RunDetail
    tasks: Sequence[TaskRun]
    aside: str | None = None


class Explained(NamedTuple):
    """Why task runs are where they are; `more` are as interesting and were not asked for."""

    run: RunEntry
    tasks: Sequence[TaskWhy]
    more: int = 0
    aside: str | None = None


class Which(NamedTuple):
    """Open dead letters that fit everything given; `fingerprint` may be the beginning of one."""

    workflow: str | None = None
    task: str | None = None
    fingerprint: str | None = None


class Requeued(NamedTuple):
    """What became of dead letters that were to be requeued.

    `canary` was tried first, and its task run came to `tried`; when that is not succeeded, `kept_back` others were left alone.
    """

    begun: Sequence[int]
    refused: Sequence[tuple[int, str]]
    canary: LetterEntry | None = None
    tried: str | None = None
    kept_back: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the canary was the last one that was begun."""
        return self.canary is not None and self.tried != "succeeded"


class Letters(Protocol):
    """Dead letters at a station."""

    async def list(
        self, which: Which, *, state: str | None, before: int | None, limit: int
    ) -> Sequence[LetterEntry]:
        """Newest first. `before`: only below this id."""

    async def poison(self, *, state: str | None, before: int | None, limit: int) -> Sequence[PoisonEntry]:
        """Messages that nobody could read, newest first."""

    async def groups(self, which: Which, *, state: str | None, limit: int) -> Sequence[GroupEntry]:
        """Those of one kind together."""

    async def get(self, number: int) -> LetterDetail:
        """One whole. Raises Stop."""

    async def discard(
        self, ids: Sequence[int], which: Which, reason: str, *, poison: bool = False
    ) -> DiscardAnswer:
        """Nothing more is done about those of the ids, or about all open ones that fit. Raises Stop."""

    async def requeue(self, ids: Sequence[int], which: Which, *, canary: bool) -> Requeued:
        """Begin their runs again; with `canary`, of several one first and the others when it succeeded. Raises Stop."""


class Lines(Protocol):
    """What tasks wrote, at a station."""

    async def read(
        self, run: RunEntry, task: TaskRef | None, attempt: int | None, last: int | None = None
    ) -> Sequence[Line]:
        """What the run's newest generation has written so far, in the order of writing; of each attempt at least its last lines, so
        many."""

    def follow(self, run: RunEntry) -> AsyncGenerator[Line, None]:
        """What every attempt of the run writes, from its first line on, until the run has ended and nothing more comes."""

    async def last(self, run: str, task: TaskRun, most: int) -> Sequence[str]:
        """The end of what a task run's newest attempt wrote."""


class Workflows(Protocol):
    """Registered workflows at a station."""

    async def list(self) -> Sequence[WorkflowEntry]:
        """By name, each in its newest version."""

    async def versions(self, name: str) -> Sequence[VersionEntry]:
        """Newest first, at least one."""

    async def version(self, name: str, number: int | None) -> VersionDetail:
        """One version with its document; the newest for None."""

    async def diff(self, name: str, from_: int | None, to: int | None) -> VersionDiff:
        """What changed between two versions."""

    async def set_paused(self, name: str, paused: bool) -> WorkflowEntry:
        """Let nothing start the workflow, or let it be started again."""

    async def register(self, plan: Plan) -> VersionEntry:
        """A new version of the workflow, or the one that has the same plan."""


class Schedules(Protocol):
    """What starts workflows by time, at a station. Raises Stop for what is not there or refused."""

    async def list(self, workflow: str | None) -> Sequence[ScheduleEntry]:
        """By id, of one workflow or of all."""

    async def get(self, id: str) -> ScheduleEntry:
        """How it stands."""

    async def preview(self, id: str, count: int, after: str | None) -> Preview:
        """The next moments after now, or after a time (RFC 3339)."""

    async def set_paused(self, id: str, paused: bool, reason: str | None) -> ScheduleEntry:
        """Let it start nothing, or go on with its next moment."""

    async def trigger(self, id: str, folder: str) -> RunEntry:
        """A run for this moment. `folder`: where its code lies, for a process that runs it here."""


class Backfills(Protocol):
    """Moments of schedules that are made up for, at a station. Raises Stop for what is not there or refused."""

    async def plan(self, wanted: Wanted) -> BackfillPlan:
        """What one would do."""

    async def confirm(self, plan_id: str) -> BackfillEntry:
        """Begin it."""

    async def list(self, workflow: str | None, state: str | None, most: int) -> Sequence[BackfillEntry]:
        """Newest first."""

    async def get(self, number: int) -> BackfillEntry:
        """How far it is."""

    async def moments(self, number: int, state: str | None) -> Sequence[BackfillMomentEntry]:
        """In the order of their turns."""

    async def change(self, number: int, action: str, detail: dict[str, Any], **values: Any) -> BackfillEntry:
        """Pause it, let it go on, cancel it (`runs`: with those that go on), or change its `max_active` and `priority`."""

    async def take_up(self) -> bool:
        """Have this process decide where nobody does; whether it decides."""

    def under_way(self, folder: str) -> AbstractAsyncContextManager[None]:
        """Meanwhile this process begins the runs of backfills, where it decides. `folder`: where their code lies."""


class Waits(Protocol):
    """What tasks that wait are told, at a station. Raises Stop for what is not there or refused."""

    async def list(self, run: str | None) -> Sequence[ApprovalEntry]:
        """Approvals that wait, the longest first; `run`: an id."""

    async def decide(self, id: int, approved: bool, form: Mapping[str, Any], comment: str | None) -> str:
        """Agree to one or reject it, and wait until an engine has decided; the id of its run."""

    async def signal(self, name: str, key: str | None, payload: Any) -> None:
        """Send a signal."""


class Pools(Protocol):
    """Slots that tasks share, at a station. Raises Stop for what is not there or refused."""

    async def list(self) -> Sequence[PoolEntry]:
        """By name."""

    async def known(self) -> frozenset[str] | None:
        """The names that have a size; None: whoever registers looks."""

    async def set(self, name: str, slots: int, note: str | None) -> PoolEntry:
        """Make it, or change it."""

    async def delete(self, name: str) -> None:
        """One that nothing names any more."""


class Station(Protocol):
    """Runs of one project, and what belongs to them. What is refused or not there is a Stop."""

    @property
    def workflows(self) -> Workflows:
        """The project's workflows."""

    @property
    def schedules(self) -> Schedules:
        """The project's schedules."""

    @property
    def waits(self) -> Waits:
        """Approvals and signals of the project."""

    @property
    def pools(self) -> Pools:
        """The project's pools."""

    @property
    def backfills(self) -> Backfills:
        """The project's backfills."""

    @property
    def lines(self) -> Lines:
        """What tasks wrote."""

    @property
    def letters(self) -> Letters:
        """The project's dead letters."""

    @property
    def owns(self) -> bool:
        """Whether this very process decides: a run that goes on is cut off when it leaves."""

    # -- looking ------------------------------------------------------------------------------------------------------

    async def find(self, text: str) -> RunEntry:
        """The run of that id, of an unique beginning of one, or the `last`."""

    async def runs(self, *, workflow: str | None, state: str | None, limit: int) -> Sequence[RunEntry]:
        """Newest first."""

    async def see(self, run: str) -> Seen:
        """The run of that id as it stands, with its output however large."""

    async def status(self, text: str) -> RunStatus:
        """How the run that `text` names stands, from the cache where there is one."""

    async def degraded(self) -> DegradedCache | None:
        """Why the cache cannot be used, where there is one that cannot."""

    async def explain(self, text: str, task: str | None, most: int | None) -> Explained:
        """Why one task waits, or every one that has not ended; when all have, every one that did not succeed."""

    async def plan(self, run: RunEntry) -> Plan | None:
        """The plan that it goes by; None for who may not see it."""

    def watch(self, run: RunEntry) -> AsyncGenerator[Change, None]:
        """Its changes until it is final: from its beginning where it was just started here, from its command where one was just
        given, else from now on."""

    async def workers(self, *, queue: str | None, gone: bool) -> Sequence[WorkerEntry]:
        """Those that engines hear; `gone`: those too that they have not heard of late."""

    async def drain_worker(self, worker: str) -> WorkerEntry:
        """Have it leave; as it was heard last. Raises Stop when it is not heard."""

    # -- steering -----------------------------------------------------------------------------------------------------

    async def start(
        self,
        version: VersionDetail,
        plan: Plan,
        params: Mapping[str, Any],
        *,
        folder: str,
        priority: str | None,
        key: str | None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> RunEntry:
        """A run of that version, whose plan is `plan`. `folder`: where its code lies, for a process that runs it here.
        Raises InvalidWorkflow (invalid_parameter)."""

    async def command(self, run: RunEntry, kind: RunCommand, body: Mapping[str, Any]) -> RunEntry:
        """Ask the run's engine, and wait until it has decided; the run as it is then."""

    async def act(self, run: RunEntry, task: str, action: TaskAction, body: Mapping[str, Any]) -> str:
        """The same about one task run; its name as written."""
