"""`headrace trigger NAME`: start a registered workflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.api.showing.documents import run_entry
from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, me, steering
from headrace.cli.output import print_json, say
from headrace.cli.parameters import ask_for, gather, missing
from headrace.cli.references import short
from headrace.cli.run import Key, Param, Params, PriorityFlag
from headrace.cli.runs import Timeout, seconds
from headrace.cli.where import HERE, Where
from headrace.cli.workflows import find_versions


def trigger(
    name: str,
    /,
    *,
    param: Param = None,
    params: Params = None,
    version: Annotated[int | None, Parameter(help="The version; the newest when left out.")] = None,
    priority: PriorityFlag = None,
    key: Key = None,
    app_dir: Annotated[Path, Parameter(help="Where its Python modules and scripts lie.")] = Path(),
    wait: Annotated[bool, Parameter(help="Follow it until it ends.")] = False,
    timeout: Timeout = None,
    json: Annotated[bool, Parameter(help="The run as one object.")] = False,
    where: Where = HERE,
) -> int:
    """Start a registered workflow.

    An engine that lives on this home takes it. When none does, this process runs it and stays until it has ended.

    Parameters
    ----------
    name
        The workflow's name, as registered.
    """
    folder = os.path.abspath(app_dir)
    return go(_trigger(where, name, param or [], params, version, priority, key, folder, wait, timeout, json))


async def _trigger(
    where: Where,
    name: str,
    pairs: list[str],
    params: str | None,
    version: int | None,
    priority: str | None,
    key: str | None,
    folder: str,
    wait: bool,
    timeout: str | None,
    json: bool,
) -> int:
    from headrace.engine.shell.plans import build

    limit = seconds(timeout)
    settings = where.settings()
    async with steering(settings) as home:
        versions = {row.version: row for row in await find_versions(home.store, settings.project, name)}
        wanted = max(versions) if version is None else version
        if wanted not in versions:
            raise Stop(
                f"{name} has no version {wanted}.", hint=f"It has {', '.join(map(str, sorted(versions)))}."
            )
        plan = build(versions[wanted].document)
        given = gather(plan.workflow, pairs, params)
        if lacking := missing(plan.workflow, given):
            raise ask_for(plan.workflow, lacking, ("headrace", "trigger", name), pairs)
        row = await home.submit(
            plan,
            given,
            trigger={"kind": "manual", "by": me()},
            folder=folder,
            file=None,
            priority=priority,
            key=key,
        )
        if home.owns and not wait:
            say("No engine lives on this home, so this process runs it.")
        if wait or home.owns:
            return await follow(home, row, plan, json=json, stop_on_interrupt=home.owns, timeout=limit)
    if json:
        print_json(run_entry(row))
    else:
        say(f"Started run {short(row.id)} of {name}. headrace runs watch {short(row.id)} follows it.")
    return Status.OK
