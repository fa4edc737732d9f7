"""`headrace dlq requeue`: begin again from what failed for good, one letter first and the others when that went well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.dead_letters import Fingerprint, Json, Letter, Task, Workflow, either
from headrace.cli.failure import Status
from headrace.cli.here import go, steered
from headrace.cli.output import print_json, say
from headrace.cli.references import short
from headrace.cli.runs import Timeout, seconds
from headrace.cli.station import Which
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.cli.station import Requeued


def requeue(
    *letters: Letter,
    workflow: Workflow = None,
    task: Task = None,
    fingerprint: Fingerprint = None,
    canary: Annotated[
        bool,
        Parameter(negative="--no-canary", help="Of several, try one first, and the rest when it succeeded."),
    ] = True,
    timeout: Timeout = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Run what failed for good again.

    Name dead letters by their ids, or all open ones by --workflow, --task and --fingerprint. Each is a rerun of its run from
    the task that failed. Where no engine lives, this process runs them and stays until they have ended.
    """
    which = Which(workflow, task, fingerprint)
    either(letters, which)
    return go(_requeue(where, letters, which, canary, seconds(timeout), json))


async def _requeue(
    where: Anywhere, ids: tuple[int, ...], which: Which, canary: bool, timeout: float | None, json: bool
) -> int:
    async with steered(where.settings()) as station:
        try:
            async with asyncio.timeout(timeout) as limit:
                return _told(await station.letters.requeue(ids, which, canary=canary), json)
        except TimeoutError:
            if not limit.expired():
                raise  # of something else
            say(
                "headrace: what was requeued has not ended after --timeout; it goes on where an engine lives."
            )
            return Status.TIMEOUT


def _told(done: Requeued, json: bool) -> int:
    if json:
        print_json(
            {
                "schema": 1,
                "requeued": list(done.begun),
                "refused": [{"id": id_, "why": why} for id_, why in done.refused],
                "canary": done.tried,
                "kept_back": done.kept_back,
            }
        )
    else:
        for id_, why in done.refused:
            say(f"{id_} stays open: {why}")
        if done.stopped and done.canary is not None and done.begun:
            said = f"The first one, {done.canary.id} of run {short(done.canary.run)}"
            say(f"{said}, was tried and {_ended(done.tried)}.")
        if done.kept_back:
            say(f"{done.kept_back} more were left as they are; --no-canary requeues them all the same.")
        say(f"{len(done.begun)} requeued.")
    return Status.RUN_FAILED if done.stopped or (done.refused and not done.begun) else Status.OK


def _ended(state: str | None) -> str:
    return "failed again" if state == "failed" else f"ended: {state}"
