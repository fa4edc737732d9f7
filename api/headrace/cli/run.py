"""`headrace run FILE`: check, run here, follow, and tell how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.files import plan_to_run, workflows_below
from headrace.cli.follow import follow
from headrace.cli.here import embedded, go, me
from headrace.cli.output import print_json, say
from headrace.cli.parameters import ask_for, gather, missing
from headrace.cli.pools import unknown
from headrace.cli.references import short
from headrace.cli.selectors import Exclude, Part, Select, selectors
from headrace.cli.where import HERE, Where
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import Child
from headrace.engine.ports.store import RowDamaged

if TYPE_CHECKING:
    from headrace.cli.local import LocalStation
    from headrace.cli.settings import Settings
    from headrace.dsl.source import Planned
    from headrace.engine.ports.store import RunRow
    from headrace.runners.embedded import Embedded

CHILDREN_END_WITHIN = 5.0
"""Seconds in which the children of a killed run are told so and end; those that have not go on with the next --resume."""

Param = Annotated[
    list[str] | None, Parameter(name=["--param", "-p"], help="key=value or key=@file; repeatable.")
]
Params = Annotated[str | None, Parameter(help="A JSON or YAML file of parameters; - is stdin.")]
PriorityFlag = Annotated[Literal["high", "normal", "low"] | None, Parameter(help="Of this run.")]
Key = Annotated[str | None, Parameter(help="A business key: at most one live run of the workflow has it.")]


def run(
    file: str | None = None,
    /,
    *,
    param: Param = None,
    params: Params = None,
    priority: PriorityFlag = None,
    key: Key = None,
    select: Select = None,
    exclude: Exclude = None,
    slots: Annotated[int | None, Parameter(help="How many tasks at once.")] = None,
    json: Annotated[bool, Parameter(help="The whole run as one object on stdout.")] = False,
    watch: Annotated[bool, Parameter(help="With --json: one event a line as it happens, instead.")] = False,
    resume: Annotated[bool, Parameter(help="Go on with the runs of this home that were cut off.")] = False,
    where: Where = HERE,
) -> int:
    """Run a workflow file here and follow it.

    The run is kept in the home folder. Ctrl-C cancels it with its teardowns; a second one kills it.

    Parameters
    ----------
    file
        A workflow file; FILE.py:name for one of several. Without it, the workflows of this folder are listed.
    """
    if resume:
        if file is not None:
            raise Stop("--resume takes no file: it goes on with every run of the home that has not ended.")
        return go(_resume(where.settings(slots=slots), json=json, watch=watch))
    if file is None:
        return _list_folder()
    settings = where.settings(slots=slots)
    try:
        planned = plan_to_run(file, settings.pools)
    except InvalidWorkflow as error:
        if not json:
            raise
        from headrace.cli.validate import verdict

        print_json(verdict(error.problems, error.warnings))
        return Status.USAGE
    for warning in planned.warnings:
        if warning.code != "unknown_pool":
            say(f"warning: {warning}")
    workflow = planned.source.workflow
    pairs: Sequence[str] = param or ()
    given = gather(workflow, pairs, params)
    if lacking := missing(workflow, given):
        raise ask_for(workflow, lacking, ("headrace", "run", file), pairs)
    part = Part(selectors("--select", select), selectors("--exclude", exclude))
    return go(_run(planned, given, settings, priority, key, part, json=json, watch=watch))


async def _run(
    planned: Planned,
    given: dict[str, object],
    settings: Settings,
    priority: str | None,
    key: str | None,
    part: Part,
    *,
    json: bool,
    watch: bool,
) -> int:
    source = planned.source
    async with embedded(settings, own=True, go_on=False) as home:
        station = _station(settings, home)
        for warning in await unknown([planned], station.pools):
            say(f"warning: {warning}")
        if home.left:
            runs = "one run" if home.left == 1 else f"{home.left} runs"
            say(f"{runs} of this home did not end; headrace run --resume goes on with what was cut off.")
        row = await home.submit(
            planned.plan,
            given,
            trigger={"kind": "manual", "by": me()},
            folder=source.folder,
            file=source.file,
            priority=priority,
            key=key,
            select=part.select,
            exclude=part.exclude,
        )
        _say_if_paused(row)  # it may be one that has the same key
        ended = await follow(
            station, station.known(row), planned.plan, json=json, watch=watch, stop_on_interrupt=True
        )
        if ended is Status.INTERRUPTED:
            await _see_children_end(home, row)
        else:
            await _outlast(station, home, row)
        return ended


def _station(settings: Settings, home: Embedded) -> LocalStation:
    from headrace.cli.local import LocalStation

    return LocalStation(settings, home.store, home=home)


async def _see_children_end(home: Embedded, run: RunRow) -> None:
    """A run that is killed ends before its children do: they are told by commands of their own, and what they run is
    stopped before this process goes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CHILDREN_END_WITHIN):
            for row in await home.going_on():
                if await _ends_with(home, row, run):
                    await home.wait(row)


async def _ends_with(home: Embedded, row: RunRow, run: RunRow) -> bool:
    """Whether `row` is a child of `run`, or of a child of it, that is told to stop with it."""
    while row.parent is not None:
        no, _, task, _ = row.parent
        above = await home.store.run(no)
        if above is None:
            return False
        work = (await home.plan(above.plan)).tasks[task].work
        if not isinstance(work, Child) or not work.wait or work.on_cancel != "cancel":
            return False
        if no == run.no:
            return True
        row = above
    return False


async def _outlast(station: LocalStation, home: Embedded, run: RunRow) -> None:
    """Stay until all else that runs in this process has ended: children that the run did not wait for, and what other
    commands have started meanwhile."""
    while going_on := await home.going_on():
        row = await _descendant(home, going_on, run)
        if row is not None:
            say(f"{run.workflow} did not wait for {row.workflow}, which goes on here; Ctrl-C cancels it.")
        else:
            row = going_on[0]
            say(f"{row.workflow} {short(row.id)} was started meanwhile and goes on here; Ctrl-C cancels it.")
        plan = await home.plan(row.plan)
        entry = station.known(row)
        if await follow(station, entry, plan, quiet=True, stop_on_interrupt=True) is Status.INTERRUPTED:
            return


async def _descendant(home: Embedded, rows: list[RunRow], run: RunRow) -> RunRow | None:
    for row in rows:
        above: RunRow | None = row
        while above is not None and above.parent is not None:
            if above.parent[0] == run.no:
                return row
            above = await home.store.run(above.parent[0])
    return None


def _say_if_paused(row: RunRow) -> None:
    if row.paused:
        run = short(row.id)
        say(f"run {run} of {row.workflow} is paused; headrace runs resume {run} goes on with it.")


async def _resume(settings: Settings, *, json: bool, watch: bool) -> int:
    """Own the home, which takes up everything that is live, and follow the oldest run first until all have ended."""
    worst = Status.OK
    async with embedded(settings, own=True) as home:
        station = _station(settings, home)
        live = await home.live()
        numbers = {row.no for row in live}
        # a child is told of by the run that waits for it; one that has outlived its parent stands for itself
        rows = [row for row in live if row.parent is None or row.parent[0] not in numbers]
        if not rows:
            say("No run was cut off here; nothing to go on with.")
        for row in live:
            _say_if_paused(row)
        for row in rows:
            if row.paused:
                continue
            try:
                plan = await home.plan(row.plan)
                ended = await follow(
                    station, station.known(row), plan, json=json, watch=watch, stop_on_interrupt=True
                )
            except RowDamaged as damaged:
                say(f"headrace: {damaged}")
                ended = Status.SERVICE
            worst = max(worst, ended)
            if ended is Status.INTERRUPTED:
                return worst
        if rows:
            await _outlast(station, home, rows[-1])
    return worst


def _list_folder() -> int:
    found = list(workflows_below(Path()))
    if not found:
        raise Stop("there is no workflow in this folder.", hint="headrace init makes two to begin with.")
    for file, names in found:
        for name in names:
            print(f"headrace run {file}{f':{name}' if len(names) > 1 else ''}   # {name}")
    return Status.OK
