"""What the broker may do to an engine: unreadable and strange messages, logs that were cut, messages it will not take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from headrace.engine.broker.memory import MemoryEngineSide
from headrace.engine.ports.broker import Arrived, Gap, Refused, Undecodable
from headrace.engine.ports.messages import Dispatches, ToWorker
from tests.support.flows import flow, py, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, rig


class Troubled(MemoryEngineSide):
    """The in-process broker, but for what a test makes go wrong."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.broker)
        self.unreadable: list[Arrived] = []
        self.met: list[Gap] = []
        self.refuses: str | None = None
        self.alone: list[str] = []
        self.missing = 0
        self.behind = False
        self.given = 0
        self._refused: list[Refused] = []

    async def receive(self, timeout: float | None) -> list[Arrived]:
        found, self.unreadable = self.unreadable, []
        found += await super().receive(timeout)
        self.given += len(found)
        return found

    def gaps(self) -> Sequence[Gap]:
        met, self.met = self.met, []
        return met

    def refused(self) -> Sequence[Refused]:
        refused, self._refused = self._refused, []
        return refused

    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        """Refuses every message in which an attempt of the task `refuses` is."""
        if isinstance(message, Dispatches) and any(
            item.job.task_id == self.refuses for item in message.items
        ):
            self._refused.append(Refused(queue, inbox, message, "it is too large"))
            self.wake()
            return
        super().send(queue, inbox, message)

    def caught_up(self, part: int) -> bool:
        return not self.behind and super().caught_up(part)

    @property
    def unacknowledged(self) -> int:
        return self.missing


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, sole=False) as made:
        await made.engine.stop()
        made.make(side=Troubled(made))
        await made.start()
        yield made


def side(bench: Rig) -> Troubled:
    found = bench.engine._broker
    assert isinstance(found, Troubled)
    return found


async def test_a_message_that_nobody_can_read_is_kept_and_its_neighbours_count(bench: Rig) -> None:
    """faults 22: the offset moves on, and is committed with the dead letter."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    where = "job-status", 0
    side(bench).unreadable = [
        Arrived(0, 0, Undecodable(*where, 0, "no JSON", b"{")),
        Arrived(0, 1, Undecodable(*where, 1, "attempt is missing", b"{}", 3)),
    ]
    await bench.worker.finish("a")
    await bench.settle()
    assert (await bench.row(row.no)).state == 6
    assert bench.engine.counters.unreadable == 2
    kept = await bench.store.poison()
    assert sorted((one.offset, one.item, one.reason, one.body) for one in kept) == [
        (0, -1, "no JSON", b"{"),
        (1, 3, "attempt is missing", b"{}"),
    ]


async def test_a_report_about_a_run_that_never_was_is_kept_once_and_one_about_an_ended_run_is_not(
    bench: Rig,
) -> None:
    """faults 19, 21."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    (dispatch,) = bench.worker.seen
    await bench.worker.report(dispatch, Answer(), run=row.no + 100)
    await bench.worker.finish("a")
    await bench.settle()
    for _ in range(1_000):
        await bench.worker.report(dispatch, Answer())
    await bench.settle()
    assert (await bench.row(row.no)).state == 6
    counters = bench.engine.counters
    assert (counters.unknown_runs, counters.stale) == (1, 1_001)
    (kept,) = await bench.store.poison()
    assert kept.reason == f"There is no run number {row.no + 100}."
    assert b"succeeded" in kept.body


async def test_an_attempt_that_the_broker_will_not_take_fails_and_its_neighbours_go_out(bench: Rig) -> None:
    """faults 30."""
    side(bench).refuses = "large"
    row = await bench.submit(flow(py("large", retry=tries(1)), py("b"), py("c")))
    await bench.settle()
    assert await bench.states(row.no) == {"large": "failed", "b": "succeeded", "c": "succeeded"}
    view = await bench.view(row.no)
    (large,) = [task for task in view.tasks if task.id == "large"]
    assert large.reason == "dispatch_refused"
    assert large.error == {
        "kind": "dispatch",
        "message": "The attempt could not be sent to worker w1: it is too large",
    }
    assert bench.engine.counters.undelivered == 1
    await bench.agrees(row.no)


async def test_after_a_gap_everything_in_flight_is_asked_after(
    bench: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """faults 26."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b")))
    await bench.settle()
    bench.worker.asked.clear()
    side(bench).met = [Gap(0, 40, 90)]
    await bench.settle()
    (ask,) = bench.worker.asked
    assert sorted(key[2] for key in ask.keys or ()) == [0, 1]
    assert bench.engine.counters.gaps == 1
    assert "does not hold offset 40" in caplog.text
    dispatch = next(d for d in bench.worker.seen if d.job.task_id == "a")
    bench.worker.body = lambda d: Answer()
    await bench.worker.report(dispatch, Answer("unknown"))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "succeeded"


async def test_no_lease_ends_while_reports_cannot_be_read(bench: Rig) -> None:
    """faults 18, crash point 12."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0))))
    await bench.settle()
    await bench.worker.report(bench.worker.seen[0], Answer("started"))
    await bench.settle()
    side(bench).behind = True
    for _ in range(60):
        await bench.advance(1)
    assert await bench.states(row.no) == {"a": "running"}
    side(bench).behind = False
    for _ in range(32):
        await bench.advance(1)
    assert bench.worker.seen[-1].attempt == 2


async def test_while_too_much_is_unacknowledged_nothing_more_is_gathered(bench: Rig) -> None:
    """E5."""
    side(bench).missing = 10_001
    row = await bench.submit(flow(py("a")))
    for _ in range(5):
        await bench.engine.turn(0)
        await bench.worker.step()
    assert bench.worker.names == []
    side(bench).missing = 10_000
    await bench.settle()
    assert (await bench.row(row.no)).state == 6


async def test_reports_that_come_faster_than_they_are_decided_wait_in_the_broker(tmp_path: Path) -> None:
    async with rig(tmp_path, gathered=2) as bench:
        await bench.engine.stop()
        bench.make(side=Troubled(bench))
        await bench.engine.start()
        bench.worker.body = lambda d: HOLD
        await bench.submit(flow(py("a")))
        await bench.settle()
        for _ in range(4):
            for _ in range(20):
                await bench.worker.report(bench.worker.seen[0], Answer("unknown"), attempt=9)
            await bench.engine.turn(0)
            assert side(bench).given == 20
        assert bench.engine.counters.stale == 8
        await bench.settle()
        assert bench.engine.counters.stale == side(bench).given == 80


async def test_an_offset_that_moves_without_anything_to_commit_is_stored_in_time(bench: Rig) -> None:
    """No log may expire behind it."""
    bench.worker.body = lambda d: HOLD
    await bench.submit(flow(py("a")))
    await bench.settle()
    for _ in range(310):
        await bench.worker.alive(1)
        await bench.advance(1)
    read = bench.broker.end(0)
    await bench.engine.stop()
    owned = await bench.store.claim(0, "another")
    assert 0 <= read - owned.next_offset < 15
    await bench.store.release(0, "another")
    bench.make(side=Troubled(bench))
    await bench.engine.start()
