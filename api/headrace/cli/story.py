"""How a run ended, told to a person: what failed and why, its last lines, what it stopped, and what to type next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from headrace.cli.output import SIGNS, coloured, moment, paint, printable, say, span
from headrace.cli.references import short, written_of

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.api.shapes.tasks import TaskRun
    from headrace.cli.station import Lines, Seen


LAST_LINES = 10
LONGEST_LINE = 400
LONGEST_MESSAGE = 2000
"""Characters that are shown; `headrace logs` and `--json` have all of it."""
FAILURES = 3
"""How many failed tasks are told in full; the others are named."""


async def tell(seen: Seen, lines: Lines, *, brief: bool = False) -> None:
    """Write the story to stderr. `brief`: only its first line."""
    run, state = seen.run, seen.run.state
    took = ""
    if run.started_at is not None and run.finished_at is not None and run.generation == 1:
        # a rerun's would count from the first start
        took = f"  {span(moment(run.finished_at) - moment(run.started_at))}"
    why = f" ({run.reason})" if run.reason else ""
    sign = paint(f"{SIGNS[state]} {state}", state, colour=coloured(sys.stderr))
    say(f"{sign}{why}  {run.workflow}  run {run.run}{took}")
    if brief:
        return
    if (by := scheduled(run)) is not None:
        say(f"by {by}")
    if (of := part(run)) is not None:
        say(of)
    failed = [task for task in seen.tasks if task.state == "failed"]
    for task in failed[:FAILURES]:
        await _failure(run.run, task, lines)
    if len(failed) > FAILURES:
        names = ", ".join(written_of(task) for task in failed[FAILURES : FAILURES + 10])
        more = len(failed) - FAILURES - 10
        say(f"\nalso failed: {printable(names)}{f' and {more} more' if more > 0 else ''}")
    if failed:
        stopped = [written_of(task) for task in seen.tasks if task.state == "upstream_failed"]
        if stopped:
            say(f"\nstopped by it: {_several(stopped)}")
        first = written_of(failed[0])
        look = "why" if failed[0].kind == "group" else "logs"  # a group writes nothing
        say(f"\n  headrace {look} {short(run.run)} " + (f"'{first}'" if "[" in first else first))
        if any(task.kind != "group" for task in failed):
            say(f"  headrace runs rerun {short(run.run)} --from failed")
    if state == "succeeded" and run.output is not None:
        say(f"output: {_shortened(msgspec.json.encode(run.output))}")


def scheduled(run: RunEntry) -> str | None:
    """Which schedule has started the run, and for which moment; None for any other run."""
    schedule, backfill = run.trigger.get("schedule"), run.trigger.get("backfill")
    if schedule is None:
        return None
    made_up = "" if backfill is None else f"backfill {backfill} of "
    return printable(f"{made_up}schedule {schedule}, for {run.scheduled_at}")


def part(run: RunEntry) -> str | None:
    """What of its workflow the run is; None: all."""
    if run.trigger.get("selected") is None:
        return None
    given = (("--select", run.trigger.get("select")), ("--exclude", run.trigger.get("exclude")))
    flags = " ".join(f"{flag} {word}" for flag, words in given for word in words or ())
    return printable(f"part of its workflow: {_cut(flags)}")


async def _failure(run: str, task: TaskRun, lines: Lines) -> None:
    attempts = f" after {task.attempts} attempts" if task.attempts > 1 else ""
    reason = f" ({task.reason})" if task.reason else ""
    say(
        f"\n{paint('✗', 'failed', colour=coloured(sys.stderr))} {printable(written_of(task))} failed{reason}{attempts}"
    )
    if task.error:
        message = _cut(printable(task.error.message).strip(), LONGEST_MESSAGE)
        say(f"    {task.error.kind}: {message}" if message else f"    {task.error.kind}")
    for line in await lines.last(run, task, LAST_LINES):
        say(f"    | {_cut(printable(line))}")


def _cut(text: str, most: int = LONGEST_LINE) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more)"


def _several(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(names[:most])) + more


def _shortened(output: bytes, most: int = 400) -> str:
    text = printable(output.decode("utf-8", "replace"))
    return text if len(text) <= most else text[:most] + "… (headrace runs show last --json has all of it)"
