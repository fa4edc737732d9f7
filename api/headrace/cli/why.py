"""`headrace why RUN [TASK]`: why a task waits, or what decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.documents import why_document
from headrace.cli.here import go, looking
from headrace.cli.output import State, paint, print_json, printable
from headrace.cli.references import short, written_of
from headrace.cli.story import scheduled
from headrace.cli.telling import aside
from headrace.cli.where import ANYWHERE, Anywhere, RunRef, TaskName

if TYPE_CHECKING:
    from headrace.api.shapes.tasks import TaskWhy

MOST = 20
"""How many waiting tasks are told when none is named; the rest are counted."""


def why(
    run: RunRef,
    task: TaskName | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Why a task waits, or what decided it.

    Without a task, every task that has not ended; when all have, every one that did not succeed.
    """
    return go(_why(where, run, task, json))


async def _why(where: Anywhere, text: str, task: str | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        told = await station.explain(text, task, None if json else MOST)
    if json:
        answers = [why_document(one) for one in told.tasks]
        set_aside = {} if told.aside is None else {"set_aside": told.aside}
        alone = task is not None and len(answers) == 1
        print_json((answers[0] if alone else {"items": answers, "next": None}) | set_aside)
        return 0
    if (by := scheduled(told.run)) is not None:
        print(f"run {short(told.run.run)}, by {by}")
    if told.aside is not None:
        print(aside(told.run.run, told.aside))
    if not told.tasks:
        print(f"run {short(told.run.run)} {told.run.state}; so did every task.")
    for one in told.tasks:
        _print(one)
    if told.more:
        print(f"… and {told.more} more; name one, or take --json.")
    return 0


def _print(task: TaskWhy) -> None:
    from headrace.api.showing.reasons import tally

    state = State(task.state, task.reason)
    print(f"{printable(written_of(task))}  {paint(state, task.state)}")
    for line in task.sentences:
        print(f"  {printable(line)}")
    if not task.upstream:
        return
    print(f"  rule {task.trigger_rule} over:")
    for one in task.upstream[:MOST]:
        print(f"    {paint(State(one.state), one.state)}  {printable(one.id)}{tally(one.counts)}")
    if len(task.upstream) > MOST:
        print(f"    … and {len(task.upstream) - MOST} more")
