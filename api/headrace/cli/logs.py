"""`headrace logs RUN [TASK] [-f]`: what tasks wrote, in the order of writing."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter

from headrace.api.showing.documents import state_word
from headrace.cli.failure import Status
from headrace.cli.here import go, plan_of, reading
from headrace.cli.output import clock_time, instant, paint, print_line, printable, say
from headrace.cli.references import TaskRef, find_run, short, task_ref
from headrace.cli.where import HERE, RunRef, TaskName, Where
from headrace.engine.core.keys import unpack, written
from headrace.engine.core.states import RunState
from headrace.engine.ports.artifacts import LogReader
from headrace.engine.ports.messages import Log
from headrace.engine.ports.store import RunRow, Store, TaskRow

TRAIL = 2.0
"""Seconds for which lines may still be on their way when the run has ended: to the files, or over Kafka to the store."""


def logs(
    run: RunRef,
    task: TaskName | None = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="Go on until the run ends.")] = False,
    attempt: Annotated[
        int | None, Parameter(help="Only this attempt; else all of the newest generation.")
    ] = None,
    tail: Annotated[int | None, Parameter(name=["--tail", "-n"], help="Only the last lines.")] = None,
    json: Annotated[bool, Parameter(help="One object a line.")] = False,
    where: Where = HERE,
) -> int:
    """What a run's tasks wrote."""
    return go(_logs(where, run, task, follow, attempt, tail, json))


async def _logs(
    where: Where, run: str, task: str | None, follow: bool, attempt: int | None, tail: int | None, json: bool
) -> int:
    from headrace.engine.artifacts import open_logs

    settings = where.settings()
    async with reading(settings) as store:
        kept = open_logs(store, settings.home / "logs")
        row = await find_run(store, settings.project, run)
        plan = await plan_of(store, row.plan)
        ref = task_ref(task, plan.index) if task else None
        wanted = [
            entry
            for entry in await store.task_rows(row.no)
            if entry.generation == row.generation and _means(ref, plan.ids[entry.task], entry.map)
        ]
        lines = await _written_so_far(kept, row, wanted, plan.ids, attempt)
        shown = Counter(map(_attempt, lines))
        if tail is not None:
            lines = lines[max(len(lines) - tail, 0) :]
        several = ref is None or len({(line.task_id, line.map) for line in lines}) > 1
        _show(lines, several, json)
        if follow and not RunState(row.state).final:
            await _go_on(store, kept, row, ref, attempt, shown, json)
        elif not lines and not json:
            said = f"{ref} of run {short(row.id)}" if ref else f"run {short(row.id)}"
            say(f"{said} wrote nothing (the run is {state_word(row)}).")
    return Status.OK


async def _written_so_far(
    kept: LogReader, row: RunRow, wanted: Iterable[TaskRow], ids: tuple[str, ...], attempt: int | None
) -> list[Log]:
    lines: list[Log] = []
    for entry in wanted:
        attempts = range(1, entry.attempt + 1) if attempt is None else (attempt,)
        for number in attempts:
            lines += await kept.read(row.id, ids[entry.task], entry.map, entry.generation, number)
    lines.sort(key=lambda line: line.at)  # stable: lines of one attempt stay in the order of writing
    return lines


async def _go_on(
    store: Store,
    kept: LogReader,
    row: RunRow,
    ref: TaskRef | None,
    attempt: int | None,
    shown: Counter[tuple[object, ...]],
    json: bool,
) -> None:
    """Print what is written from now on, until the run has ended and nothing more comes."""

    async def print_all() -> None:
        async for line in kept.follow(row.id):
            if not _means(ref, line.task_id, line.map) or attempt not in (None, line.attempt):
                continue
            if line.generation != row.generation:
                continue
            if shown[_attempt(line)]:  # follow() begins at the beginning of each attempt
                shown[_attempt(line)] -= 1
                continue
            _show([line], ref is None or not ref.items, json)

    printing = asyncio.create_task(print_all())
    try:
        while not printing.done():
            now = await store.run(row.no)
            if now is None or RunState(now.state).final:
                await asyncio.wait([printing], timeout=TRAIL)
                break
            await asyncio.wait([printing], timeout=0.25)
    finally:
        printing.cancel()
        with suppress(asyncio.CancelledError):
            await printing


def _attempt(line: Log) -> tuple[object, ...]:
    return line.task_id, line.map, line.generation, line.attempt


def _means(ref: TaskRef | None, task: str, packed: int) -> bool:
    return ref is None or (task == ref.task and unpack(packed)[: len(ref.items)] == ref.items)


def _show(lines: Iterable[Log], several: bool, json: bool) -> None:
    for line in lines:
        name = written(line.task_id, line.map)
        if json:
            print_line(
                {
                    "at": instant(line.at),
                    "task": name,
                    "attempt": line.attempt,
                    "stream": line.stream,
                    "text": line.text,
                }
            )
            continue
        text = printable(line.text)
        if several:
            text = f"{paint(clock_time(line.at), 'pending')} {paint(printable(name), 'running')} {text}"
        print(text)
    sys.stdout.flush()
