"""The station on this machine's database: read from the store, steered through `Embedded` or `Outside`."""

from __future__ import annotations

import json as codec
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.api.shapes.operations import worker_entry
from headrace.api.shapes.runs import DegradedCache, RunDetail, RunEntry, RunStatus, run_entry, run_status
from headrace.api.shapes.tasks import TaskRun, task_run
from headrace.api.showing.times import instant
from headrace.api.veiling import OPEN
from headrace.cli.failure import Stop
from headrace.cli.local_backfills import LocalBackfills
from headrace.cli.local_letters import LocalLetters
from headrace.cli.local_lines import LocalLines
from headrace.cli.local_pools import LocalPools
from headrace.cli.local_runs import LocalRuns
from headrace.cli.local_schedules import LocalSchedules
from headrace.cli.local_waits import LocalWaits
from headrace.cli.local_workflows import LocalWorkflows
from headrace.cli.references import find_run, is_whole_id
from headrace.cli.refusals import no_worker, paused
from headrace.cli.station import Explained, RunCommand, Seen, TaskAction
from headrace.engine.core.keys import written
from headrace.engine.core.states import RunState

if TYPE_CHECKING:
    from headrace.api.shapes.operations import WorkerEntry
    from headrace.api.shapes.workflows import VersionDetail
    from headrace.cli.settings import Settings
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.artifacts import Artifacts, LogReader
    from headrace.engine.ports.cache import Cache
    from headrace.engine.ports.store import RunRow, Store
    from headrace.engine.shell.engine import Engine
    from headrace.engine.shell.views import Change, RunView
    from headrace.runners.embedded import Embedded
    from headrace.runners.outside import Outside


class LocalStation:
    """A store of this machine.

    Args:
        home: what decides or asks for decisions; None for commands that only look.
        cache: the cluster's, where one is named.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        home: Embedded | Outside | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.store, self.settings, self.project = store, settings, settings.project
        self._home, self._cache = home, cache
        self._runs = LocalRuns(store, settings.project)
        self.workflows = LocalWorkflows(settings, store)
        self.schedules = LocalSchedules(settings, store, self)
        self.waits = LocalWaits(settings, store, self)
        self.pools = LocalPools(settings, store)
        self.backfills = LocalBackfills(settings, store, self)
        self.lines = LocalLines(store, self._runs, lambda: self.logs)
        self.letters = LocalLetters(settings, store, home)

    @property
    def owns(self) -> bool:
        return self._home is not None and self._home.owns

    @property
    def home(self) -> Embedded | Outside:
        """What steers."""
        assert self._home is not None, "this station was opened to be looked at"
        return self._home

    @property
    def engine(self) -> Engine:
        """The one of this process, which owns the store."""
        from headrace.runners.embedded import Embedded

        assert isinstance(self._home, Embedded)
        assert self._home.engine is not None
        return self._home.engine

    @cached_property
    def logs(self) -> LogReader:
        from headrace.engine.artifacts import open_logs

        return open_logs(self.store, self.settings.home / "logs") if self._home is None else self._home.logs

    @cached_property
    def artifacts(self) -> Artifacts:
        from headrace.engine.artifacts import open_artifacts

        return open_artifacts(self.settings.artifact_store) if self._home is None else self._home.artifacts

    def known(self, row: RunRow) -> RunEntry:
        """The run of a row, which is remembered as it was read now."""
        self._runs.keep(row)
        return run_entry(row, OPEN)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def find(self, text: str) -> RunEntry:
        return run_entry(await self._runs.find(text), OPEN)

    async def runs(self, *, workflow: str | None, state: str | None, limit: int) -> Sequence[RunEntry]:
        rows = await self.store.list_runs(
            self.project,
            workflow=workflow,
            state=RunState[state.upper()] if state else None,
            limit=limit,
        )
        return [run_entry(row, OPEN) for row in rows]

    async def see(self, run: str) -> Seen:
        from headrace.engine.shell.views import run_view

        row = await self._runs.row(run)
        return seen(await run_view(self.store, row.no, artifacts=self.artifacts))

    async def status(self, text: str) -> RunStatus:
        from headrace.engine.shell.standing import status_of

        cache = self._cache
        status = None if cache is None or not is_whole_id(text) else await cache.status(text.lower())
        if status is None or status.project != self.project:
            row = await find_run(self.store, self.project, text)
            status = await status_of(self.store, self.project, row.id, cache=cache)
        return run_status(status, None if cache is None else cache.degraded)

    async def degraded(self) -> DegradedCache | None:
        why = None if self._cache is None else await self._cache.probe()
        return None if why is None else DegradedCache(why=why.why, since=instant(why.since))

    async def explain(self, text: str, task: str | None, most: int | None) -> Explained:
        from headrace.cli.local_reasons import explain

        row = await self._runs.find(text)
        return await explain(self.settings, self.store, row, task, most, self.pools.given)

    async def plan(self, run: RunEntry) -> Plan | None:
        from headrace.cli.here import plan_of

        return await plan_of(self.store, run.plan)

    async def watch(self, run: RunEntry) -> AsyncGenerator[Change, None]:
        async for change in self.home.watch(await self._runs.row(run.run)):
            yield change

    async def workers(self, *, queue: str | None, gone: bool) -> Sequence[WorkerEntry]:
        from headrace.engine.shell.roster import FRESH_SECONDS

        fresh = (await self.store.survey()).now - FRESH_SECONDS
        return [
            worker_entry(worker, worker.seen_at >= fresh)
            for worker in await self.store.workers()
            if (gone or worker.seen_at >= fresh) and (queue is None or queue in worker.queues)
        ]

    async def drain_worker(self, worker: str) -> WorkerEntry:
        from headrace.cli.acts import act
        from headrace.cli.here import me
        from headrace.engine.shell.draining import request
        from headrace.engine.shell.roster import FRESH_SECONDS

        now = (await self.store.survey()).now
        live = await self.store.workers(now - FRESH_SECONDS)
        found = next((one for one in live if one.id == worker), None)
        if found is None:
            raise no_worker(worker)
        line = act(self.settings, "worker.drain", f"worker {worker}", {"incarnation": found.incarnation})
        await self.store.post(request(found, f"local:{me()}", now), act=line)
        return worker_entry(found, True)

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
        from headrace.cli.acts import act
        from headrace.cli.here import me

        settings = await self.store.workflow_settings(self.project, [version.name])
        said = settings.get(version.name)
        if said is not None and said.paused:
            raise paused(version.name)
        detail = {"workflow": version.name, "version": version.version, "key": key}
        row = await self.home.submit(
            plan,
            params,
            trigger={"kind": "manual", "by": me()},
            folder=folder,
            file=None,
            priority=priority or (None if said is None else said.priority),
            key=key,
            select=select,
            exclude=exclude,
            act=act(self.settings, "run.start", "run", detail),
        )
        return self.known(row)

    async def command(self, run: RunEntry, kind: RunCommand, body: Mapping[str, Any]) -> RunEntry:
        row = await self._runs.row(run.run)
        if kind == "rerun" and body.get("from") != "failed":
            from headrace.cli.here import plan_of
            from headrace.engine.shell.commands import key_of

            plan = await plan_of(self.store, row.plan)
            for task in body["from"]:
                key_of(plan, task)
        detail = dict(body)
        if "inputs" in detail:  # their names, without what they hold
            detail["inputs"] = sorted(detail["inputs"] or ())
        return await self._ask(row, kind, body, f"run.{kind}", f"run {row.id}", detail)

    async def act(self, run: RunEntry, task: str, action: TaskAction, body: Mapping[str, Any]) -> str:
        from headrace.cli.here import plan_of
        from headrace.engine.shell.commands import key_of

        row = await self._runs.row(run.run)
        plan = await plan_of(self.store, row.plan)
        key = key_of(plan, task)
        name = written(plan.ids[key.task], key.map)
        asked = {"task": task, "action": action, **body}
        object = f"task {name} of run {row.id}"
        await self._ask(row, "task", asked, f"task.{action}", object, {"reason": body.get("reason")})
        return name

    async def row_of(self, run: str) -> RunRow:
        """The run of that id, as it is stored."""
        return await self._runs.row(run)

    async def decide(
        self, run: str, kind: str, body: Mapping[str, Any], action: str, about: str, detail: Mapping[str, Any]
    ) -> RunEntry:
        """A command to the run, and what became of it. `about`: of the run, for the audit. Raises Stop."""
        row = await self._runs.row(run)
        return await self._ask(row, kind, body, action, f"{about} of run {row.id}", detail)

    async def _ask(
        self,
        row: RunRow,
        kind: str,
        body: Mapping[str, Any],
        action: str,
        object: str,
        detail: Mapping[str, Any],
    ) -> RunEntry:
        """Post a command and wait until it was decided; the audit says so by `action`, `object` and `detail`. Raises Stop with the
        engine's words when it was refused."""
        from headrace.cli.acts import act
        from headrace.cli.here import me
        from headrace.engine.shell import history

        asker = me()
        line = act(self.settings, action, object, detail)
        await self.home.command(row.no, kind, {"by": asker, **body}, act=line)
        for entry in await self.store.history(row.no, after=row.seq):
            for refusal in history.decode(entry.body, history.NoContent()).refused:
                if (refusal.kind, refusal.by) == (kind, asker):
                    raise Stop(refusal.why)
        now = await self.store.run(row.no)
        assert now is not None
        # what is watched begins with the command, by the plan that holds from then on
        self._runs.keep(row._replace(version=now.version, plan=now.plan))
        return run_entry(now, OPEN)


def seen(view: RunView) -> Seen:
    """A run as the store showed it."""
    fields = msgspec.structs.asdict(run_entry(view.run, OPEN))
    output = None if view.run.output is None else codec.loads(view.run.output)
    detail = RunDetail(**fields, output=output)
    return Seen(detail, [TaskRun(**task_run(task)) for task in view.tasks], view.aside)
