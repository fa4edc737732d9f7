"""Workers at work: the rules of `worker_rules.py` applied to their inboxes, and what befalls them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.protocol import worker_rules
from tests.simulation.protocol.ground import Ground, bit, spent, with_worker
from tests.simulation.protocol.terms import (
    ANNOUNCED,
    BUFFERED,
    JOB_STATUS,
    SAID_CANCELLED,
    SAID_FAILED,
    SAID_HANDED_BACK,
    SAID_STARTED,
    SAID_SUCCEEDED,
    STARTED,
    STOPPING,
    Action,
    Ended,
    Held,
    Limbo,
    Said,
    State,
    Step,
    Worker,
)


class Workers(Ground):
    """Steps of the workers: they take messages, start, end, hand back, die and begin anew."""

    def steps(self, state: State) -> Iterator[Step]:
        for number, worker in enumerate(state.workers):
            if worker.alive:
                yield from self._working(state, number, worker)
        yield from self._dying(state)

    def _working(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        for place in self.places(number):
            inbox = state.inboxes[place]
            if not inbox:
                continue
            after, said = worker_rules.take(worker, number, inbox[0], self.rules)
            inboxes = (*state.inboxes[:place], inbox[1:], *state.inboxes[place + 1 :])
            taken = state._replace(inboxes=inboxes, log=state.log + said)
            yield Step(
                Action("takes", number, inbox[0].task, (inbox[0].kind,)),
                True,
                with_worker(taken, number, after),
            )
        if state.budget.chatter:
            says = state._replace(log=(*state.log, worker_rules.alive(worker, number)))
            yield Step(Action("says Alive out of turn", number), False, spent(says, "chatter"))
        for held in worker.held:
            yield from self._executing(state, number, worker, held)

    def _executing(self, state: State, number: int, worker: Worker, held: Held) -> Iterator[Step]:
        budget, task = state.budget, held.task
        if held.phase == BUFFERED:
            started = bit(state.ghosts.started, task, held.attempt)
            moved = worker_rules.holding(worker_rules.dropping(worker, held), held._replace(phase=STARTED))
            begun = with_worker(state, number, moved)._replace(ghosts=state.ghosts._replace(started=started))
            yield Step(Action("starts", number, task, (held.attempt,)), True, begun)
            if budget.hand_back:
                given = self._ended(state, number, worker, held, SAID_HANDED_BACK)
                yield Step(Action("hands back", number, task), False, spent(given, "hand_back"))
            return
        if held.phase == STARTED:
            moved = worker_rules.holding(worker_rules.dropping(worker, held), held._replace(phase=ANNOUNCED))
            said = Said(SAID_STARTED, number, task, held.attempt, held.delivery)
            yield Step(
                Action("says started", number, task),
                True,
                with_worker(state._replace(log=(*state.log, said)), number, moved),
            )
        if held.phase == STOPPING:
            yield Step(
                Action("is stopped", number, task),
                True,
                self._ended(state, number, worker, held, SAID_CANCELLED),
            )
        if not self.sizes.endless:
            yield Step(
                Action("succeeds", number, task),
                True,
                self._ended(state, number, worker, held, SAID_SUCCEEDED),
            )
            if budget.failure and held.phase != STOPPING:
                failed = self._ended(state, number, worker, held, SAID_FAILED)
                yield Step(Action("fails", number, task), False, spent(failed, "failure"))

    def _ended(self, state: State, number: int, worker: Worker, held: Held, kind: int) -> State:
        """The last report is acknowledged, the key leaves `held` and is remembered: one step (W6)."""
        said = Said(kind, number, held.task, held.attempt, held.delivery)
        worker = worker_rules.dropping(worker, held)
        if not self.rules.held_until_acknowledged:
            owed = Limbo(JOB_STATUS, said, 1)
            return with_worker(state._replace(limbo=tuple(sorted((*state.limbo, owed)))), number, worker)
        if self.remembers(kind):
            worker = worker_rules.remembering(worker, Ended(held.task, held.attempt, held.delivery, kind))
        return with_worker(state._replace(log=(*state.log, said)), number, worker)

    def _dying(self, state: State) -> Iterator[Step]:
        for number, worker in enumerate(state.workers):
            if not worker.alive:
                back = Worker(1, worker.incarnation + 1, 0, (), ())
                last = not any(
                    other.alive for other in state.workers
                )  # while another lives, nothing waits for this
                yield Step(Action("starts anew", number), last, with_worker(state, number, back))
                continue
            if state.budget.death:
                places = self.places(number)  # W1: read from the end
                inboxes = tuple(() if place in places else inbox for place, inbox in enumerate(state.inboxes))
                dead = with_worker(
                    state._replace(inboxes=inboxes), number, Worker(0, worker.incarnation, 0, (), ())
                )
                yield Step(Action("dies", number), False, spent(dead, "death"))
            if state.budget.forget:
                for ended in worker.memory:
                    forgot = worker_rules.without_memory(worker, ended)
                    yield Step(
                        Action("forgets", number, ended.task),
                        False,
                        spent(with_worker(state, number, forgot), "forget"),
                    )
