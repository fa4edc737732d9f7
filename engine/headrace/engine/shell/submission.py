"""A run that is asked for from outside: its parameters completed and checked, its identity and its part drawn, and begun.

Command line, API, topics and triggers all come through here, so a run is the same whoever asked for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import msgspec

from headrace.engine.core.plan import Plan
from headrace.engine.core.selection import resolve
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Json
from headrace.engine.ports.acts import Act
from headrace.engine.ports.store import Created, InboxRow, KeyTaken, NewRun, RunRow, Store, VersionRow
from headrace.engine.shell import commands
from headrace.engine.shell.children import CheckParams, Entropy, part_of, run_id
from headrace.engine.shell.times import day_of, rfc3339

LOOK_EVERY = 0.1
ENDED_WITHIN = 60.0
"""Seconds that a run has to end in, teardowns included, for one that was to take its place."""


def new_run(
    plan: Plan,
    version: VersionRow,
    params: Mapping[str, Json],
    *,
    now: float,
    parts: int,
    trigger: Mapping[str, Json],
    check: CheckParams,
    folder: str | None = None,
    file: str | None = None,
    priority: str | None = None,
    key: str | None = None,
    idempotency: str | None = None,
    scheduled_at: float | None = None,
    event: Json = None,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    entropy: Entropy = os.urandom,
) -> NewRun:
    """The run to create. `now`: seconds since the epoch; `parts`: how many the database has; `scheduled_at`: the moment that
    the run is for, `now` when it is None; `event`: what the trigger saw. The trigger may give the day in its own zone as `date`.

    `select`, `exclude`: selectors of the part of the graph that is to run; with neither, all of it.

    Raises InvalidWorkflow (invalid_parameter) with all that is wrong.
    """
    if select or exclude:
        trigger = {**trigger, **selection(plan, select, exclude)}
    identity = run_id(now, entropy)
    moment = now if scheduled_at is None else scheduled_at
    given: Mapping[str, Json] = {}
    if params or plan.workflow.params or plan.workflow.concurrency:
        given = check(plan, params, _scope(plan, version, identity, moment, trigger, event))
    return NewRun(
        id=identity,
        project=version.project,
        workflow=plan.workflow.name,
        version=version.version,
        plan=plan.hash,
        part=part_of(identity, parts),
        params=msgspec.json.encode(given),
        trigger=msgspec.json.encode(dict(trigger)),
        created_at=now,
        scheduled_at=moment,
        priority=priority or plan.workflow.priority.value,
        event=None if event is None else msgspec.json.encode(event),
        key=key,
        idempotency=idempotency,
        folder=folder,
        file=file,
        tags=plan.workflow.tags,
    )


def selection(plan: Plan, select: Sequence[str], exclude: Sequence[str]) -> dict[str, Json]:
    """What the trigger of a run keeps of its selection: what was asked for, and the ids that it came to. Raises
    InvalidWorkflow (invalid_parameter)."""
    selected = resolve(plan, select, exclude)
    return {"select": list(select), "exclude": list(exclude), "selected": list(selected)}


def _scope(
    plan: Plan, version: VersionRow, identity: str, moment: float, trigger: Mapping[str, Json], event: Json
) -> dict[str, Json]:
    """What defaults of parameters are judged over."""
    return {
        "run": {
            "id": identity,
            "workflow": plan.workflow.name,
            "version": version.version,
            "trigger": str(trigger["kind"]),
            "scheduled_at": rfc3339(moment),
            "date": trigger.get("date") or day_of(moment),
            "started_at": None,
        },
        "event": event,
    }


def new_row(new: NewRun, no: int) -> RunRow:
    """The row of a run as it was just created, though an engine may have moved it since."""
    return RunRow(
        no=no,
        id=new.id,
        project=new.project,
        workflow=new.workflow,
        version=new.version,
        plan=new.plan,
        part=new.part,
        state=RunState.QUEUED,
        reason=None,
        generation=1,
        paused=False,
        params=new.params,
        trigger=new.trigger,
        event=new.event,
        key=new.key,
        parent=new.parent,
        depth=new.depth,
        priority=new.priority,
        created_at=new.created_at,
        scheduled_at=new.scheduled_at,
        started_at=None,
        finished_at=None,
        output=None,
        artifact=None,
        generations=None,
        folder=new.folder,
        file=new.file,
        seq=0,
    )


async def begin(
    store: Store,
    run: NewRun,
    on_conflict: str,
    nudge: Callable[[int], None],
    *,
    by: str,
    within: float = ENDED_WITHIN,
    act: Act | None = None,
) -> Created:
    """Create the run and tell the owner of its part. May be repeated with the same `run`. `act`: the line of the audit, and the
    key under which the same request is known again.

    `on_conflict`, when a live run has its key: use_existing | reject | cancel_existing, which cancels that run for `by`
    and waits at most `within` seconds for its end. Raises KeyTaken, Repeated, StoreUnavailable, OutcomeUnknown.
    """
    if on_conflict != "cancel_existing":
        created = await store.create_run(run, on_conflict, act=act)
    else:
        created = await _take_the_place(store, run, nudge, by, within, act)
    if not created.existed:
        nudge(run.part)
    return created


async def _take_the_place(
    store: Store, run: NewRun, nudge: Callable[[int], None], by: str, within: float, act: Act | None
) -> Created:
    until = monotonic() + within
    told: set[str] = set()
    while True:
        try:
            return await store.create_run(run, "reject", act=act)
        except KeyTaken as taken:
            if monotonic() > until:
                raise
            if taken.run not in told:
                told.add(taken.run)
                await _cancel(store, run, taken.run, nudge, by, act)
        await asyncio.sleep(LOOK_EVERY)


async def _cancel(
    store: Store, run: NewRun, existing: str, nudge: Callable[[int], None], by: str, act: Act | None
) -> None:
    for row in await store.find_runs(run.project, existing):
        if RunState(row.state) is RunState.CANCELLING:
            continue
        body = commands.encode("cancel", commands.StopBody(by, f"run {run.id} takes its place"))
        noted = None
        if act is not None:
            noted = act._replace(action="run.cancel", object=f"run {row.id}", detail=body, once=None)
        await store.post(InboxRow(0, row.part, row.no, "cancel", body, run.created_at), act=noted)
        nudge(row.part)
