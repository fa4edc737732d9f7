"""A person stops a task run, and the engine dies before the worker has answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.engine.shell.commands import TaskBody
from tests.support.flows import flow, py, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, rig


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        made.worker.body = lambda dispatch: HOLD
        yield made


@pytest.mark.parametrize("running", [False, True])
async def test_a_stop_outlives_the_engine_that_took_it(bench: Rig, running: bool) -> None:
    """faults 53: what was told to stop is not tried again by the next engine."""
    row = await bench.submit(flow(py("a", retry=tries(3)), py("z", "a")))
    await bench.settle()
    (dispatch,) = bench.worker.seen
    bench.worker.held.clear()  # it hears of the stop and says nothing
    await bench.command(row.no, "task", TaskBody("ann", "a", "cancel"))
    await bench.settle()
    if running:
        await bench.worker.report(dispatch, Answer("started"))
        await bench.settle()
    assert (await bench.states(row.no))["a"] == ("running" if running else "dispatched")
    await bench.engine.stop()
    bench.make()
    await bench.engine.start()
    await bench.settle()
    view = await bench.view(row.no)
    assert [(t.state, t.reason, t.by, t.attempts) for t in view.tasks] == [
        ("cancelled", "asked", "ann", 1),
        ("upstream_failed", "trigger_rule", None, 0),
    ]
    assert bench.worker.names == ["a"]
    await bench.agrees(row.no)


async def test_the_next_engine_tells_a_worker_that_lives_on(tmp_path: Path) -> None:
    """faults 53: the stop reaches the worker, though the engine that owns the run now has not heard of it yet."""
    async with rig(tmp_path, sole=False) as bench:
        bench.worker.body = lambda dispatch: HOLD
        row = await bench.submit(flow(py("a", retry=tries(3))))
        await bench.settle()
        held = dict(bench.worker.held)
        bench.worker.held.clear()  # the stop is lost on its way
        await bench.command(row.no, "task", TaskBody("ann", "a", "cancel"))
        await bench.settle()
        bench.worker.held.update(held)
        bench.worker.aborted.clear()
        bench.engine._forget()  # it dies without a word
        await bench.store.release(0, "engine")
        bench.make()
        await bench.engine.start()
        await bench.settle()
        await bench.worker.beat()
        await bench.settle()
        assert [key[:4] for key in bench.worker.aborted] == list(held)
        view = await bench.view(row.no)
        assert [(t.state, t.by) for t in view.tasks] == [("cancelled", "ann")]
        await bench.agrees(row.no)
