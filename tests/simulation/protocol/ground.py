"""What every kind of step needs: sizes, rules, and changed copies of a state."""

from __future__ import annotations

from tests.simulation.protocol import engine_rules
from tests.simulation.protocol.terms import (
    SAID_HANDED_BACK,
    Rules,
    Sizes,
    Stale,
    State,
    ToWorker,
    Worker,
)


class Ground:
    """Sizes and rules, and what steps of every kind do to a state."""

    def __init__(self, sizes: Sizes, rules: Rules) -> None:
        self.sizes = sizes
        self.rules = rules

    def published(self, state: State, sends: engine_rules.Sends) -> State:
        """The owner's messages behind a commit: appended to the inboxes or, stepwise, kept until they are published."""
        if not self.sizes.stepwise:
            return self.appended(state, sends)
        if not sends:
            return state
        own = self.own(state)
        others = tuple(one for one in state.stale if one.epoch != own.epoch)
        pending = own.pending
        for number, message in sends:
            place = self._place(number, message)
            pending = (*pending[:place], (*pending[place], message), *pending[place + 1 :])
        return state._replace(stale=tuple(sorted((*others, own._replace(pending=pending)))))

    def own(self, state: State) -> Stale:
        """What the owner has committed and not published; nothing unless the world is stepwise."""
        epoch = state.truth.epoch
        for one in state.stale:
            if one.epoch == epoch:
                return one
        return Stale(epoch, ((),) * len(state.inboxes))

    def appended(self, state: State, sends: engine_rules.Sends) -> State:
        """Messages in the inboxes. What comes to a dead worker is never read: it starts at the end (W1)."""
        inboxes = state.inboxes
        for number, message in sends:
            if state.workers[number].alive:
                place = self._place(number, message)
                inboxes = (*inboxes[:place], (*inboxes[place], message), *inboxes[place + 1 :])
        return state if inboxes is state.inboxes else state._replace(inboxes=inboxes)

    def _place(self, number: int, message: ToWorker) -> int:
        """The inbox of that worker for the message's queue."""
        return number * self.sizes.queues + message.task % self.sizes.queues

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
