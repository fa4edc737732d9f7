"""The world: one part, its owner and the stale owners, workers, the log, the inboxes, and every misfortune.

Three reductions keep it small; none hides a behaviour. (1) A publish is taken to follow its commit at once; a crash or a
takeover then chooses, inbox by inbox, how many of the owner's last unread messages were not out yet. That covers every
interleaving, because a message nobody has read is one not yet published. (2) A crash and the next claim are one step,
because nobody observes what lies between: workers' steps commute with it. (3) Workers, and tasks, are interchangeable.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.protocol.carriers import Carriers
from tests.simulation.protocol.owners import Owners
from tests.simulation.protocol.terms import (
    GOING,
    LINE,
    Ghosts,
    Row,
    Rules,
    Sizes,
    State,
    Step,
    Truth,
    Worker,
)
from tests.simulation.protocol.workers import Workers


class World:
    """All steps from a state. `rules`: those in force."""

    def __init__(self, sizes: Sizes, rules: Rules | None = None) -> None:
        self.sizes = sizes
        rules = rules or Rules()
        self._actors = (Owners(sizes, rules), Workers(sizes, rules), Carriers(sizes, rules))

    def start(self) -> State:
        """Every task in the line, the part claimed once, the workers known."""
        tasks, workers = self.sizes.tasks, self.sizes.workers
        return State(
            Truth(1, GOING, (Row(LINE, 1, 0, 0, -1),) * tasks, (1,) * workers, (0,) * workers),
            (),
            (),
            (),
            Ghosts((0,) * tasks, (0,) * tasks),
            self.sizes.budget,
            ((),) * (workers * self.sizes.queues),
            (Worker(1, 1, 0, (), ()),) * workers,
        )

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that may happen next."""
        for actor in self._actors:
            yield from actor.steps(state)
