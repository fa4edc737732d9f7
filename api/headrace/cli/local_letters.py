"""Dead letters in this machine's database, and what begins them again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from headrace.cli.refusals import no_letter, none_fits, not_taken
from headrace.cli.station import Requeued, Which

if TYPE_CHECKING:
    from headrace.api.asking.requeueing import Outcome
    from headrace.api.shapes.operations import (
        DiscardAnswer,
        GroupEntry,
        LetterDetail,
        LetterEntry,
        PoisonEntry,
    )
    from headrace.cli.settings import Settings
    from headrace.engine.ports.acts import Act
    from headrace.engine.ports.letters import DeadLetter
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.plans import Plans
    from headrace.runners.embedded import Embedded
    from headrace.runners.outside import Outside


class LocalLetters:
    """Those of one project. `home`: what decides here, for requeueing."""

    def __init__(self, settings: Settings, store: Store, home: Embedded | Outside | None) -> None:
        self._settings, self._store, self._home = settings, store, home
        self._project = settings.project

    async def list(
        self, which: Which, *, state: str | None, before: int | None, limit: int
    ) -> Sequence[LetterEntry]:
        letters = await self._store.dead_letters(
            self._project, limit, **which._asdict(), state=state, before=before
        )
        plans = self._plans()
        return [await self._entry(letter, plans) for letter in letters]

    async def poison(self, *, state: str | None, before: int | None, limit: int) -> Sequence[PoisonEntry]:
        from headrace.api.shapes.operations import poison_entry

        return [poison_entry(one) for one in await self._store.poison(limit, state=state, before=before)]

    async def groups(self, which: Which, *, state: str | None, limit: int) -> Sequence[GroupEntry]:
        from headrace.api.shapes.operations import group_entry

        found = await self._store.dead_letter_groups(
            self._project, limit, workflow=which.workflow, task=which.task, state=state
        )
        return [group_entry(one) for one in found]

    async def get(self, number: int) -> LetterDetail:
        from headrace.api.shapes.operations import LetterDetail
        from headrace.api.shapes.tasks import attempt_entry
        from headrace.api.showing.attempts import AttemptBook
        from headrace.engine.core.keys import Key
        from headrace.engine.core.states import RunState
        from headrace.engine.shell.rows import filled_of

        letter = await self._found(number)
        run = await self._store.run(letter.run)
        values = await self._store.values([(letter.run, letter.generation, letter.task, letter.map)])
        inputs = values[0].inputs if values else None
        tried = (
            [] if run is None else (await AttemptBook(self._store).of(run)).of(Key(letter.task, letter.map))
        )
        return LetterDetail(
            **msgspec.structs.asdict(await self._entry(letter, self._plans())),
            run_state=None if run is None else RunState(run.state).word,
            inputs=None if inputs is None else filled_of(inputs).value,
            redacted=False,
            attempts=[attempt_entry(one) for one in tried if one.generation == letter.generation],
        )

    async def discard(
        self, ids: Sequence[int], which: Which, reason: str, *, poison: bool = False
    ) -> DiscardAnswer:
        from headrace.api.shapes.operations import DiscardAnswer
        from headrace.cli.acts import act
        from headrace.cli.here import me

        if poison:
            line = act(self._settings, "poison.discard", lettered(ids), {"reason": reason})
            done = await self._store.discard_poison(tuple(ids), me(), reason, time.time(), act=line)
        else:
            ids = [letter.id for letter in await self._chosen(ids, which)]
            line = act(self._settings, "letter.discard", lettered(ids), {"reason": reason})
            done = await self._store.discard(ids, me(), reason, time.time(), act=line)
        return DiscardAnswer(discarded=list(done), left=sorted(set(ids) - set(done)))

    async def requeue(self, ids: Sequence[int], which: Which, *, canary: bool) -> Requeued:
        from headrace.api.asking.requeueing import Again, Outcome
        from headrace.cli.acts import act
        from headrace.cli.here import me
        from headrace.cli.output import say

        def line(begun: Sequence[DeadLetter], kept_back: int = 0) -> Act:
            object = lettered([one.id for one in begun], kept_back)
            detail = {"letters": list(ids), **which._asdict(), "canary": canary}
            return act(self._settings, "letter.requeue", object, detail)

        letters = await self._chosen(ids, which)
        home = await self._decided_by()
        again = Again(self._store, self._plans(), me(), time.time)
        outcome, first, tried = Outcome(), None, None
        if canary and len(letters) > 1:
            first, letters = letters[0], letters[1:]
            outcome = _taken(await again.begin([first], act=line([first], len(letters))))
            tried = await again.end_of(first) if outcome.begun else None
            if tried != "succeeded":
                return await self._told(outcome, first, tried, len(letters))
        outcome = outcome.plus(_taken(await again.begin(letters, act=line(letters))))
        if home is not None:
            say("No engine lives on this home, so this process goes on with the runs.")
            for letter in outcome.begun:
                await again.run_ended(letter)
        return await self._told(outcome, first, tried, 0)

    async def _decided_by(self) -> Embedded | None:
        """The engine of this process, where it decides, because nobody else does."""
        from headrace.runners.embedded import Embedded

        if not isinstance(self._home, Embedded):
            return None
        if not (await self._store.survey()).engines:
            from headrace.engine.ports.store import StoreUnavailable

            with suppress(StoreUnavailable):  # somebody was faster
                await self._home.take_over(go_on=False)
        return self._home if self._home.owns else None

    async def _told(
        self, outcome: Outcome, canary: DeadLetter | None, tried: str | None, kept_back: int
    ) -> Requeued:
        return Requeued(
            [letter.id for letter in outcome.begun],
            [(one.letter.id, one.why) for one in outcome.refused],
            None if canary is None else await self._entry(canary, self._plans()),
            tried,
            kept_back,
        )

    async def _chosen(self, ids: Sequence[int], which: Which) -> Sequence[DeadLetter]:
        """The letters that are meant, oldest first. Raises Stop when none is."""
        from headrace.api.asking.requeueing import Which as Wanted
        from headrace.api.asking.requeueing import fitting

        if ids:
            letters = await self._store.these_letters(self._project, ids)
            unknown = set(ids) - {letter.id for letter in letters}
            if unknown:
                raise no_letter(min(unknown))
            return letters
        found = await fitting(self._store, self._project, Wanted(*which))
        if not found:
            raise none_fits()
        return found

    async def _found(self, number: int) -> DeadLetter:
        letter = await self._store.dead_letter(self._project, number)
        if letter is None:
            raise no_letter(number)
        return letter

    async def _entry(self, letter: DeadLetter, plans: Plans) -> LetterEntry:
        from headrace.api.asking.requeueing import task_name
        from headrace.api.shapes.operations import LetterEntry, letter_fields

        return LetterEntry(**letter_fields(letter, await task_name(self._store, plans, letter)))

    def _plans(self) -> Plans:
        from headrace.engine.shell.plans import Plans

        return Plans(self._store)


def lettered(ids: Sequence[int], kept_back: int = 0) -> str:
    """What the audit says was handled, as it says of what is done through a server."""
    return f"dead letters {','.join(map(str, ids))}" + (f" and {kept_back} kept back" if kept_back else "")


def _taken(outcome: Outcome) -> Outcome:
    """Raises Stop when engines have not decided."""
    from headrace.api.asking.requeueing import TAKEN_SECONDS

    if not outcome.decided:
        raise not_taken(TAKEN_SECONDS)
    return outcome
