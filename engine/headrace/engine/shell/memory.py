"""Everything that an engine keeps in memory, in one hand: what a part leaves behind when it goes, goes everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.engine.shell.figures import Figures
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.holdings import Holdings
from headrace.engine.shell.line import Line
from headrace.engine.shell.lookout import Lookout
from headrace.engine.shell.part import Counters, Part
from headrace.engine.shell.pools import Slots
from headrace.engine.shell.values import ValueCache


@dataclass(slots=True)
class Memory:
    """Shared by all parts of one engine, so that priority, fairness, credit and limits act on them together."""

    holdings: Holdings
    fleet: Fleet
    line: Line
    pools: Slots
    values: ValueCache
    lookout: Lookout
    counters: Counters = field(default_factory=Counters)
    figures: Figures = field(default_factory=Figures)

    def drop(self, part: Part) -> None:
        """Forget everything of one part. Values stay: what is final within a generation never changes."""
        self.line.withdraw_runs(part.runs)
        self.fleet.leave(part.number)
        for run in part.runs:
            for granted, key in self.pools.forget(run):
                self.holdings.grant(granted, key)
        self.holdings.drop(part)

    def clear(self) -> None:
        """Forget everything: no part is left, or memory and store no longer agree."""
        self.holdings.clear()
        self.line.clear()
        self.fleet.reset()
        self.pools.reset()
        self.values.clear()
        self.lookout.clear()
