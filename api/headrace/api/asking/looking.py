"""Task runs that somebody looks at: found, explained, a page at a time. No Litestar here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, overload

import msgspec

from headrace.api.asking.finding import SHOWN, run_of
from headrace.api.asking.pools import sizes_for
from headrace.api.office import Office
from headrace.api.paging import Page, cursor_of, place_of
from headrace.api.problems import Problem, missing
from headrace.api.shapes.tasks import TaskState, TaskWhy, task_state, task_why
from headrace.api.showing.reasons import explained, live_workers
from headrace.api.showing.snapshots import Snapshot
from headrace.engine.core.keys import LEVELS, MAX_ITEMS, Key, pack, written
from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import TaskState as State
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.shell.commands import Refused, key_of
from headrace.engine.shell.plans import PlanMissing
from headrace.engine.shell.rows import error_of
from headrace.engine.shell.views import RunUnknown, TaskView

UPSTREAMS = 20
"""How many upstreams of a task a list tells."""
_UNDER_WAY = frozenset((State.PENDING, State.QUEUED, State.DISPATCHED, State.RUNNING))


class Spot(NamedTuple):
    """A task run that a path names."""

    key: Key
    view: TaskView


async def snapshot_of(office: Office, project: str, run: str) -> Snapshot:
    """The run as it stands. Raises Problem (404; 500 where its plan cannot be had)."""
    row = await run_of(office, project, run)
    try:
        return await office.snapshots.get(row)
    except RunUnknown:
        raise missing("run", run[:SHOWN]) from None
    except PlanMissing as problem:
        raise Problem(500, "plan_missing", str(problem)) from problem


class Named(NamedTuple):
    """A task run as a path names it, whether or not the run has it."""

    id: str
    node: int
    path: int


def task_named(plan: Plan, task: str, index: str | None) -> Named:
    """The task of that id and these indexes (`2,1`); it may be written with them, too: `each.encode[2,1]`. Raises Problem
    (404, 400)."""
    name, bracket, rest = task.partition("[")
    if bracket and rest.endswith("]") and index is None:
        index = rest[:-1]
    elif bracket:
        name = task
    node = plan.index.get(name)
    if node is None:
        hint = did_you_mean(name[:SHOWN], plan.ids)
        raise Problem(404, "not_found", f"The run has no task {name[:SHOWN]}." + (f" {hint}" if hint else ""))
    path = _path(index)
    try:
        key_of(plan, written(name, path))
    except Refused as refused:
        if path:
            raise Problem(
                400, "index", str(refused), problems=[{"field": "index", "message": str(refused)}]
            ) from None
    return Named(name, node, path)


def spot_of(snapshot: Snapshot, task: str, index: str | None) -> Spot:
    """The task run that a path names. A mapped task without an index is the map itself. Raises Problem (404, 400)."""
    layout = snapshot.layout
    name, node, path = task_named(snapshot.plan, task, index)
    key = Key(node, path)
    at = layout.find(node, path)
    view = layout.head(key) if at is None else layout.view(at)
    if view is not None:
        return Spot(key, view)
    places = layout.places(node)
    if index is None and not path and len(places):
        raise Problem(
            400,
            "index",
            f"Task {name} lies in a map and has {len(places):,} task runs: name one, such as ?index=0.",
            problems=[{"field": "index", "message": "missing"}],
        )
    raise missing("task run", written(name, path))


def _path(index: str | None) -> int:
    if index is None:
        return 0
    parts = index.split(",")
    if len(parts) <= LEVELS and all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        indexes = tuple(map(int, parts))
        if max(indexes) <= MAX_ITEMS:
            return pack(indexes)
    raise Problem(
        400,
        "index",
        "An index is a number from 0 on, or several, outermost first: ?index=2,1.",
        problems=[{"field": "index", "message": "no index"}],
    )


class Place(msgspec.Struct, array_like=True):
    """Where a list of task runs goes on: behind this one, by its id, since a rerun may have another plan."""

    task: str
    map: int


def listed(
    snapshot: Snapshot, states: frozenset[int] | None, cursor: str | None, limit: int
) -> tuple[Sequence[int], str | None]:
    """The places of a page of task runs in any of `states`, and its `next`. Raises Problem (400)."""
    layout = snapshot.layout
    begin = 0
    place = place_of(cursor, Place)
    if place is not None:
        node = snapshot.plan.index.get(place.task)
        if node is None or not 0 <= place.map < 1 << 63:
            raise Problem(400, "cursor", "The run has gone on with another version: begin the list again.")
        begin = layout.after(node, place.map)
    found: list[int] = []
    if states is None:
        found = list(range(begin, min(begin + limit + 1, len(layout))))
    else:
        for at in range(begin, len(layout)):
            if layout.states[at] in states:
                found.append(at)
                if len(found) > limit:
                    break
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursor_of(Place(snapshot.plan.ids[layout.nodes[last]], layout.paths[last]))


async def states_page(
    office: Office, snapshot: Snapshot, states: frozenset[int] | None, cursor: str | None, limit: int
) -> Page[TaskState]:
    """A page of task runs with what they wait for."""
    places, following = listed(snapshot, states, cursor, limit)
    views = await with_errors(office, snapshot, [snapshot.layout.view(at) for at in places])
    machine = await snapshot.explaining()
    workers, slots = await _workers(office, views), await _slots(office, snapshot, views)
    told = (explained(machine, view, workers, UPSTREAMS, slots=slots) for view in views)
    items = [task_state(snapshot.plan, view, each) for view, each in zip(views, told, strict=True)]
    return Page(items, following)


@overload
async def why(office: Office, snapshot: Snapshot, spot: Spot) -> TaskWhy: ...
@overload
async def why(office: Office, snapshot: Snapshot, spot: Spot, *, sentences: bool) -> TaskState: ...
async def why(office: Office, snapshot: Snapshot, spot: Spot, *, sentences: bool = True) -> TaskState:
    """One task run with all of its upstreams; and why, in sentences."""
    view = (await with_errors(office, snapshot, [spot.view]))[0]
    machine = await snapshot.explaining()
    slots = await _slots(office, snapshot, [view])
    told = explained(machine, view, await _workers(office, [view]), slots=slots)
    return (task_why if sentences else task_state)(snapshot.plan, view, told)


async def with_errors(office: Office, snapshot: Snapshot, views: Sequence[TaskView]) -> list[TaskView]:
    """The same task runs with what went wrong, which a snapshot does not hold."""
    keys: dict[tuple[int, int, int, int], int] = {}
    for place, view in enumerate(views):
        node = snapshot.plan.index[view.id]
        row = snapshot.layout.row(node, view.map)
        if row is not None and not _spared(row.state, row.attempt):
            keys[(row.run, row.generation, node, view.map)] = place
    found = list(views)
    if keys:
        for stored in await office.store.values(list(keys)):
            error = error_of(stored.error)
            if error is not None:
                place = keys[(stored.run, stored.generation, stored.task, stored.map)]
                found[place] = replace(found[place], error={"kind": error.kind, "message": error.message})
    return found


def _spared(state: int, attempt: int) -> bool:
    """Whether nothing can have gone wrong yet, or nothing has."""
    return state == State.SUCCEEDED or (attempt < 2 and state in _UNDER_WAY)


async def _slots(office: Office, snapshot: Snapshot, views: Iterable[TaskView]) -> dict[str, int]:
    return await sizes_for(office.store, snapshot.run.project, office.pools, snapshot.plan, views)


async def _workers(office: Office, views: Iterable[TaskView]) -> list[WorkerRow] | None:
    """Whom the engines hear, where some task run may wait for one of them."""
    if office.embedded or not any(view.state in ("pending", "queued", "retrying") for view in views):
        return None
    return await live_workers(office.store)
