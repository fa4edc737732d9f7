"""A run's lines over both of their places: followed, all of them, known to be all, held in part; and the end of an attempt's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from headrace.engine.artifacts import FileLogs
from headrace.engine.artifacts.chunks import EitherLogs, StoredLogs, pack
from headrace.engine.ports.logs import Attempt, LogChunk
from headrace.engine.ports.messages import Log
from headrace.engine.ports.store import StoreUnavailable

RUN = "01990000-0000-7000-8000-000000000001"


class Chunks:
    """Chunks in a list."""

    def __init__(self, *chunks: LogChunk) -> None:
        self.chunks = list(chunks)
        self.reads = 0
        self.fault: Exception | None = None

    async def write_logs(self, chunks: Sequence[LogChunk]) -> None:
        self.chunks += chunks

    async def read_logs(
        self,
        run_id: str,
        task_id: str,
        generation: int,
        map: int,
        attempt: int,
        after: int = -1,
        limit: int = 1000,
    ) -> list[LogChunk]:
        if self.fault is not None:
            raise self.fault
        self.reads += 1
        name = (run_id, task_id, generation, map, attempt)
        return [one for one in self.chunks if one[:5] == name and one.seq > after][:limit]

    async def log_ends(self, run_id: str) -> dict[Attempt, int]:
        return {Attempt(*one[:5]): one.seq for one in self.chunks if one.run_id == run_id}


def chunk(task: str, seq: int, *texts: str) -> LogChunk:
    lines = [(seq + n / 1000, "stdout", text) for n, text in enumerate(texts)]
    return LogChunk(RUN, task, 1, 0, 1, seq, float(seq), pack(msgspec.json.encode(lines)))


async def test_all_is_known_to_be_read_when_it_was_given_and_not_before(tmp_path: Path) -> None:
    stored = StoredLogs(Chunks(*(chunk("a", seq, *["stored"] * 500) for seq in range(6))))
    files = FileLogs(tmp_path)
    files.write([Log(RUN, "b", 0, 1, 1, 1.0, "stdout", "filed")] * 10)
    files.flush()
    heard: list[str] = []
    complete = 0

    def looked() -> None:
        nonlocal complete
        complete = complete or len(heard)

    async with asyncio.timeout(20), aclosing(EitherLogs(stored, files).follow(RUN, looked)) as lines:  # type: ignore[type-var]
        async for line in lines:
            heard.append(line.text)
            if len(heard) == 3010:
                break
        files.write([Log(RUN, "b", 0, 1, 2, 2.0, "stdout", "later")])
        assert (await anext(lines)).text == "later"
    files.close()
    assert (heard.count("stored"), heard.count("filed")) == (3000, 10)
    assert complete == 3010
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_fault_of_one_place_ends_it(tmp_path: Path) -> None:
    chunks = Chunks(chunk("a", 0, "one"))
    chunks.fault = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        async for _ in EitherLogs(StoredLogs(chunks), FileLogs(tmp_path)).follow(RUN):
            pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_long_story_is_not_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.engine.artifacts.chunks.AT_ONCE", 2)
    monkeypatch.setattr("headrace.engine.artifacts.chunks.HELD", 3)
    chunks = Chunks(*(chunk(task, seq, "x", "y") for seq in range(6) for task in ("a", "b")))
    heard: list[tuple[str, float]] = []
    async with aclosing(StoredLogs(chunks).follow(RUN)) as lines:  # type: ignore[type-var]
        async for line in lines:
            assert chunks.reads <= 1 + len(heard) // 2
            heard.append((line.task_id, line.at))
            if len(heard) == 24:
                break
    for task in ("a", "b"):
        assert [at for name, at in heard if name == task] == [seq + n for seq in range(6) for n in (0, 0.001)]


async def test_the_end_of_what_an_attempt_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.engine.artifacts.chunks.AT_ONCE", 2)
    stored = StoredLogs(Chunks(*(chunk("a", seq, f"{seq}.0", f"{seq}.1") for seq in range(4))))
    files = FileLogs(tmp_path)
    files.write([Log(RUN, "b", 0, 1, 1, float(n), "stdout", f"line {n}") for n in range(5)])
    logs = EitherLogs(stored, files)
    for most, texts in ((1, ["3.1"]), (3, ["2.1", "3.0", "3.1"])):
        begins, lines = await logs.last(RUN, "a", 0, 1, 1, most)
        assert (begins, [line.text for line in lines]) == (8 - most, texts)
        assert lines == await logs.read(RUN, "a", 0, 1, 1, begins)
    begins, lines = await logs.last(RUN, "b", 0, 1, 1, 2)
    assert (begins, [line.text for line in lines]) == (3, ["line 3", "line 4"])
    begins, lines = await logs.last(RUN, "b", 0, 1, 1, 50)
    assert (begins, len(lines)) == (0, 5)
    assert await logs.last(RUN, "c", 0, 1, 1, 2) == (0, [])
    files.close()
