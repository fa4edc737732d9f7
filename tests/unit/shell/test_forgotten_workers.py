"""An attempt that was given to a worker of which the engine knows nothing any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.core.events import Picked
from tests.support.flows import flow, py
from tests.unit.shell.rig import Rig, rig


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, sole=False) as made:
        yield made


@pytest.mark.parametrize("returns", [True, False])
async def test_a_worker_that_is_forgotten_while_it_is_given_something(bench: Rig, returns: bool) -> None:
    """The attempt is dispatched and was never sent: it goes to the same worker when that is heard again, else to the line."""
    engine, fleet = bench.engine, bench.engine._fleet
    decider = engine._turner._decider
    decide = decider.decide

    async def forgetting(work: Any, now: float) -> Any:
        given = list(work)
        if any(isinstance(event, Picked) for _, events in given for event in events):
            fleet._members.clear()
            decider.decide = decide  # type: ignore[method-assign]
        return await decide(given, now)

    decider.decide = forgetting  # type: ignore[method-assign]
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    assert await bench.states(row.no) == {"a": "dispatched"}
    assert engine.in_flight == 1
    assert bench.worker.names == []
    if returns:
        await bench.worker.beat()
        await bench.worker.alive(engine._holdings.parts[0].epoch)
        await bench.settle()
    else:
        for _ in range(10):
            bench.clock.advance(1)
            await bench.settle()
        assert await bench.states(row.no) == {"a": "queued"}
        await bench.worker.beat()
        await bench.settle()
    assert bench.worker.names == ["a"]
    assert await bench.states(row.no) == {"a": "succeeded"}
    await bench.agrees(row.no)
