"""How a run stands: from the cache, else from the store."""

from __future__ import annotations

from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Cache, Status
from headrace.engine.ports.store import Store
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.views import RunUnknown, run_view


async def status_of(
    store: Store, project: str, run: str, *, cache: Cache | None = None, plans: Plans | None = None
) -> Status:
    """The status of the run of that id. From the cache it is at most `LASTS_SECONDS` old, and mostly as committed.

    `plans` spares building plans again from one call to the next. Raises RunUnknown, PlanMissing.
    """
    if cache is not None:
        kept = await cache.status(run)
        if kept is not None and kept.project == project:
            return kept
    row = next((row for row in await store.find_runs(project, run) if row.id == run), None)
    if row is None:
        raise RunUnknown(f"There is no run {run}.")
    plan = None if plans is None else (await plans.get(row.plan)).plan
    view = await run_view(store, row.no, plan)
    row = view.run
    status = Status(
        run=row.id,
        no=row.no,
        project=row.project,
        workflow=row.workflow,
        version=row.version,
        state=RunState(row.state).word,
        reason=row.reason,
        paused=row.paused,
        generation=row.generation,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        tasks=view.counts(),
        epoch=0,
        seq=row.seq,
    )
    if cache is not None:
        await cache.fill(status)
    return status
