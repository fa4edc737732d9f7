"""`headrace runs cancel|kill|pause|resume|rerun` and `headrace tasks …`: tell the engine to decide otherwise.

Whoever owns the run does it. When no engine lives, this process becomes the owner and decides; where the run then goes
on (it was resumed, or its teardowns are to run), it stays until the run has ended.
"""

from __future__ import annotations

import json as codec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from headrace.cli.documents import run_document
from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, steered
from headrace.cli.output import print_json, say
from headrace.cli.references import short, written_of
from headrace.cli.where import ANYWHERE, Anywhere, RunRef, TaskName

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.cli.station import RunCommand, Station, TaskAction

FINAL = frozenset(("succeeded", "failed", "cancelled"))

Reason = Annotated[str | None, Parameter(help="Why; it is kept with the decision.")]
Json = Annotated[bool, Parameter(help="The run afterwards, as one object.")]


def cancel(run: RunRef, /, *, reason: Reason = None, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Cancel a run; its teardowns still run."""
    return go(_command(where, run, "cancel", {"reason": reason}, json))


def kill(run: RunRef, /, *, reason: Reason = None, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """End a run at once; nothing more runs."""
    return go(_command(where, run, "kill", {"reason": reason}, json))


def pause(run: RunRef, /, *, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Start nothing more until resumed."""
    return go(_command(where, run, "pause", {}, json))


def resume(run: RunRef, /, *, json: Json = False, where: Anywhere = ANYWHERE) -> int:
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
    where: Anywhere = ANYWHERE,
) -> int:
    """Run what failed again, or the tasks you name.

    Everything downstream of them runs again too, as a new generation; the old attempts stay to be read. With another
    version, what only that one has runs as well, and what keeps its result is known again by its id.
    """
    replaced = None if inputs is None else _object("--inputs", inputs)
    return go(_rerun(where, run, from_ or ["failed"], replaced, version, json))


def retry_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Anywhere = ANYWHERE
) -> int:
    """Try a task again now.

    One that waits for its next attempt or poll gets it at once. In a run that has ended, the task and all that is downstream
    of it run again as a new generation.
    """
    return go(_on_task(where, run, task, "retry", {"reason": reason}, json))


def skip_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Anywhere = ANYWHERE
) -> int:
    """Skip a task that has not ended."""
    return go(_on_task(where, run, task, "skip", {"reason": reason}, json))


def succeed_task(
    run: RunRef,
    task: TaskName,
    /,
    *,
    output: Annotated[str, Parameter(help="Its output, as JSON.")] = "null",
    reason: Reason = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Count a task as succeeded."""
    body = {"reason": reason, "output": _object("--output", output)}
    return go(_on_task(where, run, task, "succeed", body, json))


def cancel_task(
    run: RunRef, task: TaskName, /, *, reason: Reason = None, json: Json = False, where: Anywhere = ANYWHERE
) -> int:
    """Cancel one task."""
    return go(_on_task(where, run, task, "cancel", {"reason": reason}, json))


async def _command(where: Anywhere, text: str, kind: RunCommand, body: dict[str, Any], json: bool) -> int:
    async with steered(where.settings()) as station:
        run = await station.find(text)
        _live(run)
        now = await station.command(run, kind, body)
        if _goes_on_here(station, now):
            ended = await follow(station, run, await station.plan(run), json=json, stop_on_interrupt=True)
            asked_for = kind in ("cancel", "kill") and ended is Status.RUN_FAILED
            return Status.OK if asked_for else ended
        if json:
            print_json(run_document(await station.see(run.run)))
        else:
            say(f"run {short(run.run)} is {now.state}.")
    return Status.OK


async def _rerun(
    where: Anywhere, text: str, tasks: list[str], inputs: object, version: int | str | None, json: bool
) -> int:
    async with steered(where.settings()) as station:
        run = await station.find(text)
        if run.state not in FINAL:
            raise Stop(
                f"run {short(run.run)} has not ended: {run.state}.",
                hint="headrace runs wait, or cancel it first.",
            )
        named = "failed" if tasks == ["failed"] else tasks
        now = await station.command(run, "rerun", {"from": named, "inputs": inputs, "version": version})
        return await follow(station, now, await station.plan(now), json=json, stop_on_interrupt=True)


async def _on_task(
    where: Anywhere, text: str, task: str, action: TaskAction, body: dict[str, Any], json: bool
) -> int:
    async with steered(where.settings()) as station:
        run = await station.find(text)
        if action != "retry":
            _live(run)
        name = await station.act(run, task, action, body)
        # a retry of a final run began a new generation
        if run.state in FINAL or _goes_on_here(station, await station.find(run.run)):
            return await follow(station, run, await station.plan(run), json=json, stop_on_interrupt=True)
        seen = await station.see(run.run)
    if json:
        print_json(run_document(seen))
    else:
        state = next((one.state for one in seen.tasks if written_of(one) == name), "on its way")
        say(f"{name} of run {short(run.run)} is {state}.")
    return Status.OK


def _live(run: RunEntry) -> None:
    """Raises Stop."""
    if run.state in FINAL:
        raise Stop(
            f"run {short(run.run)} has ended: {run.state}.", hint="headrace runs rerun begins it again."
        )


def _goes_on_here(station: Station, now: RunEntry) -> bool:
    """Whether this process owns a run that does not stand still: it would be cut off if the command left now."""
    if not station.owns or now.state in FINAL or now.state == "paused":
        return False
    say("No engine lives on this home, so this process goes on with the run.")
    return True


def _object(flag: str, text: str) -> Any:
    try:
        return codec.loads(text)
    except (ValueError, RecursionError) as error:
        raise Stop(f"{flag} takes JSON: {error}.") from None
