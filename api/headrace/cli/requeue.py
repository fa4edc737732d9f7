"""`headrace dlq requeue`: begin again from what failed for good, one letter first and the others when that went well."""

from __future__ import annotations

import asyncio
import json as codec
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from headrace.cli.dead_letters import Fingerprint, Json, Letter, Task, Which, Workflow, chosen, task_name
from headrace.cli.failure import Status, Stop
from headrace.cli.here import embedded, go, has_engines, me, reading
from headrace.cli.output import print_json, say
from headrace.cli.references import short
from headrace.cli.runs import Timeout, seconds
from headrace.cli.where import HERE, Where
from headrace.engine.core.states import TaskState

if TYPE_CHECKING:
    from headrace.cli.settings import Settings
    from headrace.engine.ports.letters import DeadLetter, Requeued
    from headrace.engine.ports.store import RunRow, Store
    from headrace.runners.embedded import Embedded

TOGETHER = 100  # runs in one transaction
LOOK_SECONDS = 0.1
TAKEN_SECONDS = 60.0
"""So long an engine may take to read its inbox."""


class Refused(NamedTuple):
    """A letter that stays open, and why."""

    letter: DeadLetter
    why: str


class Outcome(NamedTuple):
    """What became of letters that were to be requeued."""

    begun: tuple[DeadLetter, ...] = ()
    refused: tuple[Refused, ...] = ()

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(self.begun + other.begun, self.refused + other.refused)


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
    settings = where.settings()
    async with desk(settings) as (store, home):
        letters = await chosen(store, settings.project, ids, which)
        if home is not None and not (await store.survey()).engines:
            from headrace.engine.ports.store import StoreUnavailable

            with suppress(StoreUnavailable):  # somebody was faster
                await home.take_over(go_on=False)
        again = Again(store, me())
        tried: str | None = None
        outcome = Outcome()
        try:
            async with asyncio.timeout(timeout):
                if canary and len(letters) > 1:
                    first, letters = letters[0], letters[1:]
                    outcome = await again.begin([first])
                    tried = await again.end_of(first) if outcome.begun else None
                    if tried != "succeeded":
                        return _told(outcome, len(letters), first, tried, json)
                outcome = outcome.plus(await again.begin(letters))
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


class Again:
    """Begins runs again and looks how they fare. Whoever owns them does the work."""

    def __init__(self, store: Store, by: str) -> None:
        self._store = store
        self._by = by

    async def begin(self, letters: Sequence[DeadLetter]) -> Outcome:
        """One rerun for each run. Those that are refused stay open."""
        outcome = Outcome()
        by_run: dict[int, list[DeadLetter]] = {}
        for letter in letters:
            by_run.setdefault(letter.run, []).append(letter)
        numbers = list(by_run)
        for start in range(0, len(numbers), TOGETHER):
            some = {no: by_run[no] for no in numbers[start : start + TOGETHER]}
            outcome = outcome.plus(await self._begin(some))
        return outcome

    async def _begin(self, by_run: Mapping[int, Sequence[DeadLetter]]) -> Outcome:
        from headrace.engine.ports.letters import Requeue
        from headrace.engine.ports.store import InboxRow

        wanted, rows, refused = [], {}, []
        for no, letters in by_run.items():
            run = await self._store.run(no)
            why = _not_now(run)
            if run is None or why:
                refused += [Refused(letter, why) for letter in letters]
                continue
            rows[no] = run
            tasks = sorted({await task_name(self._store, letter) for letter in letters})
            body = codec.dumps({"by": self._by, "from": tasks}).encode()
            command = InboxRow(0, run.part, no, "rerun", body, time.time())
            wanted.append(Requeue(tuple(letter.id for letter in letters), command))
        done = await self._store.requeue(wanted, self._by, time.time())
        handled = {id_ for one in done for id_ in one.letters}
        for no, letters in by_run.items():
            if no in rows:
                refused += [
                    Refused(one, "somebody else handled it") for one in letters if one.id not in handled
                ]
        words = await self._answers(done, rows)
        for one in done:
            no = one.posted.run or 0
            if no in words:
                await self._store.reopen(one.letters, time.time())
                handled -= set(one.letters)
                refused += [Refused(each, words[no]) for each in by_run[no] if each.id in one.letters]
        begun = [letter for letters in by_run.values() for letter in letters if letter.id in handled]
        return Outcome(tuple(begun), tuple(refused))

    async def _answers(self, done: Sequence[Requeued], rows: Mapping[int, RunRow]) -> dict[int, str]:
        """Wait until the commands were taken; what engines said against them, by run."""
        from headrace.cli.steer import NoContent
        from headrace.engine.shell import history

        waiting = {one.posted.id: one.posted for one in done}
        try:
            async with asyncio.timeout(TAKEN_SECONDS):
                while waiting:
                    firsts: dict[int, int] = {}
                    for posted in waiting.values():
                        firsts[posted.part] = min(posted.id, firsts.get(posted.part, posted.id))
                    after = {part: first - 1 for part, first in firsts.items()}
                    there = {row.id for row in await self._store.inboxes(after, 10 * TOGETHER)}
                    waiting = {id_: posted for id_, posted in waiting.items() if id_ in there}
                    if waiting:
                        await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise Stop(
                f"no engine took the command within {TAKEN_SECONDS:.0f} s.",
                hint="It stays in the inbox and takes effect when an engine reads it: headrace engine.",
                status=Status.SERVICE,
            ) from None
        found: dict[int, str] = {}
        for one in done:
            no = one.posted.run or 0
            for entry in await self._store.history(no, after=rows[no].seq):
                for refusal in history.decode(entry.body, NoContent()).refused:
                    if (refusal.kind, refusal.by) == ("rerun", self._by):
                        found[no] = refusal.why
        return found

    async def end_of(self, letter: DeadLetter) -> str:
        """The state that the letter's task run reaches in the generation after, or how its run ended without it."""
        while True:
            run = await self._store.run(letter.run)
            if run is None or (run.finished_at is not None and run.generation > letter.generation):
                break
            await asyncio.sleep(LOOK_SECONDS)
        generation = letter.generation if run is None else run.generation
        found = await self._store.values([(letter.run, generation, letter.task, letter.map)])
        return TaskState(found[0].state).word if found else "gone"

    async def run_ended(self, letter: DeadLetter) -> None:
        """Returns when the letter's run has ended again."""
        while True:
            run = await self._store.run(letter.run)
            if run is None or run.finished_at is not None:
                return
            await asyncio.sleep(LOOK_SECONDS)


def _ended(state: str | None) -> str:
    return "failed again" if state == "failed" else f"ended: {state}"


def _not_now(run: RunRow | None) -> str:
    """Why a run cannot begin again, or nothing."""
    if run is None:
        return "its run is no longer kept"
    if run.finished_at is None:
        return f"its run {short(run.id)} has not ended"
    return ""
