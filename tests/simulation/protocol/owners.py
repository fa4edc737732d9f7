"""Engines: what the owner of the part reads, decides and gives up, how it is succeeded, and what it does when it is stale."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.simulation.protocol import engine_rules
from tests.simulation.protocol.ground import Ground, bit, spent
from tests.simulation.protocol.terms import (
    CANCELLING,
    GOING,
    LINE,
    RUNNING,
    SAID_SUCCEEDED,
    STOPPING,
    Action,
    Row,
    Stale,
    State,
    Statement,
    Step,
)


class Owners(Ground):
    """Steps of the owner of the part and of those who were it."""

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._reading(state)
        yield from self._deciding(state)
        yield from self._losing_workers(state)
        yield from self._changing_hands(state)
        yield from self._stale(state)

    def _reading(self, state: State) -> Iterator[Step]:
        if not state.log:
            return
        said = state.log[0]
        truth, sends = engine_rules.hear(state.truth, said, self.rules)
        after = self.published(state._replace(truth=truth, log=state.log[1:]), sends)
        if said.kind >= SAID_SUCCEEDED and truth.rows != state.truth.rows:
            accepted = bit(state.ghosts.accepted, said.task, said.attempt)
            after = after._replace(ghosts=state.ghosts._replace(accepted=accepted))
        yield Step(Action("read", said.worker, said.task), True, after)
        if truth.rows == state.truth.rows or said.task < 0:
            return
        if state.budget.crash and not self.rules.offset_with_effect:
            passed = spent(state._replace(log=state.log[1:]), "crash")
            yield Step(
                Action("commit the offset, then crash", said.worker, said.task), False, self._claimed(passed)
            )
        if state.budget.unanswered and not self.rules.settle_ends_the_statement:
            late = Statement(state.truth.epoch, said.task, truth.rows[said.task])
            waits = state.truth._replace(statements=(*state.truth.statements, late))
            yield Step(
                Action("commit without an answer", said.worker, said.task),
                False,
                spent(state._replace(truth=waits), "unanswered"),
            )

    def _deciding(self, state: State) -> Iterator[Step]:
        truth, budget = state.truth, state.budget
        for task, row in enumerate(truth.rows):
            if row.state == LINE and truth.run == GOING:
                for number, gone in enumerate(truth.gone):
                    if gone:
                        continue
                    after, sends = engine_rules.dispatch(truth, task, number)
                    yield Step(
                        Action("dispatch", number, task),
                        True,
                        self.published(state._replace(truth=after), sends),
                    )
                    if budget.crash and not self.rules.commit_before_publish:
                        early = self._claimed(spent(self.appended(state, sends), "crash"))
                        yield Step(Action("publish a dispatch, then crash", number, task), False, early)
            elif row.flying:
                if self._unconfirmed(state, task, row):
                    sends = engine_rules.ask(truth, task, self.rules)
                    yield Step(Action("sweep", row.worker, task), True, self.published(state, sends))
                elif budget.chatter and truth.run == GOING:
                    sends = engine_rules.ask(truth, task, self.rules)
                    yield Step(
                        Action("ask out of turn", row.worker, task),
                        False,
                        spent(self.published(state, sends), "chatter"),
                    )
        if budget.cancel and truth.run == GOING:
            after, sends = engine_rules.cancel(truth)
            yield Step(
                Action("cancel"),
                self.sizes.endless,
                spent(self.published(state._replace(truth=after), sends), "cancel"),
            )

    def _unconfirmed(self, state: State, task: int, row: Row) -> bool:
        """Nothing that is under way will tell how the attempt stands: after 5 s the sweeper asks."""
        worker = state.workers[row.worker]
        if not self.rules.sweeper or state.log or not worker.alive:
            return False
        pending = self.own(state).pending
        if any(state.inboxes[place] or pending[place] for place in self.places(row.worker)):
            return False
        for held in worker.held:
            if held.task == task and held.attempt == row.attempt:
                lacks_abort = (
                    state.truth.run == CANCELLING and held.phase != STOPPING and self.rules.abort_again
                )
                return held.delivery < (row.epoch, row.n) or lacks_abort
        return not any(one.owed and one.message.task == task for one in state.limbo)

    def _losing_workers(self, state: State) -> Iterator[Step]:
        """E8. A live worker is given up only at the cost of the budget: its Beats and Alives are there to be read."""
        truth, rules, budget = state.truth, self.rules, state.budget
        unread = bool(state.log)
        for number, worker in enumerate(state.workers):
            early = unread and rules.worker_loss_waits_for_the_log
            new = worker.alive and truth.known[number] != worker.incarnation
            if new and not early:
                after = engine_rules.worker_lost(truth, number, worker.incarnation, rules)
                yield Step(Action("a new incarnation beats", number), True, state._replace(truth=after))
            elif worker.alive and truth.gone[number]:
                gone = (*truth.gone[:number], 0, *truth.gone[number + 1 :])
                yield Step(
                    Action("beats again", number), True, state._replace(truth=truth._replace(gone=gone))
                )
            elif not early and not truth.gone[number] and not worker.alive:
                after = engine_rules.worker_lost(truth, number, None, rules)
                yield Step(Action("beats are missed", number), True, state._replace(truth=after))
            elif not early and not truth.gone[number] and budget.cut and not new:
                after = engine_rules.worker_lost(truth, number, None, rules)
                yield Step(
                    Action("beats of a live worker are missed", number),
                    False,
                    spent(state._replace(truth=after), "cut"),
                )
        for task, row in enumerate(truth.rows):
            if row.state != RUNNING:
                continue
            after = engine_rules.lease_over(truth, task)
            if not state.workers[row.worker].alive:
                if not unread or not rules.lease_waits_for_the_log:
                    yield Step(Action("lease ends", row.worker, task), True, state._replace(truth=after))
            elif unread and not rules.lease_waits_for_the_log:
                # the owner was held up: what renews the lease stands unread in the log
                yield Step(Action("lease ends, unread", row.worker, task), False, state._replace(truth=after))
            elif budget.cut and not unread:
                yield Step(
                    Action("lease of a live worker ends", row.worker, task),
                    False,
                    spent(state._replace(truth=after), "cut"),
                )

    # -- owners come and go --------------------------------------------------------------------------------------

    def _changing_hands(self, state: State) -> Iterator[Step]:
        """The owner dies, or is taken for dead, and another engine claims."""
        if not state.budget.crash and not state.budget.steal:
            return
        for left, stale, cuts in self._cuts(state):
            others = tuple(one for one in left.stale if one.epoch != stale.epoch)
            if state.budget.crash:
                dead = left._replace(stale=others)
                action = Action("crash, and another engine claims", detail=cuts)
                yield Step(action, False, self._claimed(spent(dead, "crash")))
            if state.budget.steal and (any(stale.pending) or not self.rules.fence):
                if not self.rules.fence:
                    stale = stale._replace(rows=state.truth.rows)
                lives = left._replace(stale=tuple(sorted((*others, stale))))
                action = Action("another engine claims, the old one lives", detail=cuts)
                yield Step(action, False, self._claimed(spent(lives, "steal")))

    def _cuts(self, state: State) -> Iterator[tuple[State, Stale, tuple[int, ...]]]:
        """Every way to say how far the owner had come with publishing: the state, what it still has, how much of it."""
        epoch = state.truth.epoch
        if self.sizes.stepwise:
            own = self.own(state)
            yield state, own, tuple(map(len, own.pending))
            return
        owned = [
            [index for index, message in enumerate(inbox) if message.epoch == epoch]
            for inbox in state.inboxes
        ]
        for cuts in product(*(range(len(indexes) + 1) for indexes in owned)):
            inboxes, pending = [], []
            for inbox, indexes, cut in zip(state.inboxes, owned, cuts, strict=True):
                out = indexes[len(indexes) - cut :]
                inboxes.append(tuple(message for index, message in enumerate(inbox) if index not in out))
                pending.append(tuple(inbox[index] for index in out))
            yield state._replace(inboxes=tuple(inboxes)), Stale(epoch, tuple(pending)), cuts

    def _claimed(self, state: State) -> State:
        known = tuple(worker.incarnation for worker in state.workers)
        truth, sends = engine_rules.take_over(state.truth, known, self.sizes.queues, self.rules)
        return self.published(state._replace(truth=truth), sends)

    def _stale(self, state: State) -> Iterator[Step]:
        """What an engine does that lost the part: it publishes what it had committed, and tries to write."""
        for index, stale in enumerate(state.stale):
            others = (*state.stale[:index], *state.stale[index + 1 :])
            for place, pending in enumerate(stale.pending):
                if not pending:
                    continue
                number = place // self.sizes.queues
                rest = (*stale.pending[:place], pending[1:], *stale.pending[place + 1 :])
                left = stale._replace(pending=rest)
                kept = tuple(sorted((*others, left))) if any(rest) or left.rows else others
                after = self.appended(state._replace(stale=kept), ((number, pending[0]),))
                owner = stale.epoch == state.truth.epoch
                name = "publishes" if owner else "a stale owner publishes"
                yield Step(Action(name, number, pending[0].task, pending[0].delivery), owner, after)
            for task, row in enumerate(stale.rows):
                # no fence: it dispatches what it takes to be waiting
                if row.state != LINE or state.truth.run != GOING:
                    continue
                for number in range(self.sizes.workers):
                    view = state.truth._replace(epoch=stale.epoch, rows=stale.rows)
                    decided, sends = engine_rules.dispatch(view, task, number)
                    rows = (*state.truth.rows[:task], decided.rows[task], *state.truth.rows[task + 1 :])
                    written = state._replace(
                        truth=state.truth._replace(rows=rows),
                        stale=tuple(sorted((*others, stale._replace(rows=decided.rows)))),
                    )
                    yield Step(
                        Action("a stale owner dispatches", number, task),
                        False,
                        self.appended(written, sends),
                    )
