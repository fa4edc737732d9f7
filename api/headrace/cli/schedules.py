"""`headrace schedules list|show|preview|pause|resume|trigger`: what starts workflows by time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from headrace.cli.documents import run_entry
from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, keeping, looking, steered
from headrace.cli.output import print_json, print_table, say
from headrace.cli.references import short
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.api.shapes.schedules import Moment, ScheduleEntry
    from headrace.cli.station import Station

MOST = 1000
Json = Annotated[bool, Parameter(help="For programs.")]
Id = Annotated[
    str,
    Parameter(
        help="The workflow and its trigger: daily_sales.nightly; the workflow alone, where it has one."
    ),
]


def list_(
    *,
    workflow: Annotated[str | None, Parameter(help="Only those of this workflow.")] = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """What starts workflows by time, and when next."""
    return go(_list(where, workflow, json))


async def _list(where: Anywhere, workflow: str | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.schedules.list(workflow)
    if json:
        print_json({"items": [msgspec.to_builtins(one) for one in found], "next": None})
        return 0
    print_table(
        ("schedule", "when", "zone", "state", "next", "last run"),
        (
            (
                one.id,
                one.when,
                one.timezone,
                one.state,
                one.next_at,
                None if one.last_run is None else short(one.last_run),
            )
            for one in found
        ),
        empty="No schedule. One comes with a workflow whose triggers have cron, every or at: headrace register FILE.",
    )
    return 0


async def _named(station: Station, text: str) -> str:
    """The id of a schedule: what was typed, or that of the only one of a workflow. Raises Stop where a workflow has several."""
    if "." in text:  # no name of a workflow has one, and every id of a schedule
        return text
    ids = [one.id for one in await station.schedules.list(text)]
    if len(ids) > 1:
        raise Stop(f"{text} has several schedules.", hint=f"Say one of {', '.join(ids)}.")
    return ids[0] if ids else text


def show(id: Id, /, *, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """How a schedule stands."""
    return go(_show(where, id, json))


async def _show(where: Anywhere, id: str, json: bool) -> int:
    async with looking(where.settings()) as station:
        one = await station.schedules.get(await _named(station, id))
    if json:
        print_json({"schema": 1, **msgspec.to_builtins(one)})
        return 0
    said = "" if one.kind is None else f"  {one.kind} {one.when}  {one.timezone}"
    print(f"{one.id}  {one.state}{said}")
    for line in _told(one):
        print(f"  {line}")
    return 0


def _told(one: ScheduleEntry) -> list[str]:
    said = [] if one.overlap is None else [f"overlap {one.overlap}, catchup {one.catchup}"]
    if one.state == "broken":
        said.append("it cannot be read: a newer release may have written it")
    if one.paused_by is not None:
        said.append(f"paused by {one.paused_by}" + (f": {one.paused_why}" if one.paused_why else ""))
    if one.state == "workflow_paused":
        said.append(f"its workflow is paused; headrace workflows resume {one.workflow} lets it start")
    if one.next_at is not None:
        later = f", started at {one.due_at} (jitter)" if one.due_at != one.next_at else ""
        said.append(f"next {one.next_at}{later}")
    if one.last_at is not None:
        run = "" if one.last_run is None else f", run {short(one.last_run)}"
        said.append(f"last {one.last_at}{run}")
    if one.problem is not None:
        said.append(f"the last one could not start: {one.problem}")
    if one.waiting:
        said.append(f"{one.waiting} waiting for a run to end")
    if one.skipped:
        said.append(f"{one.skipped} skipped since a run was going on")
    if one.failures:
        most = "" if one.pause_after is None else f"; {one.pause_after} in a row pause it"
        said.append(f"{one.failures} failed in a row{most}")
    return said


def preview(
    id: Id,
    /,
    *,
    count: Annotated[int, Parameter(help="How many.")] = 10,
    after: Annotated[str | None, Parameter(help="A time to begin after, RFC 3339 [now].")] = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """When a schedule comes next; days on which the clock changes are marked."""
    if not 1 <= count <= MOST:
        raise Stop(f"--count is 1 to {MOST:,}.")
    return go(_preview(where, id, count, after, json))


async def _preview(where: Anywhere, id: str, count: int, after: str | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.schedules.preview(await _named(station, id), count, after)
    if json:
        print_json({"schema": 1, **msgspec.to_builtins(found)})
        return 0
    print_table(
        (f"in {found.timezone}", "in UTC", "starts", ""),
        (
            (one.local, one.at, one.due_at if one.due_at != one.at else None, _change(one))
            for one in found.items
        ),
        empty="Nothing comes any more.",
    )
    return 0


def _change(one: Moment) -> str | None:
    shift = one.clock_shift_seconds
    if not shift:
        return None
    minutes = abs(shift) // 60
    by = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
    return f"the clock goes {'forward' if shift > 0 else 'back'} {by} that day"


def pause(
    id: Id,
    /,
    *,
    reason: Annotated[str | None, Parameter(help="Why, for those who come later.")] = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """It starts nothing until it is resumed.

    Runs that have begun go on; what waits for one of them to end goes.
    """
    return go(_set_paused(where, id, True, reason))


def resume(id: Id, /, *, where: Anywhere = ANYWHERE) -> int:
    """Go on with the next moment of a paused schedule.

    What came while it was paused is passed over, whatever its catchup says.
    """
    return go(_set_paused(where, id, False, None))


async def _set_paused(where: Anywhere, id: str, paused: bool, reason: str | None) -> int:
    async with keeping(where.settings()) as station:
        one = await station.schedules.set_paused(await _named(station, id), paused, reason)
    upcoming = "nothing comes any more" if one.next_at is None else f"next {one.next_at}"
    say(f"✓ {one.id} is paused: it starts nothing." if paused else f"✓ {one.id}: {upcoming}.")
    return 0


def trigger(
    id: Id,
    /,
    *,
    app_dir: Annotated[
        Path, Parameter(help="Where its Python modules and scripts lie, for a run here.")
    ] = Path(),
    wait: Annotated[bool, Parameter(help="Follow it until it ends.")] = False,
    json: Annotated[bool, Parameter(help="The run as one object.")] = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Start a schedule's run now, beside its own.

    With the parameters that it gives, whatever its overlap says, and though it is paused. When no engine lives here, this process
    runs it and stays until it has ended.
    """
    return go(_trigger(where, id, os.path.abspath(app_dir), wait, json))


async def _trigger(where: Anywhere, id: str, folder: str, wait: bool, json: bool) -> int:
    async with steered(where.settings()) as station:
        run = await station.schedules.trigger(await _named(station, id), folder)
        if wait or station.owns:
            plan = await station.plan(run)
            return await follow(station, run, plan, json=json, stop_on_interrupt=station.owns, timeout=None)
    if json:
        print_json(run_entry(run))
    else:
        say(
            f"Started run {short(run.run)} of {run.workflow}. headrace runs watch {short(run.run)} follows it."
        )
    return Status.OK
