"""A rerun on another version moves the run's row: version and plan are written when they are given, and left alone else."""

from __future__ import annotations

from headrace.engine.ports.store import Store
from tests.contracts.samples import batch, new_run, run_update


async def test_a_run_goes_over_to_another_version(store: Store) -> None:
    owned = await store.claim(0, "me")
    moved, kept = [await store.create_run(new_run()) for _ in range(2)]
    updates = [run_update(moved.no, version=7, plan="sha256:new"), run_update(kept.no)]
    assert await store.commit([batch(owned.epoch, 1, runs=updates)]) == []
    assert await store.commit([batch(owned.epoch, 2, runs=[run_update(moved.no)])]) == []
    rows = [await store.run(made.no) for made in (moved, kept)]
    assert [(row.version, row.plan) for row in rows if row is not None] == [
        (7, "sha256:new"),
        (new_run().version, new_run().plan),
    ]
