"""The end of a turn: sealed, committed, and only then told to workers and listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol, TypeAlias

from headrace.engine.core.decision import Decision
from headrace.engine.core.events import Continued, Started
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.store import Batch, RowDamaged, StoreUnavailable
from headrace.engine.shell.aside import note
from headrace.engine.shell.children import Children
from headrace.engine.shell.deciding import Failure
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Part, Portion, Turn, says_something
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.sealing import remember, seal

_logger = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[int, Decision], None]
"""Called after each commit with a run's number and what was decided about it; the decision must not be changed."""


SetAside: TypeAlias = Callable[[int, Exception], None]
"""Called with the number of a run that is not decided any longer, and why."""


class Onlooker(Protocol):
    """Looks on after every turn of an engine."""

    def turned(self, committed: Sequence[LiveRun], runs: Mapping[int, LiveRun]) -> None:
        """The runs that the turn changed, as they were committed and before they go on, and all that are in memory by number;
        nothing of it may be changed."""


class Committer:
    """Writes what a turn decided, then sends what it caused, and lets runs that ended leave memory.

    `lose`: called with a part that turned out to belong to another engine, to forget it.
    """

    def __init__(
        self,
        store: PatientStore,
        broker: EngineSide,
        children: Children,
        memory: Memory,
        lose: Callable[[Part], None],
    ) -> None:
        self._store = store
        self._broker = broker
        self._children = children
        self._values = memory.values
        self._fleet = memory.fleet
        self._line = memory.line
        self._pools = memory.pools
        self._holdings = memory.holdings
        self._counters = memory.counters
        self._figures = memory.figures
        self._lose = lose
        self.listeners: list[Listener] = []
        self.alarms: list[SetAside] = []
        self.onlookers: list[Onlooker] = []

    async def commit(self, turn: Turn) -> bool:
        """Whether there was anything to commit. Of a part that was lost nothing is written and nothing is sent."""
        counters = self._counters
        await self._seal(turn)
        counters.turns += 1
        counters.stale += turn.stale
        worth = [portion for portion in turn.portions.values() if portion.worth_committing]
        if worth:
            await self._write(turn, worth)
        for portion in turn.portions.values():
            outbox = portion.outbox
            outbox.publish(self._broker)
            counters.dispatched += outbox.dispatched
        changed = [live for live in turn.touched if live.changed]
        if self.onlookers:
            self._show(changed)
        self._figures.turned(turn, changed, self._fleet, self._line)
        self._tell(changed)
        for live in turn.touched:
            self._after(live)
        return bool(worth)

    async def _seal(self, turn: Turn) -> None:
        timers = self._holdings.timers
        for live in [live for live in turn.touched if live.changed]:
            batch = turn.portion(live.part).batch
            try:
                if live.decision.run is not None:
                    await self._children.fix(live)
                seal(live, batch, timers)
            except StoreUnavailable:
                raise
            except Exception as fault:
                self.set_aside(turn, Failure(live, fault))
                continue
            change = live.decision.run
            if change is not None and change.state.final:
                timers.forget(live.no, batch)
                self._holdings.admission.ended(live)
                news = await self._children.ended(live, change, turn.now)
                if news is not None:
                    turn.portion(live.part).post(live.no, news)
        posts, self._holdings.posts = self._holdings.posts, []
        for live, row in posts:
            turn.portion(live.part).post(live.no, row._replace(at=turn.now))

    async def _write(self, turn: Turn, worth: list[Portion]) -> None:
        """One commit of all portions; once more without those whose parts were lost. What the store will never take is looked
        for part by part, then run by run."""
        while worth:
            began = monotonic()
            try:
                lost = frozenset(await self._store.commit([portion.batch for portion in worth]))
            except StoreUnavailable:
                raise
            except Exception as fault:
                _logger.error("the store refuses what is to be written: %s", fault)
                for portion in worth:
                    if len(worth) > 1:
                        await self._write(turn, [portion])
                    else:
                        await self._write_by_runs(turn, portion)
                return
            if not lost:
                batches = [portion.batch for portion in worth]
                tasks = sum([len(batch.tasks) for batch in batches])
                self._figures.wrote(monotonic() - began, tasks, sum([len(batch.dead) for batch in batches]))
                for portion in worth:
                    self._written(portion.part, portion.batch)
                return
            for portion in worth:
                if portion.part.number in lost:
                    self._lost(turn, portion.part)
            worth = [portion for portion in worth if portion.part.number not in lost]

    def _lost(self, turn: Turn, part: Part) -> None:
        turn.lose(part)
        self._counters.parts_lost += 1
        self._lose(part)

    async def _write_by_runs(self, turn: Turn, portion: Portion) -> None:
        """One part, whose runs are committed in ever smaller groups until it is known which ones the store does not take:
        those are set aside. What belongs to no run is last, for an offset must not pass what is not written."""
        part = portion.part
        runs = {live.no: live for live in turn.touched if live.part is part}
        groups = _halves(list(runs.values()))
        while groups:
            group = groups.pop()
            share = portion.share({live.no for live in group})
            if not says_something(share):
                continue
            try:
                lost = await self._store.commit([share])
            except StoreUnavailable:
                raise
            except Exception as fault:
                if len(group) > 1:
                    groups += _halves(group)
                else:
                    self.set_aside(turn, Failure(group[0], fault))
                continue
            if lost:
                self._lost(turn, part)
                return
            self._written(part, share)
        rest = portion.rest(runs)
        try:
            lost = await self._store.commit([rest])
        except StoreUnavailable:
            raise
        except Exception:
            if not rest.poison:
                raise
            for letter in rest.poison:
                _logger.exception("what was unreadable cannot be kept either: %s", letter)
            rest.poison = []
            lost = await self._store.commit([rest])
        if lost:
            self._lost(turn, part)
        else:
            self._written(part, rest)

    def _written(self, part: Part, batch: Batch) -> None:
        part.seq = batch.seq
        if batch.next_offset is not None:
            part.stored_offset = batch.next_offset
        self._counters.commits += 1
        if batch.inbox_new or batch.runs_new:
            for number in {row.part for row in batch.inbox_new} | {run.part for run in batch.runs_new}:
                neighbour = self._holdings.parts.get(number)
                if neighbour is not None:
                    neighbour.inbox_due = True
                else:
                    self._broker.nudge(number)

    def set_aside(self, turn: Turn, failure: Failure) -> None:
        """A fault of ours, damaged rows, or what the store does not take. Its run stays as it was last committed, until a restart; all others go on."""
        live, fault = failure
        if isinstance(fault, RowDamaged):
            _logger.error("run %s is set aside: %s", live.row.id, fault)
        else:
            _logger.error("run %s cannot go on and is set aside", live.row.id, exc_info=fault)
        why = f"{type(fault).__name__}: {fault}"
        live.part.broken[live.no] = self._counters.broken[live.no] = why
        turn.drop(live)
        self._holdings.posts = [post for post in self._holdings.posts if post[0] is not live]
        self._holdings.posts.append((live, note(live.part, live.no, why, turn.now)))
        self._holdings.timers.forget(live.no)
        self._fleet.forget((live.no,))
        self._leave(live)
        self.alarm(live.no, fault)

    def alarm(self, run: int, fault: Exception) -> None:
        """Tell who listens that a run is not decided any longer."""
        for told in tuple(self.alarms):
            told(run, fault)

    def _show(self, committed: list[LiveRun]) -> None:
        for onlooker in self.onlookers:
            try:
                onlooker.turned(committed, self._holdings.runs)
            except Exception:
                _logger.exception("an onlooker failed")

    def _tell(self, committed: list[LiveRun]) -> None:
        """After the commit: keep what will be read, tell who listens."""
        counters, values, listeners = self._counters, self._values, tuple(self.listeners)
        for live in committed:
            decision = live.decision
            counters.events += len(decision.events)
            counters.transitions += len(decision.transitions)
            counters.refused += len(live.refused)
            if live.using.read:
                remember(live, values)
            for listener in listeners:
                try:
                    listener(live.no, decision)
                except Exception:
                    _logger.exception("a listener failed")

    def _after(self, live: LiveRun) -> None:
        """After the commit, when all were told: go on or leave memory."""
        decision = live.decision
        if decision.stale:
            self._counters.stale += decision.stale
        change = decision.run
        if live.machine.final and not decision.more:
            if change is not None:
                self._counters.runs_ended += 1
            self._leave(live)
            return
        if change is not None:
            for following in self._holdings.admission.changed(live):
                self._holdings.owe(following, Started(0.0))
        if decision.more:
            self._holdings.owe(live, Continued(0.0))
        live.turned()

    def _leave(self, live: LiveRun) -> None:
        """A run leaves memory; what it held goes to others, in the next turn."""
        holdings = self._holdings
        holdings.remove(live)
        for run, key in self._pools.forget(live.no):
            holdings.grant(run, key)
        for following in holdings.admission.left(live):
            holdings.owe(following, Started(0.0))


def _halves(lives: list[LiveRun]) -> list[list[LiveRun]]:
    """The runs in two groups, of which the first is the last."""
    middle = len(lives) // 2
    return [half for half in (lives[middle:], lives[:middle]) if half]
