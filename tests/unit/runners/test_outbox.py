"""Reports on their way, over a broker that is away: bounded in memory, then on disk, in order, and over a restart."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.engine.broker.memory import MemoryBroker, MemoryEngineSide
from headrace.engine.ports.messages import ErrorInfo, Report, Reports, ToEngine
from headrace.runners import outbox as module
from headrace.runners.outbox import ENVELOPE_BYTES, LARGEST_ENVELOPE, Outbox, Sent
from headrace.runners.spill import Spill


class Line:
    """A worker's side that can be cut."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(parts=4)
        self.engine: MemoryEngineSide = self.broker.engine_side()
        for part in range(4):
            self.engine.seek(part, 0)
        self._side = self.broker.worker_side("w", 0)
        self.up = asyncio.Event()
        self.up.set()
        self.tried = asyncio.Event()
        self.inbox = 0

    async def report(self, part: int, message: ToEngine) -> None:
        self.tried.set()
        await self.up.wait()
        await self._side.report(part, message)

    def report_at_once(self, part: int, message: ToEngine) -> bool:
        return False

    async def heard(self) -> list[list[Report]]:
        """By part, what has arrived."""
        parts: list[list[Report]] = [[] for _ in range(4)]
        for arrived in await self.engine.receive(0):
            assert isinstance(arrived.message, Reports)
            parts[arrived.part] += arrived.message.items
        return parts


class Rig:
    def __init__(self, folder: Path | None, line: Line | None = None) -> None:
        self.line = line or Line()
        self.acknowledged: list[Report] = []
        self.spilled: list[Report] = []
        self.outbox = Outbox(
            self.line,  # type: ignore[arg-type]
            "w",
            "i",
            lambda items: self.acknowledged.extend(report for _, report in items),
            spilled=lambda items: self.spilled.extend(report for _, report in items),
            restored=self._restored,
            spill=None if folder is None else Spill(folder),
        )

    @staticmethod
    def _restored(report: Report) -> Sent:
        return (report.run, report.generation, report.task, report.map, report.attempt), report

    async def flush(self) -> None:
        """And wait for what goes to disk."""
        self.outbox.flush()
        if self.outbox._writer is not None:
            await self.outbox._writer

    def put(self, part: int, number: int, output: bytes | None = None, kind: str = "succeeded") -> None:
        key = (1, 0, number, 0, 1)
        self.outbox.put(part, key, Report(*key, 1, 1, kind, output=output))


async def test_order_per_part_holds_through_memory_and_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    rig = Rig(tmp_path)
    rig.line.up.clear()
    for number in range(200):
        rig.put(number % 4, number)
        if number % 7 == 0:
            rig.outbox.flush()
            await asyncio.sleep(0)
    await rig.flush()
    await rig.flush()
    assert len(rig.spilled) > 150
    assert rig.outbox._count < 20, "memory holds little"
    rig.line.up.set()
    await rig.outbox.drained()
    heard = await rig.line.heard()
    assert [[report.task for report in part] for part in heard] == [
        list(range(part, 200, 4)) for part in range(4)
    ]
    assert len(rig.acknowledged) == 200
    assert (rig.outbox._count, rig.outbox._bytes) == (0, 0)
    assert os.listdir(tmp_path) == [], "sent files are removed"


async def test_large_outputs_go_to_disk_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 100_000)
    rig = Rig(tmp_path)
    rig.line.up.clear()
    for number in range(20):
        rig.put(0, number, b'"' + b"x" * 20_000 + b'"')
        await rig.flush()
    assert len(rig.spilled) >= 14
    rig.line.up.set()
    await rig.outbox.drained()
    assert [report.task for report in (await rig.line.heard())[0]] == list(range(20))


async def test_without_a_disk_they_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    rig = Rig(None)
    rig.line.up.clear()
    for number in range(20):
        rig.put(0, number)
    rig.outbox.flush()
    rig.line.up.set()
    await rig.outbox.drained()
    assert len(rig.acknowledged) == 20


async def test_a_disk_that_cannot_be_written_costs_memory_not_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    (tmp_path / "file").touch()
    rig = Rig(tmp_path / "file")
    rig.line.up.clear()
    for number in range(20):
        rig.put(0, number)
    await rig.flush()
    await rig.flush()
    assert caplog.text.count("cannot be written") == 1, "not with every flush"
    rig.line.up.set()
    await rig.outbox.drained()
    assert len(rig.acknowledged) == 20


async def test_results_that_were_never_acknowledged_are_sent_by_the_next_incarnation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    rig = Rig(tmp_path)
    rig.line.up.clear()
    rig.put(1, 0)
    rig.outbox.flush()
    await rig.line.tried.wait()
    for number in range(1, 9):
        rig.put(1, number)
    rig.outbox.flush()
    rig.put(1, 9)
    rig.put(1, 10, kind="started")
    rig.put(2, 11, kind="handed_back")
    assert await rig.outbox.close() == 12
    rig.line.up.set()
    after = Rig(tmp_path, rig.line)
    assert after.outbox.resume() == 10
    await after.outbox.drained()
    heard = await rig.line.heard()
    assert sorted(report.task for report in heard[1]) == list(range(10)), "what is no result is not kept"
    assert heard[2] == []


@pytest.mark.parametrize(
    "report",
    [
        Report(1, 0, 0, 0, 1, 1, 1, "succeeded"),
        Report(1, 0, 0, 0, 1, 1, 1, "succeeded", output=b"x" * 32_000),
        Report(1, 0, 0, 0, 1, 1, 1, "failed", error=ErrorInfo("E", "m" * 4000, ["E", "F"])),
    ],
)
async def test_envelopes_stay_small(report: Report) -> None:
    import msgspec

    envelopes = module._envelopes([((1, 0, 0, 0, 1), report)] * 3000)
    assert sum(len(each) for each in envelopes) == 3000
    for each in envelopes:
        assert len(each) <= LARGEST_ENVELOPE
        assert len(msgspec.json.encode([item for _, item in each])) <= 256 * 1024
    assert len(msgspec.json.encode([item for _, item in envelopes[0]])) > ENVELOPE_BYTES / 2, (
        "and not too small"
    )


async def test_a_slow_disk_holds_nothing_back_and_order_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is there again while a thread still writes, and reports go on being made."""
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    rig = Rig(tmp_path)
    rig.line.up.clear()
    go, begun = threading.Event(), asyncio.Event()
    loop, put = asyncio.get_running_loop(), Spill.put

    def slowly(spill: Spill, part: int, reports: Sequence[Report]) -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        put(spill, part, reports)

    monkeypatch.setattr(Spill, "put", slowly)
    for number in range(20):
        rig.put(0, number)
    rig.outbox.flush()
    await begun.wait()
    rig.line.up.set()
    for number in range(20, 40):
        rig.put(0, number)
        rig.put(1, number)
        rig.outbox.flush()
    async with asyncio.timeout(10):
        while len(rig.acknowledged) < 20:  # noqa: ASYNC110 (the other part does not wait)
            await asyncio.sleep(0)
    assert [report.task for report in rig.acknowledged if report.task >= 20] == list(range(20, 40))
    go.set()
    await rig.outbox.drained()
    heard = await rig.line.heard()
    assert [report.task for report in heard[0]] == list(range(40))
    assert (rig.outbox._count, rig.outbox._bytes) == (0, 0)
    assert os.listdir(tmp_path) == []
