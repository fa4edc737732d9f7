"""`headrace runs list|show|watch|wait`: look at runs."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.api.showing.documents import run_document, run_entry, standing_word, state_word, status_document
from headrace.cli.failure import Stop
from headrace.cli.follow import follow
from headrace.cli.here import caching, go, plan_of, reading, steering
from headrace.cli.output import State, clock_time, instant, print_json, print_table, say, span
from headrace.cli.references import find_run, is_whole_id, short
from headrace.cli.story import tell
from headrace.cli.telling import told
from headrace.cli.where import HERE, RunRef, Where
from headrace.engine.core.states import RunState

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
    where: Where = HERE,
) -> int:
    """The newest runs."""
    if not 1 <= limit <= 500:
        raise Stop("--limit is from 1 to 500.")
    return go(_list(where, workflow, state, limit, json))


async def _list(where: Where, workflow: str | None, state: str | None, limit: int, json: bool) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        rows = await store.list_runs(
            settings.project,
            workflow=workflow,
            state=RunState[state.upper()] if state else None,
            limit=limit,
        )
    if json:
        print_json(
            {"items": [run_entry(row) for row in rows], "next": rows[-1].id if len(rows) == limit else None}
        )
        return 0
    print_table(
        ("run", "workflow", "state", "started", "took"),
        (
            (
                short(row.id),
                row.workflow,
                State(state_word(row), row.reason),
                instant(row.started_at or row.created_at),
                span(_took(row.started_at, row.finished_at)),
            )
            for row in rows
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
    where: Where = HERE,
) -> int:
    """One run and the state of its tasks."""
    if status and all:
        raise Stop("--status counts the tasks, --all lists them: give one of them.")
    return go(_status(where, run, json) if status else _show(where, run, all, json))


async def _status(where: Where, run: str, json: bool) -> int:
    from headrace.engine.shell.standing import status_of

    settings = where.settings()
    async with reading(settings) as store, caching(settings) as cache:
        status = None if cache is None or not is_whole_id(run) else await cache.status(run.lower())
        if status is None or status.project != settings.project:
            row = await find_run(store, settings.project, run)
            status = await status_of(store, settings.project, row.id, cache=cache)
        degraded = None if cache is None else cache.degraded
    if json:
        print_json(status_document(status, degraded))
        return 0
    counts = ", ".join(f"{number} {state}" for state, number in status.tasks.items())
    print(f"{standing_word(status)}  {status.workflow}  run {status.run}  {counts or 'no tasks'}")
    if degraded is not None:
        say(told(degraded))
    return 0


async def _show(where: Where, run: str, everything: bool, json: bool) -> int:
    from headrace.engine.artifacts import open_artifacts, open_logs
    from headrace.engine.shell.views import run_view

    settings = where.settings()
    async with reading(settings) as store, caching(settings) as cache:
        degraded = None if cache is None else await cache.probe()
        row = await find_run(store, settings.project, run)
        view = await run_view(store, row.no, artifacts=open_artifacts(settings.artifact_store))
        if json:
            print_json(run_document(view))
            return 0
        tasks = [
            task
            for task in view.tasks
            if everything or not task.map_path or task.state not in ("succeeded", "skipped")
        ]
        if tasks or not view.tasks:
            print_table(
                ("task", "state", "attempts", "began", "took"),
                (
                    (
                        task.written,
                        State(task.state, task.reason),
                        task.attempts,
                        clock_time(task.started_at) if task.started_at else None,
                        span(task.duration_seconds),
                    )
                    for task in tasks
                ),
                empty="The run has no tasks.",
            )
        if len(tasks) < len(view.tasks):
            print(
                f"… and {len(view.tasks) - len(tasks)} items that succeeded or were skipped (--all shows them)"
            )
        await tell(view, open_logs(store, settings.home / "logs"))
    if degraded is not None:
        say(told(degraded))
    return 0


def watch(
    run: RunRef,
    /,
    *,
    json: Annotated[bool, Parameter(help="One event a line.")] = False,
    timeout: Timeout = None,
    where: Where = HERE,
) -> int:
    """Follow a run until it ends."""
    return go(_follow(where, run, timeout, json=json, watch=True))


def wait(run: RunRef, /, *, timeout: Timeout = None, json: Json = False, where: Where = HERE) -> int:
    """Wait for a run to end, in silence.

    The exit status is 0 when it succeeded, 1 when it did not, 4 when --timeout passed.
    """
    return go(_follow(where, run, timeout, json=json, quiet=True))


async def _follow(
    where: Where, run: str, timeout: str | None, *, json: bool, watch: bool = False, quiet: bool = False
) -> int:
    settings = where.settings()
    async with steering(settings) as home:
        row = await find_run(home.store, settings.project, run)
        plan = await plan_of(home.store, row.plan)
        return await follow(home, row, plan, json=json, watch=watch, quiet=quiet, timeout=seconds(timeout))


def seconds(duration: str | None) -> float | None:
    """`10m` as 600.0. Raises Stop."""
    if duration is None:
        return None
    from headrace.engine.core.units import parse_duration

    try:
        return parse_duration(duration).total_seconds()
    except ValueError as error:
        raise Stop(f"--timeout: {error}") from None


def _took(began: float | None, ended: float | None) -> float | None:
    return None if began is None else (ended or time.time()) - began
