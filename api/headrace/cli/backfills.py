"""`headrace backfills create|list|show|watch|change|pause|resume|cancel`: moments of schedules that are made up for."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import go, keeping, looking, steered
from headrace.cli.output import print_json, print_table, say
from headrace.cli.parameters import gather
from headrace.cli.run import Param, Params
from headrace.cli.selectors import Exclude, Select, selectors
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.api.shapes.backfills import BackfillEntry, BackfillPlan, Progress
    from headrace.cli.station import Station

LOOK_EVERY = 0.5
Json = Annotated[bool, Parameter(help="For programs.")]
Number = Annotated[int, Parameter(help="The backfill's number.")]
Code = Annotated[Path, Parameter(help="Where its Python modules and scripts lie, for runs here.")]
Priority = Literal["high", "normal", "low"]


def create(
    workflow: str,
    /,
    *,
    from_: Annotated[
        str | None, Parameter(name="--from", help="First day, in the schedule's zone; or a time, RFC 3339.")
    ] = None,
    to: Annotated[str | None, Parameter(help="Last day, whole; or a time.")] = None,
    date: Annotated[
        list[str] | None,
        Parameter(negative="", help="One day, in place of --from and --to; may be repeated."),
    ] = None,
    schedule: Annotated[
        str | None, Parameter(help="Which one, where the workflow has several: nightly.")
    ] = None,
    param: Param = None,
    params: Params = None,
    reprocess: Annotated[
        Literal["missing", "failed", "all"],
        Parameter(help="Moments without a run; those too whose last run did not succeed; or every one."),
    ] = "missing",
    order: Annotated[
        Literal["forward", "backward"], Parameter(help="Oldest first, or newest first.")
    ] = "forward",
    max_active: Annotated[int, Parameter(help="How many of its runs may go on at once.")] = 5,
    priority: Annotated[Priority, Parameter(help="Of its runs.")] = "low",
    select: Select = None,
    exclude: Exclude = None,
    yes: Annotated[
        bool, Parameter(negative="", help="Begin it; without, only what it would do is shown.")
    ] = False,
    app_dir: Code = Path(),
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Make up for moments of a schedule; without --yes, see which.

    Each run is the one that the schedule would have begun: with its moment, date and parameters, and no moment has two but where
    --reprocess says so. When no engine lives here, this process runs them and stays until all have ended.

    Parameters
    ----------
    workflow
        The workflow's name, as registered.
    """
    wanted = {
        "workflow": workflow,
        "schedule": schedule,
        "begin": from_,
        "end": to,
        "dates": tuple(date or ()),
        "reprocess": reprocess,
        "order": order,
        "max_active": _limit(max_active),
        "priority": priority,
        "select": tuple(selectors("--select", select)),
        "exclude": tuple(selectors("--exclude", exclude)),
    }
    return go(_create(where, wanted, param or [], params, yes, os.path.abspath(app_dir), json))


async def _create(
    where: Anywhere,
    wanted: dict[str, Any],
    pairs: list[str],
    params: str | None,
    yes: bool,
    folder: str,
    json: bool,
) -> int:
    from headrace.engine.shell.plans import build
    from headrace.engine.shell.schedules.asking import Wanted

    settings = where.settings()
    async with (steered if yes else looking)(settings) as station:
        if pairs or params:
            version = await station.workflows.version(wanted["workflow"], None)
            wanted["params"] = gather(build(msgspec.json.encode(version.document)).workflow, pairs, params)
        plan = await station.backfills.plan(Wanted(**wanted))
        if not yes:
            if json:
                print_json({"schema": 1, **msgspec.to_builtins(plan)})
                return Status.OK
            _preview(plan)
            return Status.OK
        made = await station.backfills.confirm(plan.plan_id)
        if await station.backfills.take_up():
            say(f"Began backfill {made.backfill}. No engine lives on this home, so this process runs it.")
            return await _followed(station, made.backfill, folder, json)
    if json:
        print_json({"schema": 1, **msgspec.to_builtins(made)})
    else:
        say(f"Began backfill {made.backfill}. headrace backfills watch {made.backfill} follows it.")
    return Status.OK


def _preview(plan: BackfillPlan) -> None:
    print(f"{plan.schedule}, {plan.timezone}: {plan.moments} moments, {plan.runs} to run ({plan.reprocess})")
    print("  " + ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in plan.found.items()))
    _print_part(plan)
    for at in plan.first:
        print(f"  {at}")
    left = plan.runs - len(plan.first) - len(plan.last)
    if left > 0:
        print(f"  … {left} more")
    for at in plan.last:
        print(f"  {at}")
    if plan.runs:
        say(
            f"Nothing has begun. With --yes they run, {plan.order}, {plan.max_active} at once, {plan.priority}."
        )
    else:
        say("Nothing is left to run; --reprocess failed or all runs more.")


def _print_part(one: BackfillPlan | BackfillEntry) -> None:
    said = [f"--select {word}" for word in one.select] + [f"--exclude {word}" for word in one.exclude]
    if said:
        print(f"  part of its workflow: {' '.join(said)}")


def list_(
    *,
    workflow: Annotated[str | None, Parameter(help="Only those of this workflow.")] = None,
    state: Annotated[
        Literal["running", "paused", "cancelled", "done"] | None, Parameter(help="Only those.")
    ] = None,
    limit: Annotated[int, Parameter(help="How many, newest first.")] = 20,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Backfills and how far they are, newest first."""
    if limit < 1:
        raise Stop("--limit is at least 1.")
    return go(_list(where, workflow, state, limit, json))


async def _list(where: Anywhere, workflow: str | None, state: str | None, limit: int, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.backfills.list(workflow, state, limit)
    if json:
        print_json({"items": [msgspec.to_builtins(one) for one in found], "next": None})
        return Status.OK
    print_table(
        ("backfill", "schedule", "state", "moments", "progress"),
        ((one.backfill, one.schedule, one.state, one.progress.total, told(one.progress)) for one in found),
        empty="No backfill. headrace backfills create WORKFLOW --from DAY --to DAY shows what one would do.",
    )
    return Status.OK


def show(
    number: Number,
    /,
    *,
    moments: Annotated[bool, Parameter(negative="", help="Each moment with its run.")] = False,
    state: Annotated[
        Literal["waiting", "started", "succeeded", "failed", "cancelled", "passed", "refused"] | None,
        Parameter(help="Only moments in this state."),
    ] = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """How far a backfill is, and what it waits for."""
    return go(_show(where, number, moments or state is not None, state, json))


async def _show(where: Anywhere, number: int, moments: bool, state: str | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        one = await station.backfills.get(number)
        listed = await station.backfills.moments(number, state) if moments else ()
    if json:
        more = {"moments": [msgspec.to_builtins(each) for each in listed]} if moments else {}
        print_json({"schema": 1, **msgspec.to_builtins(one), **more})
        return Status.OK
    print(f"{one.backfill}  {one.state}  {one.schedule}  {told(one.progress)}")
    print(f"  reprocess {one.reprocess}, {one.order}, max_active {one.max_active}, priority {one.priority}")
    _print_part(one)
    print(f"  asked for by {one.by} at {one.created_at}")
    if one.waits_for is not None:
        print(f"  waits for: {one.waits_for}")
    if one.problem is not None:
        print(f"  the last that was refused: {one.problem}")
    if moments:
        print_table(
            ("date", "for", "state", "run"),
            ((each.date, each.at, each.state, each.run) for each in listed),
            empty="No moment is in that state.",
        )
    return Status.OK


def watch(
    number: Number,
    /,
    *,
    app_dir: Code = Path(),
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Follow a backfill until nothing of it goes on.

    When no engine lives here, this process begins its runs. The exit status is 1 where a moment has no run that succeeded.
    """
    return go(_watch(where, number, os.path.abspath(app_dir), json))


async def _watch(where: Anywhere, number: int, folder: str, json: bool) -> int:
    async with steered(where.settings()) as station:
        one = await station.backfills.get(number)
        if one.finished_at is None and await station.backfills.take_up():
            say("No engine lives on this home, so this process runs it.")
        return await _followed(station, number, folder, json)


async def _followed(station: Station, number: int, folder: str, json: bool) -> int:
    before = None
    async with station.backfills.under_way(folder):
        while True:
            one = await station.backfills.get(number)
            if (line := f"{one.state}  {told(one.progress)}") != before:
                before = line
                say(line)
            if one.finished_at is not None:
                break
            if one.state == "paused" and not one.progress.started:
                say(f"It is paused. headrace backfills resume {number} lets it go on.")
                break
            try:
                await asyncio.sleep(LOOK_EVERY)
            except asyncio.CancelledError:
                if station.owns:
                    say(f"Backfill {number} is kept: headrace backfills watch {number} goes on with it.")
                raise
    if json:
        print_json({"schema": 1, **msgspec.to_builtins(one)})
    lost = one.progress.failed + one.progress.cancelled + one.progress.refused
    return Status.RUN_FAILED if lost or one.state == "cancelled" else Status.OK


def change(
    number: Number,
    /,
    *,
    max_active: Annotated[int | None, Parameter(help="How many of its runs may go on at once.")] = None,
    priority: Annotated[Priority | None, Parameter(help="Of runs that begin from now on.")] = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """How many runs it may have at once, and their priority."""
    given = {"max_active": None if max_active is None else _limit(max_active), "priority": priority}
    values = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise Stop("nothing to change.", hint="--max-active N, --priority high|normal|low")
    return go(_change(where, number, "change", values, **values))


def pause(
    number: Number,
    /,
    *,
    reason: Annotated[str | None, Parameter(help="Why, for those who come later.")] = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """Begin no more of its runs until it is resumed.

    Those that have begun go on.
    """
    detail = {"reason": reason} if reason else {}
    return go(_change(where, number, "pause", detail, state="paused", why=reason))


def resume(number: Number, /, *, where: Anywhere = ANYWHERE) -> int:
    """Go on with the next moment of a paused backfill."""
    return go(_change(where, number, "resume", {}, state="running"))


def cancel(
    number: Number,
    /,
    *,
    runs: Annotated[bool, Parameter(negative="", help="Cancel its runs that go on, too.")] = False,
    reason: Annotated[str | None, Parameter(help="Why, for those who come later.")] = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """Begin no more of its runs, for good.

    Those that have begun go on, but with --runs.
    """
    detail = {"runs": runs, **({"reason": reason} if reason else {})}
    return go(_change(where, number, "cancel", detail, state="cancelled", runs=runs))


async def _change(where: Anywhere, number: int, action: str, detail: dict[str, Any], **values: Any) -> int:
    async with keeping(where.settings()) as station:
        one = await station.backfills.change(number, action, detail, **values)
    say(_changed(one))
    return Status.OK


def _changed(one: BackfillEntry) -> str:
    return f"✓ backfill {one.backfill} is {one.state}: {told(one.progress)}."


def told(progress: Progress) -> str:
    """How far it is, in words."""
    counts = [
        (progress.succeeded, "succeeded"),
        (progress.failed, "failed"),
        (progress.cancelled, "cancelled"),
        (progress.refused, "refused"),
        (progress.passed, "passed over"),
        (progress.started, "going on"),
        (progress.waiting, "waiting"),
    ]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing"


def _limit(count: int) -> int:
    from headrace.engine.core.backfills import MOST_ACTIVE

    if not 1 <= count <= MOST_ACTIVE:
        raise Stop(f"--max-active is 1 to {MOST_ACTIVE:,}.")
    return count
