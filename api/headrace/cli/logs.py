"""`headrace logs RUN [TASK] [-f]`: what tasks wrote, in the order of writing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status
from headrace.cli.here import go, looking
from headrace.cli.output import clock_time, moment, paint, print_line, printable, say
from headrace.cli.references import TaskRef, reference, short
from headrace.cli.where import ANYWHERE, Anywhere, RunRef, TaskName

if TYPE_CHECKING:
    from headrace.api.live.words import Line
    from headrace.api.shapes.runs import RunEntry
    from headrace.cli.station import Station


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
    where: Anywhere = ANYWHERE,
) -> int:
    """What a run's tasks wrote."""
    return go(_logs(where, run, task, follow, attempt, tail, json))


async def _logs(
    where: Anywhere,
    text: str,
    task: str | None,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    json: bool,
) -> int:
    async with looking(where.settings()) as station:
        run = await station.find(text)
        ref = reference(task) if task else None
        wanted = None if tail is None else max(tail, 1)
        lines = await station.lines.read(run, ref, attempt, wanted)
        shown = Counter({_attempt(line): line.number + 1 for line in lines})  # the last of each counts
        if tail is not None:
            lines = lines[max(len(lines) - tail, 0) :]
        several = ref is None or len({line.task for line in lines}) > 1
        _show(lines, several, json)
        if follow and run.state not in ("succeeded", "failed", "cancelled"):
            await _go_on(station, run, ref, attempt, shown, json)
        elif not lines and not json:
            said = f"{ref} of run {short(run.run)}" if ref else f"run {short(run.run)}"
            say(f"{said} wrote nothing (the run is {run.state}).")
    return Status.OK


async def _go_on(
    station: Station,
    run: RunEntry,
    ref: TaskRef | None,
    attempt: int | None,
    shown: Counter[tuple[object, ...]],
    json: bool,
) -> None:
    """Print what is written from now on, until the run has ended and nothing more comes."""
    async with aclosing(station.lines.follow(run)) as lines:
        async for line in lines:
            if line.generation != run.generation or attempt not in (None, line.attempt):
                continue
            if ref is not None and not ref.means(reference(line.task)):
                continue
            if line.number >= shown[_attempt(line)]:
                _show([line], ref is None or not ref.items, json)


def _attempt(line: Line) -> tuple[object, ...]:
    return line.task, line.generation, line.attempt


def _show(lines: Iterable[Line], several: bool, json: bool) -> None:
    for line in lines:
        if json:
            print_line(
                {
                    "at": line.at,
                    "task": line.task,
                    "attempt": line.attempt,
                    "stream": line.stream,
                    "text": line.text,
                }
            )
            continue
        text = printable(line.text)
        if several:
            told = paint(clock_time(moment(line.at)), "pending")
            text = f"{told} {paint(printable(line.task), 'running')} {text}"
        print(text)
    sys.stdout.flush()
