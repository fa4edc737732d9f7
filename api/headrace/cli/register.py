"""`headrace register FILE…`: keep workflows as versions, to be triggered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.files import expand, plan_to_run
from headrace.cli.here import go, keeping
from headrace.cli.output import print_json, say
from headrace.cli.pools import unknown
from headrace.cli.where import ANYWHERE, Anywhere
from headrace.engine.core.problems import InvalidWorkflow

if TYPE_CHECKING:
    from headrace.cli.settings import Settings
    from headrace.dsl.source import Planned


def register(
    *files: str, json: Annotated[bool, Parameter(help="For programs.")] = False, where: Anywhere = ANYWHERE
) -> int:
    """Keep a version of a workflow, to trigger it by name.

    The same plan is the same version, so registering twice changes nothing. When one file has a problem, none of
    them is registered.

    Parameters
    ----------
    files
        Workflow files (FILE.py:name for one workflow of a Python file), or folders.
    """
    if not files:
        raise Stop("register takes at least one file or folder.", hint="headrace register flows/")
    planned = [plan_to_run(str(target)) for target in expand(files)]
    if not planned:
        raise Stop(f"no workflow file in {', '.join(files)}.")
    return go(_register(where.settings(), planned, json))


async def _register(settings: Settings, planned: list[Planned], json: bool) -> int:
    entries = []
    async with keeping(settings) as station:
        if lacking := await unknown(planned, station.pools):
            raise InvalidWorkflow(lacking)
        for one in planned:
            kept = await station.workflows.register(one.plan)
            entries.append({"workflow": kept.name, "version": kept.version, "plan": kept.plan})
    if json:
        print_json({"schema": 1, "registered": entries})
    for entry, one in zip(entries, planned, strict=True):
        for warning in one.warnings:
            if warning.code == "unknown_pool":
                continue  # it has its slots, or it would have been refused
            say(f"warning: {warning}")
        if not json:
            say(f"✓ {entry['workflow']}  version {entry['version']}")
    return Status.OK
