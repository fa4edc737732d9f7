"""`headrace runs cancel|kill|pause|resume|rerun` and `headrace tasks …`: tell the engine to decide otherwise.

Whoever owns the run does it. When no engine lives, this process becomes the owner, decides and leaves.
"""

from __future__ import annotations

import json as codec
from typing import Annotated, Any

from cyclopts import Parameter

from headrace.cli.documents import run_document, state_word
from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import embedded, go, me, plan_of
from headrace.cli.output import print_json, say
from headrace.cli.references import TaskRef, find_run, short, task_ref
from headrace.cli.where import HERE, Where
from headrace.engine.core.states import RunState

Reason = Annotated[str | None, Parameter(help="Why; it is kept with the decision.")]
Json = Annotated[bool, Parameter(help="The run afterwards, as one object.")]


def cancel(run: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """Cancel a run; its teardowns still run.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    """
    return go(_command(where, run, "cancel", {"reason": reason}, json))


def kill(run: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """End a run at once; nothing more runs.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    """
    return go(_command(where, run, "kill", {"reason": reason}, json))


def pause(run: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """Start nothing more until resumed.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    """
    return go(_command(where, run, "pause", {"reason": reason}, json))


def resume(run: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE) -> int:
    """Go on with a paused run.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    """
    return go(_command(where, run, "resume", {"reason": reason}, json))


def rerun(
    run: str,
    /,
    *,
    from_: Annotated[
        list[str] | None,
        Parameter(name="--from", help="Tasks to begin with, or failed (the default); repeatable."),
    ] = None,
    inputs: Annotated[
        str | None, Parameter(help="A JSON object that replaces the inputs of these tasks.")
    ] = None,
    reason: Reason = None,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Run what failed again, or the tasks you name, with everything downstream of them.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    """
    return go(_rerun(where, run, from_ or ["failed"], inputs, reason, json))


def retry_task(
    run: str, task: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Run a task of an ended run again, and what follows it.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    task
        A task, or one item of it: price, price[7].
    """
    return go(_rerun(where, run, [task], None, reason, json))


def skip_task(
    run: str, task: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Skip a task that has not ended.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    task
        A task, or one item of it: price, price[7].
    """
    return go(_on_task(where, run, task, "skip", None, reason, json))


def succeed_task(
    run: str,
    task: str,
    /,
    *,
    output: Annotated[str, Parameter(help="Its output, as JSON.")] = "null",
    reason: Reason = None,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Count a task as succeeded.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    task
        A task, or one item of it: price, price[7].
    """
    return go(_on_task(where, run, task, "succeed", _object("--output", output), reason, json))


def cancel_task(
    run: str, task: str, /, *, reason: Reason = None, json: Json = False, where: Where = HERE
) -> int:
    """Cancel one task.

    Parameters
    ----------
    run
        A run's id, a unique beginning of it, or last.
    task
        A task, or one item of it: price, price[7].
    """
    return go(_on_task(where, run, task, "cancel", None, reason, json))


async def _command(where: Where, run: str, kind: str, body: dict[str, Any], json: bool) -> int:
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with embedded(settings, own=False) as home:
        row = await find_run(home.store, settings.project, run)
        if RunState(row.state).final:
            raise Stop(
                f"run {short(row.id)} has ended: {RunState(row.state).word}.",
                hint="headrace runs rerun begins it again.",
            )
        await home.command(row.no, kind, {"by": me(), **body})
        view = await run_view(home.store, row.no)
    if json:
        print_json(run_document(view))
    else:
        say(f"run {short(row.id)} is {state_word(view.run)}.")
    return Status.OK


async def _rerun(
    where: Where, run: str, tasks: list[str], inputs: str | None, reason: str | None, json: bool
) -> int:
    settings = where.settings()
    replaced = None if inputs is None else _object("--inputs", inputs)
    async with embedded(settings, own=False) as home:
        row = await find_run(home.store, settings.project, run)
        if not RunState(row.state).final:
            raise Stop(
                f"run {short(row.id)} has not ended: {state_word(row)}.",
                hint="headrace runs wait, or cancel it first.",
            )
        plan = await plan_of(home.store, row.plan)
        named: object = "failed"
        if tasks != ["failed"]:
            named = [str(task_ref(task, plan.index)) for task in tasks]
        await home.command(row.no, "rerun", {"by": me(), "reason": reason, "from": named, "inputs": replaced})
        return await follow(home, row, plan, json=json, stop_on_interrupt=True)


async def _on_task(
    where: Where, run: str, task: str, action: str, output: object, reason: str | None, json: bool
) -> int:
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with embedded(settings, own=False) as home:
        row = await find_run(home.store, settings.project, run)
        plan = await plan_of(home.store, row.plan)
        ref: TaskRef = task_ref(task, plan.index)
        body = {
            "task": ref.task,
            "map_index": list(ref.items),
            "action": action,
            "by": me(),
            "reason": reason,
        }
        if action == "succeed":
            body["output"] = output
        await home.command(row.no, "task", body)
        view = await run_view(home.store, row.no)
    if json:
        print_json(run_document(view))
    else:
        state = next(
            (t.state for t in view.tasks if t.id == ref.task and tuple(t.map_path) == ref.items), "unknown"
        )
        say(f"{ref} of run {short(row.id)} is {state}.")
    return Status.OK


def _object(flag: str, text: str) -> Any:
    try:
        return codec.loads(text)
    except ValueError as error:
        raise Stop(f"{flag} takes JSON: {error}.") from None
