"""What every kind of step needs: sizes, rules, and changed copies of a state."""

from __future__ import annotations

from tests.simulation.protocol import engine
from tests.simulation.protocol.terms import (
    SAID_HANDED_BACK,
    Rules,
    Sizes,
    State,
    Worker,
)


class Ground:
    """Sizes and rules, and what steps of every kind do to a state."""

    def __init__(self, sizes: Sizes, rules: Rules) -> None:
        self.sizes = sizes
        self.rules = rules

    def published(self, state: State, sends: engine.Sends) -> State:
        """Messages appended to inboxes. What comes to a dead worker is never read: it starts at the end (W1)."""
        inboxes = state.inboxes
        queues = self.sizes.queues
        for number, message in sends:
            if state.workers[number].alive:
                place = number * queues + message.task % queues
                inboxes = (*inboxes[:place], (*inboxes[place], message), *inboxes[place + 1 :])
        return state if inboxes is state.inboxes else state._replace(inboxes=inboxes)

    def places(self, number: int) -> range:
        """A worker's inboxes."""
        return range(number * self.sizes.queues, (number + 1) * self.sizes.queues)

    def remembers(self, kind: int) -> bool:
        return self.rules.hand_backs_remembered if kind == SAID_HANDED_BACK else self.rules.memory


def with_worker(state: State, number: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:number], worker, *state.workers[number + 1 :]))


def spent(state: State, what: str) -> State:
    return state._replace(budget=state.budget.spend(what))


def bit(masks: tuple[int, ...], task: int, attempt: int) -> tuple[int, ...]:
    return (*masks[:task], masks[task] | 1 << attempt, *masks[task + 1 :])
