"""`headrace runs cancel|kill|pause|resume|rerun` and `headrace tasks …`: tell the engine to decide otherwise.

Whoever owns the run does it. When no engine lives, this process becomes the owner and decides; where the run then goes
on (it was resumed, or its teardowns are to run), it stays until the run has ended.
"""

from __future__ import annotations

import json as codec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from headrace.api.showing.documents import run_document, state_word
from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, me, plan_of, steering
from headrace.cli.output import print_json, say
from headrace.cli.references import find_run, short
from headrace.cli.where import HERE, RunRef, TaskName, Where
from headrace.engine.core.keys import written
from headrace.engine.core.states import RunState

if TYPE_CHECKING:
    from headrace.engine.ports.store import RunRow
    from headrace.runners.embedded import Embedded
    from headrace.runners.outside import Outside

Reason = Annotated[str | None, Parameter(help="Why; it is kept with the decision.")]
Json = Annotated[bool, Parameter(help="The run afterwards, as one object.")]


def cancel(run: RunRef, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """Cancel a run; its teardowns still run."""
    return go(_command(where, run, "cancel", {"reason": reason}, json))


def kill(run: RunRef, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """End a run at once; nothing more runs."""
    return go(_command(where, run, "kill", {"reason": reason}, json))


def pause(run: RunRef, /, *, json: Json = False, where: Where = HERE) -> int:
    """Start nothing more until resumed."""
    return go(_command(where, run, "pause", {}, json))


def resume(run: RunRef, /, *, json: Json = False, where: Where = HERE) -> int:
    """Go on with a paused run."""
    return go(_command(where, run, "resume", {}, json))


def rerun(
    run: RunRef,
    /,
    *,
    from_: Annotated[
        list[str] | None,
        Parameter(name="--from", help="A task to begin with, or failed (the default); repeatable."),
    ] = None,
    inputs: Annotated[
        str | None, Parameter(help="A JSON object that replaces the inputs of these tasks.")
    ] = None,
    version: Annotated[
        int | Literal["latest"] | None,
        Parameter(help="Go on with this version of the workflow, or latest; its own when left out."),
    ] = None,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Run what failed again, or the tasks you name.

    Everything downstream of them runs again too, as a new generation; the old attempts stay to be read. With another
    version, what only that one has runs as well, and what keeps its result is known again by its id.
    """
    replaced = None if inputs is None else _object("--inputs", inputs)
    return go(_rerun(where, run, from_ or ["failed"], replaced, version, json))


def retry_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Try a task again now.

    One that waits for its next attempt gets it at once. In a run that has ended, the task and all that is downstream
    of it run again as a new generation.
    """
    return go(_on_task(where, run, task, {"action": "retry", "reason": reason}, json))


def skip_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Skip a task that has not ended."""
    return go(_on_task(where, run, task, {"action": "skip", "reason": reason}, json))


def succeed_task(
    run: RunRef,
    task: TaskName,
    /,
    *,
    output: Annotated[str, Parameter(help="Its output, as JSON.")] = "null",
    reason: Reason = None,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Count a task as succeeded."""
    body = {"action": "succeed", "reason": reason, "output": _object("--output", output)}
    return go(_on_task(where, run, task, body, json))


def cancel_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Cancel one task."""
    return go(_on_task(where, run, task, {"action": "cancel", "reason": reason}, json))


async def _command(where: Where, run: str, kind: str, body: dict[str, Any], json: bool) -> int:
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with steering(settings) as home:
        row = await find_run(home.store, settings.project, run)
        if RunState(row.state).final:
            raise Stop(
                f"run {short(row.id)} has ended: {RunState(row.state).word}.",
                hint="headrace runs rerun begins it again.",
            )
        await _ask(home, row, kind, body)
        if await _goes_on_here(home, row):
            plan = await plan_of(home.store, row.plan)
            ended = await follow(home, row, plan, json=json, stop_on_interrupt=True)
            asked_for = kind in ("cancel", "kill") and ended is Status.RUN_FAILED
            return Status.OK if asked_for else ended
        view = await run_view(home.store, row.no, artifacts=home.artifacts)
    if json:
        print_json(run_document(view))
    else:
        say(f"run {short(row.id)} is {state_word(view.run)}.")
    return Status.OK


async def _rerun(
    where: Where, run: str, tasks: list[str], inputs: object, version: int | str | None, json: bool
) -> int:
    from headrace.engine.shell.commands import key_of

    settings = where.settings()
    async with steering(settings) as home:
        row = await find_run(home.store, settings.project, run)
        if not RunState(row.state).final:
            raise Stop(
                f"run {short(row.id)} has not ended: {state_word(row)}.",
                hint="headrace runs wait, or cancel it first.",
            )
        plan = await plan_of(home.store, row.plan)
        named: str | list[str] = "failed"
        if tasks != ["failed"]:
            for task in tasks:
                key_of(plan, task)
            named = tasks
        await _ask(home, row, "rerun", {"from": named, "inputs": inputs, "version": version})
        now = await home.store.run(row.no)
        assert now is not None
        if now.plan != row.plan:
            row, plan = row._replace(version=now.version, plan=now.plan), await plan_of(home.store, now.plan)
        return await follow(home, row, plan, json=json, stop_on_interrupt=True)


async def _on_task(where: Where, run: str, task: str, body: dict[str, Any], json: bool) -> int:
    from headrace.engine.shell.commands import key_of
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with steering(settings) as home:
        row = await find_run(home.store, settings.project, run)
        plan = await plan_of(home.store, row.plan)
        key = key_of(plan, task)
        await _ask(home, row, "task", {"task": task, **body})
        # a retry of a final run began a new generation
        if RunState(row.state).final or await _goes_on_here(home, row):
            return await follow(home, row, plan, json=json, stop_on_interrupt=True)
        view = await run_view(home.store, row.no, artifacts=home.artifacts)
    if json:
        print_json(run_document(view))
    else:
        name = written(plan.ids[key.task], key.map)
        state = next((one.state for one in view.tasks if one.written == name), "on its way")
        say(f"{name} of run {short(row.id)} is {state}.")
    return Status.OK


async def _goes_on_here(home: Embedded | Outside, row: RunRow) -> bool:
    """Whether this process owns a run that does not stand still: it would be cut off if the command left now."""
    if not home.owns:
        return False
    now = await home.store.run(row.no)
    if now is None or now.paused or RunState(now.state).final:
        return False
    say("No engine lives on this home, so this process goes on with the run.")
    return True


async def _ask(home: Embedded | Outside, row: RunRow, kind: str, body: dict[str, Any]) -> None:
    """Post a command and wait until it was decided. Raises Stop with the engine's words when it was refused."""
    from headrace.engine.shell import history

    asker = me()
    await home.command(row.no, kind, {"by": asker, **body})
    for entry in await home.store.history(row.no, after=row.seq):
        for refusal in history.decode(entry.body, history.NoContent()).refused:
            if (refusal.kind, refusal.by) == (kind, asker):
                raise Stop(refusal.why)


def _object(flag: str, text: str) -> Any:
    try:
        return codec.loads(text)
    except (ValueError, RecursionError) as error:
        raise Stop(f"{flag} takes JSON: {error}.") from None
