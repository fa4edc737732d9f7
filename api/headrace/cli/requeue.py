"""`headrace dlq requeue`: begin again from what failed for good, one letter first and the others when that went well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.dead_letters import Fingerprint, Json, Letter, Task, Which, Workflow, chosen
from headrace.cli.failure import Status, Stop
from headrace.cli.here import embedded, go, has_engines, me, reading
from headrace.cli.output import print_json, say
from headrace.cli.references import short
from headrace.cli.runs import Timeout, seconds
from headrace.cli.where import HERE, Where

if TYPE_CHECKING:
    from headrace.api.asking.requeueing import Outcome
    from headrace.cli.settings import Settings
    from headrace.engine.ports.letters import DeadLetter
    from headrace.engine.ports.store import Store
    from headrace.runners.embedded import Embedded


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
    where: Where = HERE,
) -> int:
    """Run what failed for good again.

    Name dead letters by their ids, or all open ones by --workflow, --task and --fingerprint. Each is a rerun of its run from
    the task that failed. Where no engine lives, this process runs them and stays until they have ended.
    """
    return go(_requeue(where, letters, (workflow, task, fingerprint), canary, seconds(timeout), json))


async def _requeue(
    where: Where, ids: tuple[int, ...], which: Which, canary: bool, timeout: float | None, json: bool
) -> int:
    from headrace.api.asking.requeueing import TAKEN_SECONDS, Again, Outcome
    from headrace.engine.shell.plans import Plans

    settings = where.settings()
    async with desk(settings) as (store, home):
        letters = await chosen(store, settings.project, ids, which)
        if home is not None and not (await store.survey()).engines:
            from headrace.engine.ports.store import StoreUnavailable

            with suppress(StoreUnavailable):  # somebody was faster
                await home.take_over(go_on=False)
        again = Again(store, Plans(store), me(), time.time)
        tried: str | None = None
        outcome = Outcome()
        try:
            async with asyncio.timeout(timeout):
                if canary and len(letters) > 1:
                    first, letters = letters[0], letters[1:]
                    outcome = await again.begin([first])
                    if not outcome.decided:
                        raise _not_taken(TAKEN_SECONDS)
                    tried = await again.end_of(first) if outcome.begun else None
                    if tried != "succeeded":
                        return _told(outcome, len(letters), first, tried, json)
                outcome = outcome.plus(await again.begin(letters))
                if not outcome.decided:
                    raise _not_taken(TAKEN_SECONDS)
                if home is not None and home.owns:
                    say("No engine lives on this home, so this process goes on with the runs.")
                    for letter in outcome.begun:
                        await again.run_ended(letter)
        except TimeoutError:
            say(
                "headrace: what was requeued has not ended after --timeout; it goes on where an engine lives."
            )
            return Status.TIMEOUT
    return _told(outcome, 0, None, tried, json)


def _told(outcome: Outcome, kept: int, canary: DeadLetter | None, tried: str | None, json: bool) -> int:
    stopped = canary is not None
    if json:
        print_json(
            {
                "schema": 1,
                "requeued": [letter.id for letter in outcome.begun],
                "refused": [{"id": one.letter.id, "why": one.why} for one in outcome.refused],
                "canary": tried,
                "kept_back": kept,
            }
        )
    else:
        for one in outcome.refused:
            say(f"{one.letter.id} stays open: {one.why}")
        if canary is not None and outcome.begun:
            say(f"The first one, {canary.id} of run {short(canary.run_id)}, was tried and {_ended(tried)}.")
        if kept:
            say(f"{kept} more were left as they are; --no-canary requeues them all the same.")
        say(f"{len(outcome.begun)} requeued.")
    return Status.RUN_FAILED if stopped or (outcome.refused and not outcome.begun) else Status.OK


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[tuple[Store, Embedded | None]]:
    """The store; and this machine's engine, where no cluster's engines decide."""
    if await has_engines(settings):
        async with reading(settings) as store:
            yield store, None
        return
    async with embedded(settings, own=False) as home:
        yield home.store, home


def _not_taken(seconds: float) -> Stop:
    return Stop(
        f"no engine took the command within {seconds:.0f} s.",
        hint="It stays in the inbox and takes effect when an engine reads it: headrace engine.",
        status=Status.SERVICE,
    )


def _ended(state: str | None) -> str:
    return "failed again" if state == "failed" else f"ended: {state}"
