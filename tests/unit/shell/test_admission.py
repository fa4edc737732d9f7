"""Which runs may start: `active_runs`, pauses before the start, and deadlines that do not wait for an admission."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.engine.core.workflow import Limits
from headrace.engine.shell.commands import AskBody
from tests.support.flows import flow, py
from tests.unit.shell.rig import HOLD, Rig, rig

ONE = flow(py("a"), limits=Limits(active_runs=1))
SOON = flow(py("a"), limits=Limits(active_runs=1), deadline=timedelta(seconds=60))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        made.worker.body = lambda dispatch: HOLD
        yield made


async def states(bench: Rig, *runs: int) -> list[int]:
    return [(await bench.row(run)).state for run in runs]


async def test_a_run_that_was_paused_while_queued_asks_for_admission_when_it_is_resumed(bench: Rig) -> None:
    first, second = await bench.submit(ONE), await bench.submit(ONE)
    await bench.settle()
    await bench.command(second.no, "pause", AskBody("ann"))
    await bench.settle()
    assert await states(bench, first.no, second.no) == [1, 2]
    await bench.command(second.no, "resume", AskBody("ann"))
    await bench.settle()
    assert await states(bench, first.no, second.no) == [1, 0]
    assert len(bench.worker.seen) == 1
    await bench.worker.finish("a")
    await bench.settle()
    assert await states(bench, first.no, second.no) == [6, 1]
    await bench.worker.finish("a")
    await bench.settle()
    await bench.agrees(second.no)


async def test_a_run_that_is_paused_while_queued_keeps_nobody_from_starting(bench: Rig) -> None:
    runs = [(await bench.submit(ONE)).no for _ in range(3)]
    await bench.settle()
    await bench.command(runs[1], "pause", AskBody("ann"))
    await bench.settle()
    await bench.worker.finish("a")
    await bench.settle()
    assert await states(bench, *runs) == [6, 2, 1]
    await bench.command(runs[1], "resume", AskBody("ann"))
    await bench.settle()
    assert await states(bench, *runs) == [6, 0, 1]


async def test_a_paused_run_that_never_started_takes_no_place_after_a_restart(bench: Rig) -> None:
    first, second = await bench.submit(ONE), await bench.submit(ONE)
    await bench.settle()
    await bench.command(second.no, "pause", AskBody("ann"))
    await bench.worker.finish("a")
    await bench.settle()
    await bench.engine.stop()
    bench.make()
    await bench.engine.start()
    third = await bench.submit(ONE)
    await bench.settle()
    assert await states(bench, first.no, second.no, third.no) == [6, 2, 1]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
async def test_the_deadline_hits_a_run_that_still_waits(bench: Rig, paused: bool, restarted: bool) -> None:
    first = await bench.submit(ONE)
    await bench.settle()
    waiting = await bench.submit(SOON)
    await bench.settle()
    if paused:
        await bench.command(waiting.no, "pause", AskBody("ann"))
        await bench.settle()
    if restarted:
        await bench.engine.stop()
        bench.make()
        await bench.engine.start()
        await bench.settle()
    await bench.advance(59)
    assert (await bench.row(waiting.no)).state == (2 if paused else 0)
    await bench.advance(2)
    row = await bench.row(waiting.no)
    assert (row.state, row.reason) == (7, "deadline")
    assert (await bench.states(waiting.no)) == {"a": "cancelled"}
    assert (await bench.row(first.no)).state == 1
    await bench.agrees(waiting.no)


async def test_the_oldest_run_starts_first_whoever_was_resumed_last(bench: Rig) -> None:
    runs = [(await bench.submit(ONE)).no for _ in range(3)]
    await bench.settle()
    await bench.command(runs[1], "pause", AskBody("ann"))
    await bench.settle()
    await bench.command(runs[1], "resume", AskBody("ann"))
    await bench.settle()
    await bench.worker.finish("a")
    await bench.settle()
    assert await states(bench, *runs) == [6, 1, 0]


async def test_the_deadline_of_a_run_that_waited_is_kept_when_it_starts(bench: Rig) -> None:
    await bench.submit(ONE)
    await bench.settle()
    waiting = await bench.submit(SOON)
    await bench.settle()
    await bench.advance(30)
    await bench.worker.finish("a")
    await bench.settle()
    assert (await bench.row(waiting.no)).state == 1
    (loaded,) = await bench.store.load([waiting.no])
    assert [(timer.kind, timer.due_at) for timer in loaded.timers] == [("deadline", waiting.created_at + 60)]
