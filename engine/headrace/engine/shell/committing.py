"""The end of a turn: sealed, committed, and only then told to workers and listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from headrace.engine.core.decision import Decision
from headrace.engine.core.events import Continued, SlotsGranted, Started
from headrace.engine.core.states import RunState
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.store import RowDamaged
from headrace.engine.shell.children import Children
from headrace.engine.shell.deciding import Failure
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.part import Counters, Part, Turn
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.pools import Pools
from headrace.engine.shell.sealing import remember, seal
from headrace.engine.shell.values import ValueCache

_logger = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[int, Decision], None]
"""Called after each commit with a run's number and what was decided about it; the decision must not be changed."""


SetAside: TypeAlias = Callable[[int, Exception], None]
"""Called with the number of a run that is not decided any longer, and why."""


class Committer:
    """Writes what a turn decided, then sends what it caused, and lets runs that ended leave memory."""

    def __init__(
        self,
        store: PatientStore,
        broker: EngineSide,
        children: Children,
        values: ValueCache,
        fleet: Fleet,
        pools: Pools,
        counters: Counters,
    ) -> None:
        self._store = store
        self._broker = broker
        self._children = children
        self._values = values
        self._fleet = fleet
        self._pools = pools
        self._counters = counters
        self.listeners: list[Listener] = []
        self.alarms: list[SetAside] = []

    async def commit(self, part: Part, turn: Turn) -> bool:
        """Whether there was anything to commit. Raises PartLost: then nothing was written, and nothing is sent."""
        batch, counters = turn.batch, self._counters
        for live in [live for live in turn.touched if live.changed]:
            try:
                seal(live, part, turn)
            except Exception as fault:
                self.set_aside(part, turn, Failure(live, fault))
                continue
            change = live.decision.run
            if change is not None and change.state.final:
                part.timers.forget(live.no, batch)
                news = await self._children.ended(live, change, turn.now)
                if news is not None:
                    batch.inbox_new.append(news)
        counters.turns += 1
        counters.stale += turn.stale
        worth = turn.worth_committing
        if worth:
            await self._store.commit((batch,))
            part.seq = batch.seq
            counters.commits += 1
            parts = {row.part for row in batch.inbox_new} | {run.part for run in batch.runs_new}
            if part.number in parts:
                part.inbox_due = True
        turn.outbox.publish(self._broker)
        counters.dispatched += turn.outbox.dispatched
        for live in turn.touched:
            self._after(part, live)
        return worth

    def set_aside(self, part: Part, turn: Turn, failure: Failure) -> None:
        """A fault of ours, or damaged rows. Its run stays as it was last committed, until a restart; all others go on."""
        live, fault = failure
        if isinstance(fault, RowDamaged):
            _logger.error("run %s is set aside: %s", live.row.id, fault)
        else:
            _logger.error("run %s cannot be decided and is set aside", live.row.id, exc_info=fault)
        why = f"{type(fault).__name__}: {fault}"
        part.broken[live.no] = self._counters.broken[live.no] = why
        turn.drop(live)
        part.timers.forget(live.no)
        self._fleet.forget((live.no,))
        self._leave(part, live)
        self.alarm(live.no, fault)

    def alarm(self, run: int, fault: Exception) -> None:
        """Tell who listens that a run is not decided any longer."""
        for told in tuple(self.alarms):
            told(run, fault)

    def _after(self, part: Part, live: LiveRun) -> None:
        """After the commit: tell who listens, keep what will be read, go on or leave memory."""
        decision, counters = live.decision, self._counters
        counters.stale += decision.stale
        if live.changed:
            counters.events += len(decision.events)
            counters.transitions += len(decision.transitions)
            counters.refused += len(live.refused)
            remember(live, self._values)
            for listener in tuple(self.listeners):
                try:
                    listener(live.no, decision)
                except Exception:
                    _logger.exception("a listener failed")
        change = decision.run
        if live.machine.final and not decision.more:
            if change is not None:
                counters.runs_ended += 1
            self._leave(part, live)
            return
        if change is not None and change.state is RunState.RUNNING and decision.generation > 1:
            part.admission.started(live)
        if decision.more:
            part.owe(live, Continued(0.0))
        live.turned()

    def _leave(self, part: Part, live: LiveRun) -> None:
        """A run leaves memory; what it held goes to others, in the next turn."""
        part.runs.pop(live.no, None)
        part.owed.pop(live, None)
        for run, key in self._pools.forget(live.no):
            if run in part.runs:
                part.owe(part.runs[run], SlotsGranted(0.0, key))
        for following in part.admission.left(live):
            part.owe(following, Started(0.0))
