"""`headrace why RUN [TASK]`: why a task waits, or what decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.api.showing.documents import FINAL, state_word, why_document
from headrace.api.showing.reasons import explained, live_workers, machine_of, sentences, tally
from headrace.cli.here import go, has_engines, reading
from headrace.cli.output import State, paint, print_json, printable
from headrace.cli.references import find_run, short
from headrace.cli.where import HERE, RunRef, TaskName, Where

if TYPE_CHECKING:
    from headrace.engine.core.machine import RunMachine
    from headrace.engine.ports.roster import WorkerRow
    from headrace.engine.shell.views import RunView, TaskView

MOST = 20
"""How many waiting tasks are told when none is named; the rest are counted."""


def why(
    run: RunRef,
    task: TaskName | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """Why a task waits, or what decided it.

    Without a task, every task that has not ended; when all have, every one that did not succeed.
    """
    return go(_why(where, run, task, json))


async def _why(where: Where, run: str, task: str | None, json: bool) -> int:
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with reading(settings) as store:
        row = await find_run(store, settings.project, run)
        view = await run_view(store, row.no)
        machine = machine_of(view.plan, view.run, await store.task_rows(row.no))
        workers = await live_workers(store) if await has_engines(settings, store) else None
    asked = _asked(view, task)
    if json:
        answers = [why_document(machine, workers, one) for one in asked]
        aside = {} if view.aside is None else {"set_aside": view.aside}
        alone = task is not None and len(answers) == 1
        print_json((answers[0] if alone else {"items": answers, "next": None}) | aside)
        return 0
    if view.aside is not None:
        print(f"run {short(row.id)} is set aside, until another engine tries it: {printable(view.aside)}")
    if not asked:
        print(f"run {short(row.id)} {state_word(view.run)}; so did every task.")
    for one in asked[:MOST]:
        _print(machine, workers, one)
    if len(asked) > MOST:
        print(f"… and {len(asked) - MOST} more; name one, or take --json.")
    return 0


def _asked(view: RunView, task: str | None) -> list[TaskView]:
    """The task runs that are meant. Raises Stop or Refused for a task that the run does not have."""
    if task is not None:
        from headrace.cli.failure import Stop
        from headrace.engine.shell.commands import key_of

        key = key_of(view.plan, task)
        name = view.plan.ids[key.task]
        exact = [one for one in view.tasks if one.id == name and one.map == key.map]
        found = exact or [one for one in view.tasks if one.id == name and key.map == 0]
        if not found:
            raise Stop(f"run {short(view.run.id)} has no {task}: its map has fewer items.")
        return found
    waiting = [one for one in view.tasks if one.state not in FINAL]
    return waiting or [one for one in view.tasks if one.state not in ("succeeded", "removed")]


def _print(machine: RunMachine, workers: list[WorkerRow] | None, task: TaskView) -> None:
    from headrace.engine.core.drawing.document import rule_text

    node = machine.plan.index[task.id]
    explanation = explained(machine, task, workers)
    state = State(task.state, task.reason)
    print(f"{printable(task.written)}  {paint(state, task.state)}")
    for line in sentences(task, explanation, machine.plan.tasks[node].when):
        print(f"  {printable(line)}")
    if explanation is None or not explanation.upstream:
        return
    print(f"  rule {rule_text(machine.plan, node)} over:")
    for one in explanation.upstream[:MOST]:
        print(f"    {paint(State(one.state), one.state)}  {printable(one.id)}{tally(one.counts)}")
    if len(explanation.upstream) > MOST:
        print(f"    … and {len(explanation.upstream) - MOST} more")
