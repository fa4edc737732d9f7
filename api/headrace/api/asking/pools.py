"""Pools: listed with who uses them, given a size, deleted where nothing names them. No Litestar here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from headrace.api.problems import Problem, missing
from headrace.api.shapes.pools import POOL, PoolEntry
from headrace.api.showing.times import instant
from headrace.engine.core.states import TaskState
from headrace.engine.ports.acts import Act
from headrace.engine.ports.pools import POOLS, PoolRow
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.children import part_of
from headrace.engine.shell.plans import PlanMissing, Plans

if TYPE_CHECKING:
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.views import TaskView

SHOWN = 10
"""Workflows that an answer names."""
_NAME = re.compile(POOL.removesuffix("$"))
_LONGEST = 100


class _Use(NamedTuple):
    used: int = 0
    waiting: int = 0


async def listed(
    store: Store, plans: Plans, project: str, given: Mapping[str, int], after: str, limit: int | None
) -> list[PoolEntry]:
    """By name, those behind `after`. `given`: sizes that are settings of this process, where the store says nothing."""
    kept = {row.name: row for row in await store.pools(project, after=after, limit=limit)}
    names = sorted(kept.keys() | {name for name in given if name > after})[:limit]
    uses = await _uses(store, plans, project) if names else {}
    return [_entry(name, kept.get(name), given, uses.get(name, _Use())) for name in names]


async def one(store: Store, plans: Plans, project: str, given: Mapping[str, int], name: str) -> PoolEntry:
    """Raises Problem (404)."""
    row = await store.pool(project, name) if "\0" not in name else None
    if row is None and name not in given:
        raise missing("pool", name[:_LONGEST])
    uses = await _uses(store, plans, project)
    return _entry(name, row, given, uses.get(name, _Use()))


async def put(
    store: Store,
    project: str,
    name: str,
    slots: int,
    note: str | None,
    by: str,
    at: float,
    parts: int,
    act: Act,
) -> int:
    """Give it that size; the part that grants for the project, which is told. Raises Problem (422), Repeated."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        message = "A pool's name is made of a-z, 0-9, dot, hyphen and underscore, begins with a letter or digit, and has 1 to 100 characters."
        raise Problem(422, "invalid", message, problems=[{"field": "name", "message": message}])
    home = part_of(project, parts)
    await store.put_pool(PoolRow(project, name, slots, note, by, at), _told(home, at), act=act)
    return home


async def drop(store: Store, plans: Plans, project: str, name: str, at: float, parts: int, act: Act) -> int:
    """Delete it. Raises Problem (404, 409 pool_in_use), Repeated."""
    if "\0" in name or await store.pool(project, name) is None:
        raise missing("pool", name[:_LONGEST])
    naming = [
        workflow for workflow, plan in await store.newest_plans(project) if name in await _named(plans, plan)
    ]
    if naming:
        more = "" if len(naming) <= SHOWN else f" and {len(naming) - SHOWN} more"
        raise Problem(
            409,
            "pool_in_use",
            f"The tasks of {', '.join(naming[:SHOWN])}{more} take slots of {name}. Register versions that do not, or give it 0 slots to hold them.",
            workflows=naming[:SHOWN],
        )
    uses = await _uses(store, plans, project)
    if name in uses:
        raise Problem(
            409,
            "pool_in_use",
            f"{sum(uses[name])} slots of {name} are taken or waited for by runs that go on.",
        )
    home = part_of(project, parts)
    if await store.delete_pool(project, name, _told(home, at), act=act) is None:
        raise missing("pool", name)
    return home


async def sizes(store: Store, project: str, given: Mapping[str, int]) -> dict[str, int]:
    """Slots by name, of pools that have any or are closed."""
    return {**given, **{row.name: row.slots for row in await store.pools(project)}}


async def sizes_for(
    store: Store, project: str, given: Mapping[str, int], plan: Plan, tasks: Iterable[TaskView]
) -> dict[str, int]:
    """The same, where one of these task runs waits for slots; else nothing is looked for."""
    for task in tasks:
        if task.state == "queued" and plan.tasks[plan.index[task.id]].pool is not None:
            return await sizes(store, project, given)
    return {}


def _told(home: int, at: float) -> InboxRow:
    return InboxRow(0, home, None, POOLS, b"{}", at)


def _entry(name: str, row: PoolRow | None, given: Mapping[str, int], use: _Use) -> PoolEntry:
    return PoolEntry(
        name=name,
        slots=given[name] if row is None else row.slots,
        used=use.used,
        waiting=use.waiting,
        note=None if row is None else row.note,
        changed_by=None if row is None else row.changed_by,
        changed_at=None if row is None else instant(row.changed_at),
    )


async def _uses(store: Store, plans: Plans, project: str) -> dict[str, _Use]:
    """Of pools that are used or waited for."""
    costs = {plan: await _named(plans, plan) for plan in await store.live_plans(project)}
    found: dict[str, _Use] = {}
    for use in await store.tasks_in_use(project, [plan for plan, named in costs.items() if named]):
        for name, tasks in costs[use.plan].items():
            cost = tasks.get(use.task)
            if cost is None:
                continue
            so_far = found.get(name, _Use())
            if use.state == TaskState.QUEUED:
                found[name] = so_far._replace(waiting=so_far.waiting + use.times)
            else:
                found[name] = so_far._replace(used=so_far.used + use.times * cost)
    return found


async def _named(plans: Plans, hash: str) -> dict[str, dict[int, int]]:
    """The pools that a plan's tasks name: which tasks, at which cost."""
    try:
        tasks = (await plans.get(hash)).plan.tasks
    except PlanMissing:
        return {}
    named: dict[str, dict[int, int]] = {}
    for place, task in enumerate(tasks):
        if task.pool is not None:
            named.setdefault(task.pool.name, {})[place] = task.pool.cost
    return named
