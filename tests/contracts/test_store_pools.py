"""Pools: kept, changed, told of, and who uses them. On every adapter."""

from __future__ import annotations

from headrace.api.office import ApiStore
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.pools import POOLS, PoolRow, TaskUse
from headrace.engine.ports.store import InboxRow, Store
from tests.contracts.samples import PROJECT, act, batch, new_run, run_update, task_row, version

TOLD = InboxRow(0, 0, None, POOLS, b"{}", 5.0)


def pool(name: str = "db", slots: int = 2, project: str = PROJECT) -> PoolRow:
    return PoolRow(project, name, slots, "sessions", "user:ada", 5.0)


async def test_a_pool_is_kept_changed_and_told_of(store: Store) -> None:
    await store.put_pool(pool(), TOLD)
    await store.put_pool(pool(slots=7)._replace(note=None), TOLD)
    changed = pool(slots=7)._replace(note=None)
    assert await store.pool(PROJECT, "db") == changed
    assert await store.pools(PROJECT) == [changed]
    assert [row.kind for row in await store.inbox(0, 0, 10)] == [POOLS, POOLS]


async def test_they_are_listed_by_name_of_one_project_or_of_all(store: Store) -> None:
    rows = [pool("b"), pool("a"), pool("c", project="other")]
    for row in rows:
        await store.put_pool(row, TOLD)
    assert await store.pools(PROJECT) == [rows[1], rows[0]]
    assert await store.pools(PROJECT, after="a") == [rows[0]]
    assert await store.pools(PROJECT, limit=1) == [rows[1]]
    assert {row.project for row in await store.pools(None)} == {PROJECT, "other"}
    assert await store.pool("other", "a") is None


async def test_one_that_is_deleted_is_gone_and_told_of(store: Store) -> None:
    await store.put_pool(pool(), TOLD)
    assert await store.delete_pool("other", "db", TOLD) is None
    assert await store.delete_pool(PROJECT, "db", TOLD) == pool()
    assert await store.delete_pool(PROJECT, "db", TOLD) is None
    assert await store.pools(PROJECT) == []
    assert len(await store.inbox(0, 0, 10)) == 2


async def test_who_changed_it_stands_in_the_audit(store: ApiStore) -> None:
    await store.put_pool(pool(), TOLD, act=act("pool.put", "pool db"))
    [line] = await store.audit(PROJECT, action="pool.put")
    assert line.object == "pool db"


async def test_task_runs_that_hold_or_want_slots_are_counted_by_task_and_state(
    store: Store, owned: Ownership
) -> None:
    run, other = [await store.create_run(new_run()) for _ in range(2)]
    row = await store.run(run.no)
    assert row is not None
    tasks = [
        task_row(run.no, 0, TaskState.RUNNING),
        task_row(run.no, 1, TaskState.QUEUED),
        task_row(run.no, 2, TaskState.DISPATCHED),
        task_row(run.no, 3, TaskState.RETRYING),
        task_row(other.no, 0, TaskState.RUNNING),
    ]
    ended = run_update(other.no, RunState.FAILED)
    await store.commit([batch(owned.epoch, 1, tasks=tasks, runs=[run_update(run.no), ended])])
    found = await store.tasks_in_use(PROJECT, [row.plan])
    assert sorted(found) == [
        TaskUse(row.plan, 0, TaskState.RUNNING, 1),
        TaskUse(row.plan, 1, TaskState.QUEUED, 1),
        TaskUse(row.plan, 2, TaskState.DISPATCHED, 1),
    ]
    assert await store.tasks_in_use(PROJECT, ["another"]) == []
    assert await store.tasks_in_use("other", [row.plan]) == []


async def test_plans_that_name_pools_are_found(store: Store) -> None:
    plain = await store.register(version("plain", "p1"))
    first = await store.register(version("pooled", "p2", document=b'{"pool":{"name":"db"}}'))
    assert await store.newest_plans(PROJECT) == [("pooled", first.plan)]
    for kept in (plain, first):
        await store.create_run(new_run(workflow=kept.name, plan=kept.plan))
    assert await store.live_plans(PROJECT) == [first.plan]
    await store.register(version("pooled", "p3"))
    assert await store.newest_plans(PROJECT) == []
    assert await store.live_plans("other") == []
