"""What both stores do alike: reads and outside writes are functions over a SQLAlchemy connection, and an adapter says how one is run."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.ports.acts import Act
from headrace.engine.ports.letters import (
    DeadLetter,
    LetterGroup,
    Outgoing,
    PoisonLetter,
    PoisonRow,
    Requeue,
    Requeued,
)
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.schedules import NewSchedule
from headrace.engine.ports.store import (
    Created,
    HistoryRow,
    InboxRow,
    Loaded,
    NewRun,
    RunRow,
    TaskRow,
    VersionNote,
    VersionRow,
)
from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.store import (
    keeping,
    letters,
    listing,
    outgoing,
    reads,
    scheduling,
    settings,
    writes,
)
from headrace.engine.store.shared_access import SharedAccess
from headrace.engine.store.shared_pools import SharedPools
from headrace.engine.store.shared_times import SharedTimes
from headrace.engine.store.shared_waits import SharedWaits


def _of(act: Act | None) -> str | None:
    """The project that an act is confined to."""
    return None if act is None else act.project


class SharedStore(SharedTimes, SharedWaits, SharedPools, SharedAccess):
    """The part of `ports.store.Store` that is the same SQL everywhere."""

    # loading -------------------------------------------------------------------------------------------------------

    async def cached(
        self, project: str, keys: Sequence[str], now: float
    ) -> dict[str, tuple[bytes | None, bytes | None]]:
        return await self._read(reads.cached, project, keys, now) if keys else {}

    async def live_runs(self, part: int) -> list[int]:
        return await self._read(reads.live_runs, part)

    async def load(self, runs: Sequence[int]) -> list[Loaded]:
        return await self._read(reads.load, runs)

    # writing from outside ------------------------------------------------------------------------------------------

    async def register(
        self,
        version: VersionRow,
        *,
        schedules: Sequence[NewSchedule] | None = None,
        act: Act | None = None,
    ) -> VersionRow:
        return await self._change(act, scheduling.register, version, schedules)

    async def create_run(
        self, run: NewRun, on_conflict: str = "use_existing", *, act: Act | None = None
    ) -> Created:
        return await self._write(writes.create_run, run, on_conflict, act)

    async def create_runs(self, runs: Sequence[NewRun]) -> list[Created]:
        """Many without a business key at once; those that exist already are left out of the answer."""
        return await self._write(writes.create_runs, runs) if runs else []

    async def post(self, row: InboxRow, *, act: Act | None = None) -> int:
        """Raises OutcomeUnknown when the connection was lost on the way: a command has no key to be found by."""
        return await self._change(act, writes.post, row, repeatable=False)

    async def post_all(self, rows: Sequence[InboxRow], *, act: Act | None = None) -> list[int]:
        return await self._change(act, writes.post_all, rows, repeatable=False) if rows else []

    # reading -------------------------------------------------------------------------------------------------------

    async def version(self, project: str, name: str, version: int | None = None) -> VersionRow | None:
        return await self._read(reads.version, project, name, version)

    async def versions(self, project: str, name: str | None = None) -> list[VersionNote]:
        return await self._read(reads.versions, project, name)

    async def newest_versions(
        self,
        project: str,
        *,
        tag: str | None = None,
        text: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[VersionNote]:
        return await self._read(
            listing.newest_versions, project, tag=tag, text=text, after=after, limit=limit
        )

    async def plan(self, plan: str) -> bytes | None:
        return await self._read(reads.plan, plan)

    async def run(self, no: int) -> RunRow | None:
        return await self._read(reads.run, no)

    async def run_asked_for(self, project: str, idempotency: str) -> RunRow | None:
        return await self._read(reads.run_asked_for, project, idempotency)

    async def runs_of(self, project: str, numbers: Sequence[int]) -> list[RunRow]:
        return await self._read(reads.runs_of, project, numbers) if numbers else []

    async def existing(self, runs: Sequence[int]) -> list[int]:
        return await self._read(reads.existing, runs) if runs else []

    async def waiting_for(self, part: int, run: int, kind: str) -> list[InboxRow]:
        return await self._read(reads.waiting_for, part, run, kind)

    async def unapplied(self, kind: str, most: int) -> int:
        return await self._read(reads.unapplied, kind, most)

    async def find_runs(self, project: str, prefix: str) -> list[RunRow]:
        return await self._read(reads.find_runs, project, prefix)

    async def list_runs(
        self,
        project: str,
        *,
        workflow: str | None = None,
        state: int | None = None,
        tag: str | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        text: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        return await self._read(
            listing.list_runs,
            project,
            workflow=workflow,
            state=state,
            tag=tag,
            created_after=created_after,
            created_before=created_before,
            text=text,
            before=before,
            limit=limit,
        )

    async def count_runs(self, project: str, since: float) -> dict[int, int]:
        return await self._read(listing.count_runs, project, since)

    async def count_tasks(self, project: str, most: int) -> dict[int, int]:
        return await self._read(listing.count_tasks, project, most)

    async def task_rows(self, run: int) -> list[TaskRow]:
        return await self._read(reads.task_rows, run)

    async def history(self, run: int, after: int = 0, limit: int | None = None) -> list[HistoryRow]:
        return await self._read(reads.history, run, after, limit)

    async def children(self, run: int) -> list[RunRow]:
        return await self._read(reads.children, run)

    # dead letters --------------------------------------------------------------------------------------------------

    async def dead_letters(
        self,
        project: str,
        limit: int = 50,
        *,
        workflow: str | None = None,
        task: str | None = None,
        fingerprint: str | None = None,
        state: str | None = None,
        before: int | None = None,
    ) -> list[DeadLetter]:
        wanted = letters.Wanted(project, workflow, task, fingerprint, state)
        return await self._read(letters.listed, wanted, before, limit)

    async def dead_letter_groups(
        self,
        project: str,
        limit: int = 50,
        *,
        workflow: str | None = None,
        task: str | None = None,
        state: str | None = None,
    ) -> list[LetterGroup]:
        return await self._read(letters.groups, letters.Wanted(project, workflow, task, None, state), limit)

    async def count_letters(self, project: str) -> int:
        return await self._read(letters.count, project)

    async def dead_letter(self, project: str, letter: int) -> DeadLetter | None:
        return await self._read(letters.one, project, letter)

    async def these_letters(self, project: str, ids: Sequence[int]) -> list[DeadLetter]:
        return await self._read(letters.these, project, ids) if ids else []

    async def requeue(
        self, wanted: Sequence[Requeue], by: str, at: float, *, act: Act | None = None
    ) -> list[Requeued]:
        return (
            await self._change(act, letters.requeue, wanted, by, at, _of(act), repeatable=False)
            if wanted
            else []
        )

    async def discard(
        self, letters_: Sequence[int], by: str, note: str, at: float, *, act: Act | None = None
    ) -> list[int]:
        return await self._change(act, letters.discard, letters_, by, note, at, _of(act))

    async def reopen(self, letters_: Sequence[int], at: float, *, act: Act | None = None) -> list[int]:
        return await self._change(act, letters.reopen, letters_, at, _of(act))

    async def poison(
        self, limit: int = 50, *, state: str | None = None, before: int | None = None
    ) -> list[PoisonLetter]:
        return await self._read(letters.poison, state, before, limit)

    async def discard_poison(
        self, letters_: Sequence[int], by: str, note: str, at: float, *, act: Act | None = None
    ) -> list[int]:
        return await self._change(act, letters.discard_poison, letters_, by, note, at)

    # what job-dlq has not been told --------------------------------------------------------------------------------

    async def park(self, poison: Sequence[PoisonRow]) -> None:
        if poison:
            await self._write(outgoing.park, poison)

    async def take_unpublished(self, limit: int, at: float, until: float) -> Outgoing:
        return await self._write(outgoing.take, limit, at, until)

    async def published(self, letters_: Sequence[int], poison: Sequence[int]) -> None:
        if letters_ or poison:
            await self._write(outgoing.settle, letters_, poison)

    # workers, and what is kept -------------------------------------------------------------------------------------

    async def saw_workers(self, workers: Sequence[WorkerRow]) -> None:
        if workers:
            await self._write(keeping.saw_workers, workers)

    async def workers(self, since: float = 0.0) -> list[WorkerRow]:
        return await self._read(keeping.workers, since)

    async def expire(self, before: float, limit: int = 100) -> int:
        return await self._write(keeping.expire, before, limit)

    # settings of workflows -----------------------------------------------------------------------------------------

    async def workflow_settings(
        self, project: str, names: Sequence[str] | None = None
    ) -> dict[str, WorkflowSettings]:
        return await self._read(settings.of_workflows, project, names)

    async def set_workflow(
        self,
        project: str,
        name: str,
        at: float,
        *,
        paused: bool | None = None,
        priority: str | None = None,
        act: Act | None = None,
    ) -> WorkflowSettings:
        return await self._change(act, settings.change, project, name, at, paused, priority)
