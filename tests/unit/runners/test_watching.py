"""What is kept of runs that nobody watches, and what those who wait are told."""

from __future__ import annotations

import asyncio

import pytest

from headrace.engine.core.decision import Decision, RunChange
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import Created
from headrace.runners.watching import UNWATCHED, Watches


def ended(state: RunState) -> Decision:
    return Decision(run=RunChange(state, None, 1, 1.0, 2.0, None, None, False))


async def unknown() -> RunState:
    return RunState.RUNNING


async def started(watches: Watches, run: int) -> None:
    async def create() -> Created:
        return Created(run, f"r{run}", False)

    await watches.starting(create())


async def test_a_run_that_ends_before_it_is_waited_for_is_remembered() -> None:
    watches = Watches()
    await started(watches, 1)
    watches.heard(1, ended(RunState.FAILED))
    assert await watches.end(1, unknown) is RunState.FAILED


async def test_of_runs_that_nobody_looks_at_only_the_latest_are_kept() -> None:
    watches = Watches()
    for run in range(1, UNWATCHED + 11):
        await started(watches, run)
        watches.heard(run, ended(RunState.SUCCEEDED))

    async def gone() -> RunState:
        return RunState.CANCELLED  # what only the store could say

    assert await watches.end(10, gone) is RunState.CANCELLED
    assert await watches.end(11, gone) is RunState.SUCCEEDED


async def test_everybody_who_waits_is_told_and_nobody_is_left() -> None:
    watches = Watches()
    waiting = [asyncio.create_task(watches.end(1, unknown)) for _ in range(3)]
    given_up = asyncio.create_task(watches.end(1, unknown))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    watches.heard(1, Decision())
    watches.heard(1, ended(RunState.SUCCEEDED))
    assert await asyncio.gather(*waiting) == [RunState.SUCCEEDED] * 3


async def test_the_fault_of_an_engine_reaches_those_who_wait() -> None:
    watches = Watches()

    async def breaks() -> None:
        raise RuntimeError("the part is lost")

    waiting = asyncio.create_task(watches.end(1, unknown))
    engine = asyncio.create_task(breaks())
    await asyncio.gather(engine, return_exceptions=True)
    watches.broke(engine)
    with pytest.raises(RuntimeError, match="the part is lost"):
        await waiting
