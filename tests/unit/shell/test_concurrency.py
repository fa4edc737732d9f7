"""Concurrency keys of runs: who waits for whom, and whom a strategy cancels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Concurrency, Limits
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.commands import StopBody
from tests.support.flows import flow, py
from tests.unit.shell.rig import HOLD, Rig, rig

QUEUED, RUNNING, CANCELLING, SUCCEEDED, CANCELLED = 0, 1, 3, 6, 10
ANY = {"params": {"region": {"type": "string"}}}


def keyed(strategy: str = "queue", limit: int = 1, **keys: object) -> Plan:
    return flow(py("a"), concurrency=(Concurrency("params.region", limit, strategy),), **ANY, **keys)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        made.worker.body = lambda dispatch: HOLD
        yield made


async def asked(bench: Rig, plan: Plan, *regions: str) -> list[int]:
    """The runs, one after the other."""
    runs = []
    for region in regions:
        runs.append((await bench.submit(plan, {"region": region})).no)
        await bench.settle()
    return runs


async def rows(bench: Rig, runs: list[int]) -> list[RunRow]:
    return [await bench.row(run) for run in runs]


async def states(bench: Rig, runs: list[int]) -> list[int]:
    return [row.state for row in await rows(bench, runs)]


async def finish(bench: Rig) -> None:
    await bench.worker.finish("a")
    await bench.settle()


async def test_runs_with_one_key_take_turns_and_others_do_not_wait(bench: Rig) -> None:
    runs = await asked(bench, keyed(), "eu", "eu", "us")
    assert await states(bench, runs) == [RUNNING, QUEUED, RUNNING]
    await finish(bench)
    assert await states(bench, runs) == [SUCCEEDED, RUNNING, RUNNING]
    for run in runs:
        await bench.agrees(run)


async def test_a_key_and_active_runs_are_taken_at_once(bench: Rig) -> None:
    plan = keyed(limits=Limits(active_runs=2))
    runs = await asked(bench, plan, "eu", "eu", "us", "us", "apac")
    assert await states(bench, runs) == [RUNNING, QUEUED, RUNNING, QUEUED, QUEUED]
    await finish(bench)  # the first; its key and a place are free
    assert await states(bench, runs) == [SUCCEEDED, RUNNING, RUNNING, QUEUED, QUEUED]


async def test_several_keys_are_all_to_be_had(bench: Rig) -> None:
    keys = (Concurrency("params.region"), Concurrency("run.workflow", 2))
    plan = flow(py("a"), concurrency=keys, **ANY)
    runs = await asked(bench, plan, "eu", "eu", "us", "apac")
    assert await states(bench, runs) == [RUNNING, QUEUED, RUNNING, QUEUED]


async def test_cancel_newest(bench: Rig) -> None:
    runs = await asked(bench, keyed("cancel_newest"), "eu", "eu", "us")
    first, second, third = await rows(bench, runs)
    assert (first.state, third.state) == (RUNNING, RUNNING)
    assert (second.state, second.reason) == (CANCELLED, "concurrency_key_taken")
    await bench.agrees(runs[1])


async def test_keep_newest(bench: Rig) -> None:
    runs = await asked(bench, keyed("keep_newest"), "eu", "eu", "eu")
    assert await states(bench, runs) == [RUNNING, CANCELLED, QUEUED]
    assert (await bench.row(runs[1])).reason == "superseded"
    await finish(bench)
    assert await states(bench, runs) == [SUCCEEDED, CANCELLED, RUNNING]


async def test_cancel_in_progress_begins_when_the_older_run_has_ended(bench: Rig) -> None:
    bench.worker.deaf = True
    runs = await asked(bench, keyed("cancel_in_progress"), "eu", "eu")
    assert await states(bench, runs) == [CANCELLING, QUEUED]
    await finish(bench)
    first, second = await rows(bench, runs)
    assert (first.state, first.reason, second.state) == (CANCELLED, "superseded", RUNNING)


async def test_after_a_restart_who_went_on_has_its_key(bench: Rig) -> None:
    runs = await asked(bench, keyed(), "eu", "eu")
    await bench.engine.stop()
    bench.make()
    await bench.engine.start()
    await bench.settle()
    runs += await asked(bench, keyed(), "eu")
    assert (await states(bench, runs))[1:] == [QUEUED, QUEUED]
    await bench.command(runs[1], "cancel", StopBody("ann"))
    await bench.settle()
    assert (await states(bench, runs))[1:] == [CANCELLED, QUEUED]


async def test_a_key_that_cannot_be_judged_counts_as_null(bench: Rig) -> None:
    """Nobody can ask for such a run; here it is, all the same."""
    plan = flow(py("a"), concurrency=(Concurrency("params.region.name"),), **ANY)
    runs = await asked(bench, plan, "eu", "us")
    assert await states(bench, runs) == [RUNNING, QUEUED]


@pytest.mark.parametrize("value", ["x" * 1000, "\N{SNOWMAN}" * 300])
async def test_a_long_value_is_a_key_like_any_other(bench: Rig, value: str) -> None:
    runs = await asked(bench, keyed(), value, value + "y", value)
    assert await states(bench, runs) == [RUNNING, RUNNING, QUEUED]
