"""The parts that an engine has: taken over, given up, lost. What a part brings or leaves behind goes through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.engine.ports.ownership import Ownership
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.loading import Loader
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.ownership import Membership
from headrace.engine.shell.part import Part
from headrace.engine.shell.turning import Turner


@dataclass(frozen=True, slots=True)
class Tenure:
    """Parts come, and are given up, between two batches; one that a fence shows to be another's goes at once."""

    memory: Memory
    turner: Turner
    loader: Loader
    clock: Clock

    def adopt(self, owned: Ownership, live: Sequence[int]) -> None:
        """A part was claimed, with these runs in it."""
        holdings = self.memory.holdings
        before = holdings.parts.get(owned.part)
        if before is not None:  # an epoch of ours that is over, though no fence has shown it yet
            self.drop(before)
        self.turner.adopt(holdings.adopt(owned, live, self.clock.steady()))

    def drop(self, part: Part) -> None:
        """Forget everything of one part."""
        self.turner.leave(part)
        self.memory.drop(part)
        self.loader.forget()

    def clear(self) -> None:
        """Forget everything: the parts are lost, or given up, or memory and store no longer agree."""
        self.turner.clear()
        self.memory.clear()
        self.loader.forget()

    def change_hands(self, membership: Membership) -> None:
        """What the look at the other engines has brought. Raises what that look has failed with."""
        if (fault := membership.broken()) is not None:
            raise fault
        changes = membership.changes()
        if changes is None:
            return
        for number in (*changes.lost, *changes.unwanted):
            part = self.memory.holdings.parts.get(number)
            if part is not None:
                self.drop(part)
        for number in changes.unwanted:
            membership.let_go(number)
        for taken in changes.taken:
            self.adopt(taken.owned, taken.live)
