"""What survives which fault: dead engines, stale owners, stores that fail, damaged runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports.store import Batch, OutcomeUnknown, StoreUnavailable
from headrace.engine.shell.patient import PartLost
from tests.support.flows import child, flow, py, sleep, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, crash, rig


async def test_after_a_crash_everything_goes_on_where_it_was_committed(bench: Rig) -> None:
    """faults 16 of the crash points: in the embedded mode no attempt outlives the engine."""
    bench.worker.body = lambda d: HOLD if d.job.task_id == "b" else Answer(output=1)
    row = await bench.submit(
        flow(py("a"), py("b", "a", retry=tries(2, 0)), py("c", "b"), sleep("nap", 50), py("d", "nap"))
    )
    await bench.settle()
    (b,) = [d for d in bench.worker.seen if d.job.task_id == "b"]
    await bench.worker.report(b, Answer("started"))
    await bench.settle()
    await crash(bench)
    bench.worker.held.clear()
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    await bench.advance(0.5)
    assert (await bench.states(row.no))["b"] == "succeeded"
    await bench.advance(50)
    view = await bench.view(row.no)
    assert view.run.state == 6
    assert bench.worker.names.count("a") == 1
    assert next(t for t in view.tasks if t.id == "b").attempts == 2
    await bench.agrees(row.no)


async def test_a_new_owner_leaves_attempts_with_workers_that_still_hold_them(tmp_path: Path) -> None:
    """E9: what is held stays, what is not held is sent again with a new delivery and the same attempt."""
    async with rig(tmp_path, sole=False) as bench:
        bench.worker.body = lambda d: HOLD
        row = await bench.submit(flow(py("a"), py("b")))
        await bench.settle()
        gone = next(key for key, d in bench.worker.held.items() if d.job.task_id == "b")
        del bench.worker.held[gone]
        await crash(bench)
        await bench.worker.beat()
        await bench.settle()
        assert any(ask.keys is None for ask in bench.worker.asked)
        assert bench.worker.names == ["a", "b"]
        bench.worker.body = lambda d: Answer()
        await bench.worker.alive(2)
        await bench.settle()
        assert bench.worker.names == ["a", "b", "b"]
        await bench.worker.finish("a")
        await bench.settle()
        view = await bench.view(row.no)
        assert {t.id: (t.state, t.attempts) for t in view.tasks} == {
            "a": ("succeeded", 1),
            "b": ("succeeded", 1),
        }


async def test_a_stale_owner_writes_and_sends_nothing(bench: Rig) -> None:
    """faults 23, 24."""
    row = await bench.submit(flow(py("a")))
    await bench.store.release(0, "engine")
    await bench.store.claim(0, "another")
    with pytest.raises(PartLost):
        await bench.settle()
    await bench.worker.step()
    assert bench.worker.seen == []
    assert (await bench.row(row.no)).state == 0
    assert bench.engine.live == 0


class Faulty:
    """The real store, but for what a test makes go wrong. `fail` gives, call by call, what commit does."""

    def __init__(self, store: Any, *fail: str) -> None:
        self._store = store
        self._fail = list(fail)
        self.commits: list[int] = []
        self.was_away = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        how = self._fail.pop(0) if self._fail else "well"
        self.commits.append(batches[0].seq)
        if how == "away":
            self.was_away.set()
            raise StoreUnavailable("it is away")
        if how == "lost":
            raise OutcomeUnknown
        lost: list[int] = await self._store.commit(batches)
        if how == "unanswered":
            raise OutcomeUnknown
        return lost

    async def settle(self, batches: Sequence[Batch]) -> bool:
        # The store's own answer for SQLite is moot: its connection cannot die. The history tells.
        row = batches[0].history[0]
        return any(past.seq == row.seq for past in await self._store.history(row.run))


@pytest.mark.parametrize("fault", ["away", "lost", "unanswered"])
async def test_a_commit_that_fails_or_whose_answer_is_lost_happens_once(tmp_path: Path, fault: str) -> None:
    """faults 28, 33, 34, 38."""
    async with rig(tmp_path) as bench:
        faulty = Faulty(bench.store, "well", fault, "well")
        await bench.engine.stop()
        bench.make(faulty)
        await bench.engine.start()
        row = await bench.submit(flow(py("a"), py("b", "a")))
        await bench.settle()
        assert await bench.states(row.no) == {"a": "succeeded", "b": "succeeded"}
        assert bench.worker.names == ["a", "b"]
        assert bench.engine.trouble is None
        repeated = len(faulty.commits) - len(set(faulty.commits))
        assert repeated == (0 if fault == "unanswered" else 1)
        await bench.agrees(row.no)


async def test_a_run_whose_machine_fails_is_set_aside_and_the_others_go_on(
    bench: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """faults 45: what is wrong with one run concerns that run only."""
    from headrace.engine.core.machine import RunMachine

    bench.worker.body = lambda d: HOLD
    bad, good = await bench.submit(flow(py("a"))), await bench.submit(flow(py("a"), py("b", "a")))
    await bench.settle()
    decide = RunMachine.decide_at_once

    def broken(self: RunMachine, decision: Any, events: Any) -> Any:
        if self.info.no == bad.no:
            raise AssertionError("a fault of ours")
        return decide(self, decision, events)

    monkeypatch.setattr(RunMachine, "decide_at_once", broken)
    for dispatch in list(bench.worker.held.values()):
        await bench.worker.report(dispatch, Answer())
    bench.worker.body = lambda d: Answer()
    await bench.settle()
    assert (await bench.row(good.no)).state == 6
    assert (await bench.states(bad.no))["a"] == "dispatched"
    assert "a fault of ours" in bench.engine.counters.broken[bad.no]
    assert "set aside" in caplog.text
    monkeypatch.setattr(RunMachine, "decide_at_once", decide)
    await crash(bench)
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(bad.no)).state == 6


@pytest.mark.parametrize("when", ["with it", "before it"])
async def test_what_a_run_that_is_set_aside_was_told_waits_until_it_is_decided_again(
    bench: Rig, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its child ends in the turn that fails, or later: nobody would tell it a second time."""
    from headrace.engine.core.machine import RunMachine

    await bench.register(flow(py("a")), "inner")
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(child("call", "inner"), py("b")))
    await bench.settle()
    assert sorted(bench.worker.names) == ["a", "b"]
    decide = RunMachine.decide_at_once

    def broken(self: RunMachine, decision: Any, events: Any) -> Any:
        if self.info.no == row.no:
            raise AssertionError("a fault of ours")
        return decide(self, decision, events)

    monkeypatch.setattr(RunMachine, "decide_at_once", broken)
    if when == "before it":
        await bench.worker.finish("b")
        await bench.settle()
        assert row.no in bench.engine.broken
    await bench.worker.finish("a")
    await bench.settle()
    assert row.no in bench.engine.broken
    monkeypatch.setattr(RunMachine, "decide_at_once", decide)
    await crash(bench)
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(row.no)).state == 6


async def test_a_damaged_run_is_set_aside_and_the_others_are_taken_over(bench: Rig, tmp_path: Path) -> None:
    """faults 45: a flipped byte concerns its run only."""
    bench.worker.body = lambda d: HOLD
    bad, good = await bench.submit(flow(py("a"))), await bench.submit(flow(py("a")))
    await bench.settle()
    with closing(sqlite3.connect(tmp_path / "rig.db")) as database:
        database.execute("update runs set params = ? where no = ?", (b'{"x":1}', bad.no))
        database.commit()
    await crash(bench)
    bench.worker.held.clear()
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(good.no)).state == 6
    assert "damaged" in bench.engine.broken[bad.no]


async def test_an_engine_that_waits_for_its_store_ends_quietly_when_told_to_stop(tmp_path: Path) -> None:
    async with rig(tmp_path) as bench:
        await bench.engine.stop()
        faulty = Faulty(bench.store, *["away"] * 1_000)
        engine = bench.make(faulty)
        await engine.start()
        running = asyncio.create_task(engine.run())
        await bench.submit(flow(py("a")))
        await asyncio.wait_for(faulty.was_away.wait(), 10)
        assert not running.done()
        await engine.stop()
        await running
