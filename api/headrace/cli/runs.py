"""`headrace runs list|show|watch|wait`: look at runs."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.documents import run_document, run_entry, status_document
from headrace.cli.failure import Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, looking, steered
from headrace.cli.output import State, clock_time, moment, print_json, print_table, say, span
from headrace.cli.references import short, written_of
from headrace.cli.story import tell
from headrace.cli.telling import aside, told
from headrace.cli.where import ANYWHERE, Anywhere, RunRef

RunStateName = Literal["queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"]
Json = Annotated[bool, Parameter(help="For programs.")]
Timeout = Annotated[
    str | None, Parameter(help="Stop waiting after this long (30s, 10m): status 4, and the run goes on.")
]


def list_(
    *,
    workflow: Annotated[str | None, Parameter(help="Only of this workflow.")] = None,
    state: Annotated[RunStateName | None, Parameter(help="Only in this state.")] = None,
    limit: Annotated[int, Parameter(help="How many, newest first (at most 500).")] = 20,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """The newest runs."""
    if not 1 <= limit <= 500:
        raise Stop("--limit is from 1 to 500.")
    return go(_list(where, workflow, state, limit, json))


async def _list(where: Anywhere, workflow: str | None, state: str | None, limit: int, json: bool) -> int:
    async with looking(where.settings()) as station:
        runs = await station.runs(workflow=workflow, state=state, limit=limit)
    if json:
        print_json(
            {"items": [run_entry(run) for run in runs], "next": runs[-1].run if len(runs) == limit else None}
        )
        return 0
    print_table(
        ("run", "workflow", "state", "started", "took"),
        (
            (
                short(run.run),
                run.workflow,
                State(run.state, run.reason),
                run.started_at or run.created_at,
                span(_took(run.started_at, run.finished_at)),
            )
            for run in runs
        ),
        empty="No run yet. headrace run FILE makes one.",
    )
    return 0


def show(
    run: RunRef,
    /,
    *,
    all: Annotated[bool, Parameter(help="Every item of every map, not only what did not succeed.")] = False,
    status: Annotated[
        bool,
        Parameter(
            help="Only how it stands and how many tasks are in each state; from Redis where there is one."
        ),
    ] = False,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """One run and the state of its tasks."""
    if status and all:
        raise Stop("--status counts the tasks, --all lists them: give one of them.")
    return go(_status(where, run, json) if status else _show(where, run, all, json))


async def _status(where: Anywhere, text: str, json: bool) -> int:
    async with looking(where.settings()) as station:
        status = await station.status(text)
    if json:
        print_json(status_document(status))
        return 0
    counts = ", ".join(f"{number} {state}" for state, number in status.tasks.items())
    print(f"{status.state}  {status.workflow}  run {status.run}  {counts or 'no tasks'}")
    if status.degraded is not None:
        say(told(status.degraded))
    return 0


async def _show(where: Anywhere, text: str, everything: bool, json: bool) -> int:
    async with looking(where.settings()) as station:
        degraded = await station.degraded()
        seen = await station.see((await station.find(text)).run)
        if json:
            print_json(run_document(seen))
            return 0
        tasks = [
            task
            for task in seen.tasks
            if everything or not task.map_path or task.state not in ("succeeded", "skipped")
        ]
        if tasks or not seen.tasks:
            print_table(
                ("task", "state", "attempts", "began", "took"),
                (
                    (
                        written_of(task),
                        State(task.state, task.reason),
                        task.attempts,
                        clock_time(moment(task.started_at)) if task.started_at else None,
                        span(task.duration_seconds),
                    )
                    for task in tasks
                ),
                empty="The run has no tasks.",
            )
        if len(tasks) < len(seen.tasks):
            print(
                f"… and {len(seen.tasks) - len(tasks)} items that succeeded or were skipped (--all shows them)"
            )
        await tell(seen, station.lines)
    if seen.aside is not None:
        print(aside(seen.run.run, seen.aside))
    if degraded is not None:
        say(told(degraded))
    return 0


def watch(
    run: RunRef,
    /,
    *,
    json: Annotated[bool, Parameter(help="One event a line.")] = False,
    timeout: Timeout = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """Follow a run until it ends."""
    return go(_follow(where, run, timeout, json=json, watch=True))


def wait(run: RunRef, /, *, timeout: Timeout = None, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Wait for a run to end, in silence.

    The exit status is 0 when it succeeded, 1 when it did not, 4 when --timeout passed.
    """
    return go(_follow(where, run, timeout, json=json, quiet=True))


async def _follow(
    where: Anywhere, run: str, timeout: str | None, *, json: bool, watch: bool = False, quiet: bool = False
) -> int:
    limit = seconds(timeout)
    async with steered(where.settings()) as station:
        found = await station.find(run)
        plan = None if quiet else await station.plan(found)
        return await follow(station, found, plan, json=json, watch=watch, quiet=quiet, timeout=limit)


def seconds(duration: str | None) -> float | None:
    """`10m` as 600.0. Raises Stop."""
    if duration is None:
        return None
    from headrace.engine.core.units import parse_duration

    try:
        return parse_duration(duration).total_seconds()
    except ValueError as error:
        raise Stop(f"--timeout: {error}") from None


def _took(began: str | None, ended: str | None) -> float | None:
    if began is None:
        return None
    return (time.time() if ended is None else moment(ended)) - moment(began)
