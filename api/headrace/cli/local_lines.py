"""What tasks wrote, from this machine's files or its database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING

from headrace.api.live.words import Line
from headrace.api.showing.times import instant
from headrace.cli import together
from headrace.cli.references import TaskRef, task_ref
from headrace.engine.core.keys import pack, unpack, written
from headrace.engine.core.states import RunState

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.api.shapes.tasks import TaskRun
    from headrace.cli.local_runs import LocalRuns
    from headrace.engine.ports.artifacts import LogReader
    from headrace.engine.ports.messages import Log
    from headrace.engine.ports.store import Store

TRAIL = 2.0
"""Seconds for which lines may still be on their way when the run has ended: to the files, or over Kafka to the store."""
LOOK_EVERY = 0.25
"""Seconds of silence after which it is asked whether the run has ended."""
HELD = 1_000
"""Lines that are read before they are printed."""


class LocalLines:
    """Of the runs of one command. `logs` opens them when they are first asked for."""

    def __init__(self, store: Store, runs: LocalRuns, logs: Callable[[], LogReader]) -> None:
        self._store, self._runs, self._logs = store, runs, logs

    async def read(
        self, run: RunEntry, task: TaskRef | None, attempt: int | None, last: int | None = None
    ) -> Sequence[Line]:
        from headrace.cli.here import plan_of

        row = await self._runs.row(run.run)
        plan = await plan_of(self._store, run.plan)
        if task is not None:
            task_ref(str(task), plan.index)
        wanted = [
            (plan.ids[entry.task], entry.map, number)
            for entry in await self._store.task_rows(row.no)
            if entry.generation == row.generation
            and (task is None or task.means(TaskRef(plan.ids[entry.task], unpack(entry.map))))
            for number in (range(1, entry.attempt + 1) if attempt is None else (attempt,))
        ]
        logs = self._logs()

        async def of(one: tuple[str, int, int]) -> tuple[int, list[Log]]:
            name = (row.id, one[0], one[1], row.generation, one[2])
            return (0, await logs.read(*name)) if last is None else await logs.last(*name, last)

        found = [
            (line.at, _line(line, number))
            for begins, lines in await together.each(wanted, of)
            for number, line in enumerate(lines, begins)
        ]
        found.sort(key=lambda one: one[0])  # stable: lines of one attempt stay in the order of writing
        return [line for _, line in found]

    async def follow(self, run: RunEntry) -> AsyncGenerator[Line, None]:
        row = await self._runs.row(run.run)
        lines: asyncio.Queue[Log] = asyncio.Queue(HELD)
        looked = asyncio.Event()

        async def read_on() -> None:
            async for line in self._logs().follow(row.id, looked.set):
                await lines.put(line)

        reading = asyncio.create_task(read_on())
        counts: Counter[tuple[object, ...]] = Counter()
        until: float | None = None
        try:
            while until is None or time.monotonic() < until or not lines.empty():
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        line = await lines.get()
                except TimeoutError:
                    if reading.done():
                        await reading
                        return
                    if until is None and looked.is_set() and await self._ended(row.no):
                        until = time.monotonic() + TRAIL
                    continue
                key = (line.task_id, line.map, line.generation, line.attempt)
                counts[key] += 1
                yield _line(line, counts[key] - 1)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _ended(self, run: int) -> bool:
        now = await self._store.run(run)
        return now is None or RunState(now.state).final

    async def last(self, run: str, task: TaskRun, most: int) -> Sequence[str]:
        packed = pack(tuple(task.map_path)) if task.map_path else 0
        end = await self._logs().last(run, task.id, packed, task.generation, task.attempts, most)
        return [line.text for line in end.lines]


def _line(line: Log, number: int) -> Line:
    name = written(line.task_id, line.map)
    return Line(name, line.generation, line.attempt, number, instant(line.at), line.stream, line.text)
