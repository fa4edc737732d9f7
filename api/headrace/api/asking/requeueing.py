"""Dead letters begun again: which ones are meant, one rerun for each run, and what became of it. Shared by the API and the command
line; no Litestar here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.engine.core.keys import written
from headrace.engine.core.states import TaskState
from headrace.engine.ports.letters import DeadLetter, Requeue, Requeued
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell import history

if TYPE_CHECKING:
    from headrace.engine.ports.acts import Act
    from headrace.engine.ports.store import RunRow, Store
    from headrace.engine.shell.plans import Plans

MOST = 500
TOGETHER = 100
"""Runs in one transaction."""
LOOK_SECONDS = 0.1
TAKEN_SECONDS = 60.0
"""So long an engine may take to read its inbox."""


class Which(NamedTuple):
    """Open letters that fit everything given; `fingerprint` may be the beginning of one."""

    workflow: str | None = None
    task: str | None = None
    fingerprint: str | None = None


class Refused(NamedTuple):
    """A letter that stays open, and why."""

    letter: DeadLetter
    why: str


class Outcome(NamedTuple):
    """What became of letters that were to be requeued. `decided`: engines have taken all commands."""

    begun: tuple[DeadLetter, ...] = ()
    refused: tuple[Refused, ...] = ()
    decided: bool = True

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(self.begun + other.begun, self.refused + other.refused, self.decided and other.decided)


async def fitting(store: Store, project: str, which: Which) -> list[DeadLetter]:
    """All open letters that fit, oldest first."""
    found: list[DeadLetter] = []
    before = None
    while True:
        some = await store.dead_letters(project, MOST, **which._asdict(), state="open", before=before)
        found += some
        if len(some) < MOST:
            return found[::-1]
        before = some[-1].id


async def task_name(store: Store, plans: Plans, letter: DeadLetter) -> str:
    """`price[7]`. Letters of the first release do not name their task: the plan does. Raises PlanMissing."""
    name = letter.task_id
    if not name:
        run = await store.run(letter.run)
        name = str(letter.task) if run is None else (await plans.get(run.plan)).plan.ids[letter.task]
    return written(name, letter.map)


def by_run(letters: Sequence[DeadLetter]) -> dict[int, list[DeadLetter]]:
    """The letters of each run, runs in the order in which they come."""
    found: dict[int, list[DeadLetter]] = {}
    for letter in letters:
        found.setdefault(letter.run, []).append(letter)
    return found


class Again:
    """Begins runs again and looks how they fare. Whoever owns them does the work.

    Args:
        by: who asks.
        now: seconds since the epoch.
        nudge: tells the owner of a part that something lies in its inbox.
    """

    def __init__(
        self,
        store: Store,
        plans: Plans,
        by: str,
        now: Callable[[], float],
        nudge: Callable[[int], None] = lambda part: None,
    ) -> None:
        self._store = store
        self._plans = plans
        self._by = by
        self._now = now
        self._nudge = nudge

    async def begin(
        self, letters: Sequence[DeadLetter], *, wait: float = TAKEN_SECONDS, act: Act | None = None
    ) -> Outcome:
        """One rerun for each run; a hundred of them in one transaction. Those that are refused stay open, as far as engines answer
        within `wait` seconds. `act` belongs to the first hundred. Raises Repeated, OutcomeUnknown, PlanMissing."""
        outcome = Outcome()
        runs = by_run(letters)
        numbers = list(runs)
        for start in range(0, len(numbers), TOGETHER):
            some = {no: runs[no] for no in numbers[start : start + TOGETHER]}
            outcome = outcome.plus(await self._begin(some, wait, act if start == 0 else None))
        return outcome

    async def _begin(self, runs: Mapping[int, Sequence[DeadLetter]], wait: float, act: Act | None) -> Outcome:
        wanted, rows, refused = [], {}, []
        for no, letters in runs.items():
            run = await self._store.run(no)
            why = _not_now(run)
            if run is None or why:
                refused += [Refused(letter, why) for letter in letters]
                continue
            rows[no] = run
            tasks = sorted({await task_name(self._store, self._plans, letter) for letter in letters})
            body = msgspec.json.encode({"by": self._by, "from": tasks})
            command = InboxRow(0, run.part, no, "rerun", body, self._now())
            wanted.append(Requeue(tuple(letter.id for letter in letters), command))
        done = await self._store.requeue(wanted, self._by, self._now(), act=act)
        for part in {one.posted.part for one in done}:
            self._nudge(part)
        handled = {id_ for one in done for id_ in one.letters}
        for no, letters in runs.items():
            if no in rows:
                refused += [
                    Refused(one, "somebody else handled it") for one in letters if one.id not in handled
                ]
        decided = await self._taken(done, wait)
        words = await self._answers(done, rows)
        for one in done:
            no = one.posted.run or 0
            if no in words:
                await self._store.reopen(one.letters, self._now())
                handled -= set(one.letters)
                refused += [Refused(each, words[no]) for each in runs[no] if each.id in one.letters]
        begun = [letter for letters in runs.values() for letter in letters if letter.id in handled]
        return Outcome(tuple(begun), tuple(refused), decided)

    async def _taken(self, done: Sequence[Requeued], seconds: float) -> bool:
        """Whether engines have taken the commands by then."""
        waiting = {one.posted.id: one.posted for one in done}
        until = monotonic() + seconds
        pause = LOOK_SECONDS / 16
        while waiting:
            firsts: dict[int, int] = {}
            for posted in waiting.values():
                firsts[posted.part] = min(posted.id, firsts.get(posted.part, posted.id))
            after = {part: first - 1 for part, first in firsts.items()}
            there = {row.id for row in await self._store.inboxes(after, 10 * TOGETHER)}
            waiting = {id_: posted for id_, posted in waiting.items() if id_ in there}
            if waiting:
                if monotonic() >= until:
                    return False
                await asyncio.sleep(pause)
                pause = min(2 * pause, LOOK_SECONDS)
        return True

    async def _answers(self, done: Sequence[Requeued], rows: Mapping[int, RunRow]) -> dict[int, str]:
        """What engines said against the commands, by run."""
        posted = {one.posted.id for one in done}
        found: dict[int, str] = {}
        for one in done:
            no = one.posted.run or 0
            for entry in await self._store.history(no, after=rows[no].seq):
                for refusal in history.decode(entry.body, history.NoContent()).refused:
                    if refusal.command in posted:
                        found[no] = refusal.why
        return found

    async def end_of(self, letter: DeadLetter) -> str:
        """The state that the letter's task run reaches in the generation after, or how its run ended without it."""
        while True:
            state = await fared(self._store, letter)
            if state is not None:
                return state
            await asyncio.sleep(LOOK_SECONDS)

    async def run_ended(self, letter: DeadLetter) -> None:
        """Returns when the letter's run has ended again."""
        while True:
            run = await self._store.run(letter.run)
            if run is None or run.finished_at is not None:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def fared(store: Store, letter: DeadLetter) -> str | None:
    """The state that the letter's task run has come to since; `gone` when its run has ended without it; None: not yet."""
    run = await store.run(letter.run)
    if run is not None and (run.finished_at is None or run.generation <= letter.generation):
        return None
    generation = letter.generation if run is None else run.generation
    found = await store.values([(letter.run, generation, letter.task, letter.map)])
    return TaskState(found[0].state).word if found else "gone"


def _not_now(run: RunRow | None) -> str:
    """Why a run cannot begin again, or nothing."""
    if run is None:
        return "its run is no longer kept"
    if run.finished_at is None:
        return f"its run {run.id} has not ended"
    return ""
