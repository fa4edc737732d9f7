"""Driving machines: many runs decide at once, and what they lack is fetched for all of them together.

A machine's `decide` is a generator that yields a `Need` when it lacks values. Those it can have from this very batch
or from the cache it gets at once; the rest of all runs becomes one query. A run whose machine raises is reported and
left out; the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from headrace.engine.core.decision import Need, Value
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import Event
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.restoring import newest
from headrace.engine.core.run import Answers
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import RowDamaged, StoredValue, TaskRow
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.rows import artifact_of, value_of, value_of_row, whole_rows
from headrace.engine.shell.values import ValueCache

Deciding = Generator[Need, Answers, None]
_FINAL = TaskState.SUCCEEDED


class StoredValues(Protocol):
    """Where values are stored."""

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]: ...

    async def task_rows(self, run: int) -> list[TaskRow]: ...

    async def cached(
        self, project: str, keys: Sequence[str], now: float
    ) -> dict[str, tuple[bytes | None, bytes | None]]: ...


class Failure(NamedTuple):
    """A run whose machine raised: a fault of ours, confined to that run."""

    live: LiveRun
    exception: Exception


class _Open:
    """One `decide` that waits for values."""

    __slots__ = ("cache", "contents", "deciding", "live", "need", "values")

    def __init__(self, live: LiveRun, deciding: Deciding, need: Need) -> None:
        self.live = live
        self.deciding = deciding
        self.need = need
        self.values: dict[Key, Value] = {}
        self.cache: dict[str, bytes | Artifact] = {}
        self.contents: Mapping[str, Json] = {}


class Decider:
    """Answers machines from the batch, the cache and the store. `now` of `decide`: seconds since the epoch."""

    def __init__(self, store: StoredValues, values: ValueCache) -> None:
        self._store = store
        self._values = values

    async def decide(self, work: Iterable[tuple[LiveRun, list[Event]]], now: float) -> list[Failure]:
        """Let every run decide its events; each adds to its own `decision`. Answers with the runs that failed."""
        failures: list[Failure] = []
        waiting: list[_Open] = []
        for live, events in work:
            machine, decision = live.machine, live.decision
            try:
                decided = machine.decide_at_once(decision, events)
            except Exception as exception:
                failures.append(Failure(live, exception))
                continue
            if not decided:
                self._advance(live, machine.decide_on(), None, waiting, failures)
            live.rounds.append(len(decision.events))
        while waiting:
            asked, waiting = waiting, []
            damaged = await self._answer(asked, now)
            for one in asked:
                if one.live.no in damaged:
                    one.deciding.close()
                    failures.append(Failure(one.live, damaged[one.live.no]))
                    continue
                answers = Answers(one.values, one.cache, contents=one.contents)
                if one.need.plan is not None:
                    try:
                        answers = await self._moved(one.live)
                    except RowDamaged as found:
                        one.deciding.close()
                        failures.append(Failure(one.live, found))
                        continue
                self._advance(one.live, one.deciding, answers, waiting, failures)
                one.live.follow_machine()
        return failures

    def _advance(
        self,
        live: LiveRun,
        deciding: Deciding,
        answers: Answers | None,
        waiting: list[_Open],
        failures: list[Failure],
    ) -> None:
        try:
            need = next(deciding) if answers is None else deciding.send(answers)
            waiting.append(_Open(live, deciding, need))
        except StopIteration:
            pass
        except Exception as exception:
            failures.append(Failure(live, exception))

    async def _answer(self, asked: list[_Open], now: float) -> dict[int, RowDamaged]:
        """Fill in the values and cache answers of everything asked: at most one query for all values, unless the stored
        values of a run are damaged. Answers with those runs."""
        damaged: dict[int, RowDamaged] = {}
        missing: dict[tuple[int, Key], _Open] = {}
        keys: list[tuple[int, int, int, int]] = []
        for one in asked:
            live, need = one.live, one.need
            for key in need.outputs | need.inputs:
                if not self._at_hand(one, key):
                    missing[live.no, key] = one
                    # The row lies in the generation that last ran the task; the newest one there is holds.
                    generations = range(live.machine.status.base, live.decision.generation + 1)
                    keys.extend((live.no, generation, key.task, key.map) for generation in generations)
        if keys:
            newest: dict[tuple[int, Key], StoredValue] = {}
            for stored in await self._undamaged(keys, damaged):
                at = stored.run, Key(stored.task, stored.map)
                before = newest.get(at)
                old, new = (
                    (before, stored)
                    if before is None or before.generation < stored.generation
                    else (stored, before)
                )
                # A map that an earlier generation expanded keeps its judged elements there.
                inputs = new.inputs if new.inputs is not None or old is None else old.inputs
                newest[at] = new._replace(inputs=inputs)
            for (run, key), found in newest.items():
                one = missing[run, key]
                value = value_of(found)
                one.values[key] = value
                if found.state >= _FINAL:
                    size = len(found.output or b"") + len(found.error or b"")
                    self._values.put(run, one.live.decision.generation, key, value, size)
        await self._load(asked)
        await self._read(asked)
        await self._ask_cache([one for one in asked if one.need.cache], now)
        return damaged

    async def _moved(self, live: LiveRun) -> Answers:
        """The plan with which a rerun goes on, and every row that it may keep."""
        assert live.onto is not None
        rows = whole_rows(await self._store.task_rows(live.no))
        return Answers(plan=live.onto.plan, rows=newest(live.using.plan, live.machine.status, rows))

    async def _undamaged(
        self, keys: list[tuple[int, int, int, int]], damaged: dict[int, RowDamaged]
    ) -> list[StoredValue]:
        """The stored values of all runs but those that turn out to be damaged, which are noted."""
        while True:
            try:
                return await self._store.values(keys)
            except RowDamaged as found:
                if found.run in damaged:
                    raise
                damaged[found.run] = found
                keys = [key for key in keys if key[0] != found.run]

    def _at_hand(self, one: _Open, key: Key) -> bool:
        """Take the value from this batch's own rows or the cache. Inputs are only ever in the rows or the store."""
        live = one.live
        row = live.decision.rows.get(key)
        if row is not None:
            if key in one.need.inputs and row.inputs is None:
                return False
            one.values[key] = value_of_row(row)
            return True
        if key in one.need.inputs:
            return False
        value = self._values.get(live.no, live.decision.generation, key)
        if value is None:
            return False
        one.values[key] = value
        return True

    async def _load(self, asked: list[_Open]) -> None:
        wanted: dict[str, Artifact] = {}
        for one in asked:
            for key in one.need.load:
                value = one.values.get(key)
                if value is not None and isinstance(value.output, Artifact):
                    wanted[value.output.digest] = value.output
        if not wanted:
            return
        contents = dict(
            zip(
                wanted,
                await asyncio.gather(*(self._values.load(artifact) for artifact in wanted.values())),
                strict=True,
            )
        )
        for one in asked:
            for key in one.need.load:
                value = one.values.get(key)
                if value is not None and isinstance(value.output, Artifact):
                    one.values[key] = value._replace(output=contents[value.output.digest])

    async def _read(self, asked: list[_Open]) -> None:
        """What stands in artifacts that are no task run's, as far as it can be loaded."""
        for one in asked:
            if one.need.contents:
                one.contents = await self._values.contents(one.need.contents)

    async def _ask_cache(self, asked: list[_Open], now: float) -> None:
        projects: dict[str, list[_Open]] = {}
        for one in asked:
            projects.setdefault(one.live.row.project, []).append(one)
        for project, ones in projects.items():
            keys = sorted({key for one in ones for key in one.need.cache})
            found = await self._store.cached(project, keys, now)
            for one in ones:
                for key in one.need.cache:
                    hit = found.get(key)
                    if hit is not None:
                        output, artifact = hit
                        one.cache[key] = artifact_of(artifact) or (b"null" if output is None else output)
                one.live.cache.update(one.cache)
