"""What Kafka and the database do wrong: a message twice, late or never; a statement carried out long after it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from tests.simulation.protocol import worker_rules
from tests.simulation.protocol.ground import Ground, spent, with_worker
from tests.simulation.protocol.terms import (
    JOB_STATUS,
    Action,
    Ended,
    Limbo,
    Said,
    State,
    Step,
    ToWorker,
)

M = TypeVar("M", bound=Said | ToWorker)


class Carriers(Ground):
    """Steps of Kafka and of the database: duplicates, losses, what arrives late."""

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that Kafka and the database may do by themselves."""
        if state.budget.duplicate or state.budget.loss:
            yield from self._spoiling(state, JOB_STATUS, state.log, lambda rest: state._replace(log=rest))
            for place, inbox in enumerate(state.inboxes):
                yield from self._spoiling(
                    state, place // self.sizes.queues, inbox, partial(_with_inbox, state, place)
                )
        yield from self._arriving(state)
        yield from self._carrying_out(state)

    def _spoiling(
        self, state: State, to: int, queue: tuple[M, ...], without: Callable[[tuple[M, ...]], State]
    ) -> Iterator[Step]:
        """A message is produced once more, or lost after it was acknowledged."""
        for index, message in enumerate(queue):
            if state.budget.duplicate:
                copied = state._replace(limbo=tuple(sorted((*state.limbo, Limbo(to, message)))))
                action = Action("is produced twice", to, message.task, (index,))
                yield Step(action, False, spent(copied, "duplicate"))
            if state.budget.loss:
                lost = without(queue[:index] + queue[index + 1 :])
                yield Step(Action("is lost", to, message.task, (index,)), False, spent(lost, "loss"))

    def _arriving(self, state: State) -> Iterator[Step]:
        """Copies, and reports whose first sending was held up."""
        for index, late in enumerate(state.limbo):
            others = (*state.limbo[:index], *state.limbo[index + 1 :])
            arrived = self._arrived(state._replace(limbo=others), late)
            yield Step(Action("arrives late", late.to, late.message.task, (index,)), bool(late.owed), arrived)

    def _carrying_out(self, state: State) -> Iterator[Step]:
        """A statement whose answer was lost, now: the fence still holds."""
        for index, statement in enumerate(state.truth.statements):
            statements = (*state.truth.statements[:index], *state.truth.statements[index + 1 :])
            truth = state.truth._replace(statements=statements)
            if statement.epoch == truth.epoch or not self.rules.fence:
                rows = (*truth.rows[: statement.task], statement.row, *truth.rows[statement.task + 1 :])
                truth = truth._replace(rows=rows)
            yield Step(
                Action("a late statement is carried out", task=statement.task, detail=(index,)),
                False,
                state._replace(truth=truth),
            )

    def _arrived(self, state: State, late: Limbo) -> State:
        if isinstance(late.message, ToWorker):
            return self.appended(state, ((late.to, late.message),))
        said = late.message
        state = state._replace(log=(*state.log, said))
        worker = state.workers[said.worker]
        if late.owed and worker.alive and self.remembers(said.kind):
            ended = Ended(said.task, said.attempt, said.delivery, said.kind)
            state = with_worker(state, said.worker, worker_rules.remembering(worker, ended))
        return state


def _with_inbox(state: State, place: int, inbox: tuple[ToWorker, ...]) -> State:
    return state._replace(inboxes=(*state.inboxes[:place], inbox, *state.inboxes[place + 1 :]))
