"""`headrace trigger NAME`: start a registered workflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.documents import run_entry
from headrace.cli.failure import Status
from headrace.cli.follow import follow
from headrace.cli.here import go, steered
from headrace.cli.output import print_json, say
from headrace.cli.parameters import ask_for, gather, missing
from headrace.cli.references import short
from headrace.cli.run import Key, Param, Params, PriorityFlag
from headrace.cli.runs import Timeout, seconds
from headrace.cli.selectors import Exclude, Part, Select, selectors
from headrace.cli.where import ANYWHERE, Anywhere


def trigger(
    name: str,
    /,
    *,
    param: Param = None,
    params: Params = None,
    version: Annotated[int | None, Parameter(help="The version; the newest when left out.")] = None,
    priority: PriorityFlag = None,
    key: Key = None,
    select: Select = None,
    exclude: Exclude = None,
    app_dir: Annotated[
        Path, Parameter(help="Where its Python modules and scripts lie, for a run here.")
    ] = Path(),
    wait: Annotated[bool, Parameter(help="Follow it until it ends.")] = False,
    timeout: Timeout = None,
    json: Annotated[bool, Parameter(help="The run as one object.")] = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Start a registered workflow.

    An engine that lives on this home, or the server's, takes it. When none lives here, this process runs it and stays until it has
    ended.

    Parameters
    ----------
    name
        The workflow's name, as registered.
    """
    folder = os.path.abspath(app_dir)
    part = Part(selectors("--select", select), selectors("--exclude", exclude))
    return go(
        _trigger(where, name, param or [], params, version, priority, key, part, folder, wait, timeout, json)
    )


async def _trigger(
    where: Anywhere,
    name: str,
    pairs: list[str],
    params: str | None,
    version: int | None,
    priority: str | None,
    key: str | None,
    part: Part,
    folder: str,
    wait: bool,
    timeout: str | None,
    json: bool,
) -> int:
    import msgspec

    from headrace.engine.shell.plans import build

    limit = seconds(timeout)
    async with steered(where.settings()) as station:
        wanted = await station.workflows.version(name, version)
        plan = build(msgspec.json.encode(wanted.document))
        given = gather(plan.workflow, pairs, params)
        if lacking := missing(plan.workflow, given):
            raise ask_for(plan.workflow, lacking, ("headrace", "trigger", name), pairs)
        run = await station.start(
            wanted,
            plan,
            given,
            folder=folder,
            priority=priority,
            key=key,
            select=part.select,
            exclude=part.exclude,
        )
        if station.owns and not wait:
            say("No engine lives on this home, so this process runs it.")
        if wait or station.owns:
            return await follow(station, run, plan, json=json, stop_on_interrupt=station.owns, timeout=limit)
    if json:
        print_json(run_entry(run))
    else:
        say(f"Started run {short(run.run)} of {name}. headrace runs watch {short(run.run)} follows it.")
    return Status.OK
