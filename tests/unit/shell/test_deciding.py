"""What is decided from, and in which order it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from headrace.engine.core.events import Continued
from headrace.engine.core.machine import judging
from headrace.engine.ports.store import Batch
from headrace.engine.shell.commands import RerunBody
from headrace.engine.shell.part import Turn
from tests.support.flows import flow, py
from tests.unit.shell.rig import HOLD, Answer, Rig


async def test_of_several_generations_the_newest_value_counts(bench: Rig) -> None:
    """Read from the store: nothing of it is in memory any more."""
    bench.worker.body = lambda d: HOLD if d.job.task_id == "gate" else Answer(output=d.generation)
    row = await bench.submit(
        flow(py("a"), py("gate", "a"), py("z", "gate", with_={"n": "${{ tasks.a.output }}"}))
    )
    await bench.settle()
    await bench.worker.finish("gate")
    await bench.settle()
    assert bench.worker.seen[-1].inputs["with"] == {"n": 1}
    await bench.command(row.no, "rerun", RerunBody("ann", ["a"]))
    await bench.settle()
    bench.engine._turner._decider._values.clear()
    await bench.worker.finish("gate")
    await bench.settle()
    assert bench.worker.seen[-1].inputs["with"] == {"n": 2}
    await bench.agrees(row.no)


class Picky:
    """The real store, but that it refuses whatever is larger than one run's share, and keeps what it was given."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.refuses = False
        self.taken: list[Batch] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        (batch,) = batches
        if self.refuses and len({row.run for row in batch.history}) > 1:
            raise ValueError("too much at once")
        lost: list[int] = await self._store.commit(batches)
        self.taken.append(batch)
        return lost


async def test_an_offset_never_passes_what_was_not_written(bench: Rig) -> None:
    """faults 25: runs that are committed one by one leave the offset to the last commit of all."""
    await bench.engine.stop()
    picky = Picky(bench.store)
    bench.make(picky)
    await bench.engine.start()
    bench.worker.body = lambda d: HOLD
    for _ in range(3):
        await bench.submit(flow(py("a")))
    await bench.settle()
    for dispatch in bench.worker.seen:
        await bench.worker.report(dispatch, Answer())
    picky.taken.clear()
    picky.refuses = True
    await bench.settle()
    ended = [batch for batch in picky.taken if batch.history]
    assert [len(batch.history) for batch in ended] == [1, 1, 1]
    assert [batch.next_offset for batch in ended] == [None] * 3
    assert [batch.next_offset for batch in picky.taken if batch.next_offset is not None] == [
        bench.broker.end(0)
    ]


async def test_a_fault_in_the_middle_of_deciding_concerns_its_run_alone(
    bench: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults 45: the machine has begun to decide, and raises while it judges."""

    def broken(judge: Any, extra: object) -> None:
        raise AssertionError("a fault of ours")

    monkeypatch.setitem(judging.JUDGES, "when", broken)
    bad = await bench.submit(flow(py("a", when="true")))
    good = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    assert await bench.states(good.no) == {"a": "succeeded", "b": "succeeded"}
    assert await bench.states(bad.no) == {"a": "pending"}
    assert "a fault of ours" in bench.engine.counters.broken[bad.no]


async def test_a_turn_that_lost_a_part_says_nothing_of_its_runs(bench: Rig) -> None:
    """E3: neither the store nor anybody who listens is told."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    live = bench.engine._holdings.runs[row.no]
    turn = Turn(1.0, 1.0)
    turn.add(live, Continued(1.0))
    turn.portion(live.part).settle_offset()
    turn.lose(live.part)
    assert (turn.touched, turn.portions) == ({}, {})
