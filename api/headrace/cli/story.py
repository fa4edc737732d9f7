"""How a run ended, told to a person: what failed and why, its last lines, what it stopped, and what to type next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headrace.api.showing.documents import state_word
from headrace.cli.output import SIGNS, coloured, paint, printable, say, span
from headrace.cli.references import short

if TYPE_CHECKING:
    from headrace.engine.ports.artifacts import LogReader
    from headrace.engine.shell.views import RunView, TaskView

LAST_LINES = 10
LONGEST_LINE = 400
LONGEST_MESSAGE = 2000
"""Characters that are shown; `headrace logs` and `--json` have all of it."""
FAILURES = 3
"""How many failed tasks are told in full; the others are named."""


async def tell(view: RunView, logs: LogReader, *, brief: bool = False) -> None:
    """Write the story to stderr. `brief`: only its first line."""
    row = view.run
    state = state_word(row)
    took = ""
    if row.started_at is not None and row.finished_at is not None and row.generation == 1:
        took = f"  {span(row.finished_at - row.started_at)}"  # a rerun's would count from the first start
    why = f" ({row.reason})" if row.reason else ""
    sign = paint(f"{SIGNS[state]} {state}", state, colour=coloured(sys.stderr))
    say(f"{sign}{why}  {row.workflow}  run {row.id}{took}")
    if brief:
        return
    failed = [task for task in view.tasks if task.state == "failed"]
    for task in failed[:FAILURES]:
        await _failure(view, task, logs)
    if len(failed) > FAILURES:
        names = ", ".join(task.written for task in failed[FAILURES : FAILURES + 10])
        more = len(failed) - FAILURES - 10
        say(f"\nalso failed: {printable(names)}{f' and {more} more' if more > 0 else ''}")
    if failed:
        stopped = [task.written for task in view.tasks if task.state == "upstream_failed"]
        if stopped:
            say(f"\nstopped by it: {_several(stopped)}")
        first = failed[0].written
        say(
            f"\n  headrace logs {short(row.id)} '{first}'"
            if "[" in first
            else f"\n  headrace logs {short(row.id)} {first}"
        )
        say(f"  headrace runs rerun {short(row.id)} --from failed")
    if state == "succeeded" and row.output not in (None, b"null"):
        say(f"output: {_shortened(row.output)}")


async def _failure(view: RunView, task: TaskView, logs: LogReader) -> None:
    attempts = f" after {task.attempts} attempts" if task.attempts > 1 else ""
    reason = f" ({task.reason})" if task.reason else ""
    say(
        f"\n{paint('✗', 'failed', colour=coloured(sys.stderr))} {printable(task.written)} failed{reason}{attempts}"
    )
    if task.error:
        message = _cut(printable(str(task.error.get("message") or "")).strip(), LONGEST_MESSAGE)
        say(f"    {task.error.get('kind')}: {message}" if message else f"    {task.error.get('kind')}")
    lines = await logs.read(view.run.id, task.id, task.map, task.generation, task.attempts)
    for line in lines[-LAST_LINES:]:
        say(f"    | {_cut(printable(line.text))}")


def _cut(text: str, most: int = LONGEST_LINE) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more)"


def _several(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(names[:most])) + more


def _shortened(output: bytes | None, most: int = 400) -> str:
    text = printable((output or b"").decode("utf-8", "replace"))
    return text if len(text) <= most else text[:most] + "… (headrace runs show last --json has all of it)"
