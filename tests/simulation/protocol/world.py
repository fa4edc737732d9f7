"""The world: one part, its owner and the stale owners, workers, the log, the inboxes, and every misfortune.

Three reductions keep it small; none hides a behaviour. (1) A publish is taken to follow its commit at once; a crash or a
takeover then chooses, inbox by inbox, how many of the owner's last unread messages were not out yet. That covers every
interleaving, because a message nobody has read is one not yet published. (2) A crash and the next claim are one step,
because nobody observes what lies between: workers' steps commute with it. (3) Workers, and tasks, are interchangeable.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.simulation.protocol import engine, worker as rules_of_workers
from tests.simulation.protocol.terms import (
    ANNOUNCED,
    ASK,
    BUFFERED,
    CANCELLING,
    DISPATCHED,
    GOING,
    LINE,
    RUNNING,
    SAID_CANCELLED,
    SAID_FAILED,
    SAID_HANDED_BACK,
    SAID_STARTED,
    SAID_SUCCEEDED,
    STARTED,
    STOPPING,
    Action,
    Ended,
    Ghosts,
    Held,
    Limbo,
    Row,
    Rules,
    Said,
    Sizes,
    Stale,
    State,
    Statement,
    Step,
    ToWorker,
    Truth,
    Worker,
)

JOB_STATUS = -1
DYING_KINDS = (BUFFERED,)


class World:
    """All steps from a state. `rules`: those in force."""

    def __init__(self, sizes: Sizes, rules: Rules | None = None) -> None:
        self.sizes = sizes
        self.rules = rules or Rules()

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
            ((),) * workers,
            (Worker(1, 1, 0, (), ()),) * workers,
        )

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that may happen next."""
        yield from self._reading(state)
        yield from self._deciding(state)
        yield from self._losing_workers(state)
        yield from self._changing_hands(state)
        yield from self._stale(state)
        for number, worker in enumerate(state.workers):
            if worker.alive:
                yield from self._working(state, number, worker)
        yield from self._dying(state)
        yield from self._carrying(state)

    # -- the owner -----------------------------------------------------------------------------------------------

    def _reading(self, state: State) -> Iterator[Step]:
        if not state.log:
            return
        said = state.log[0]
        truth, sends = engine.hear(state.truth, said, self.rules)
        after = _published(state._replace(truth=truth, log=state.log[1:]), sends)
        if said.kind >= SAID_SUCCEEDED and truth.rows != state.truth.rows:
            accepted = _bit(state.ghosts.accepted, said.task, said.attempt)
            after = after._replace(ghosts=state.ghosts._replace(accepted=accepted))
        yield Step(Action("read", said.worker, said.task), True, after)
        if truth.rows == state.truth.rows or said.task < 0:
            return
        if state.budget.crash and not self.rules.offset_with_effect:
            passed = _spent(state._replace(log=state.log[1:]), "crash")
            yield Step(
                Action("commit the offset, then crash", said.worker, said.task), False, self._claimed(passed)
            )
        if state.budget.unanswered and not self.rules.settle_ends_the_statement:
            late = Statement(state.truth.epoch, said.task, truth.rows[said.task])
            waits = state.truth._replace(statements=(*state.truth.statements, late))
            yield Step(
                Action("commit without an answer", said.worker, said.task),
                False,
                _spent(state._replace(truth=waits), "unanswered"),
            )

    def _deciding(self, state: State) -> Iterator[Step]:
        truth, budget = state.truth, state.budget
        for task, row in enumerate(truth.rows):
            if row.state == LINE and truth.run == GOING:
                for number, gone in enumerate(truth.gone):
                    if gone:
                        continue
                    after, sends = engine.dispatch(truth, task, number)
                    yield Step(
                        Action("dispatch", number, task), True, _published(state._replace(truth=after), sends)
                    )
                    if budget.crash and not self.rules.commit_before_publish:
                        early = self._claimed(_spent(_published(state, sends), "crash"))
                        yield Step(Action("publish a dispatch, then crash", number, task), False, early)
            elif row.flying:
                if self._unconfirmed(state, task, row):
                    sends = engine.ask(truth, task, self.rules)
                    yield Step(Action("sweep", row.worker, task), True, _published(state, sends))
                elif budget.chatter and truth.run == GOING:
                    sends = engine.ask(truth, task, self.rules)
                    yield Step(
                        Action("ask out of turn", row.worker, task),
                        False,
                        _spent(_published(state, sends), "chatter"),
                    )
        if budget.cancel and truth.run == GOING:
            after, sends = engine.cancel(truth)
            yield Step(
                Action("cancel"), False, _spent(_published(state._replace(truth=after), sends), "cancel")
            )

    def _unconfirmed(self, state: State, task: int, row: Row) -> bool:
        """Nothing that is under way will tell how the attempt stands: after 5 s the sweeper asks."""
        worker = state.workers[row.worker]
        if not self.rules.sweeper or state.log or not worker.alive or state.inboxes[row.worker]:
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
                after = engine.worker_lost(truth, number, worker.incarnation)
                yield Step(Action("a new incarnation beats", number), True, state._replace(truth=after))
            elif worker.alive and truth.gone[number]:
                gone = (*truth.gone[:number], 0, *truth.gone[number + 1 :])
                yield Step(
                    Action("beats again", number), True, state._replace(truth=truth._replace(gone=gone))
                )
            elif not early and not truth.gone[number] and not worker.alive:
                after = engine.worker_lost(truth, number, None)
                yield Step(Action("beats are missed", number), True, state._replace(truth=after))
            elif not early and not truth.gone[number] and budget.cut and not new:
                after = engine.worker_lost(truth, number, None)
                yield Step(
                    Action("beats of a live worker are missed", number),
                    False,
                    _spent(state._replace(truth=after), "cut"),
                )
        for task, row in enumerate(truth.rows):
            if row.state != RUNNING:
                continue
            after = engine.lease_over(truth, task)
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
                    _spent(state._replace(truth=after), "cut"),
                )

    # -- owners come and go --------------------------------------------------------------------------------------

    def _changing_hands(self, state: State) -> Iterator[Step]:
        epoch = state.truth.epoch
        if not state.budget.crash and not state.budget.steal:
            return
        own = [
            [index for index, message in enumerate(inbox) if message.epoch == epoch]
            for inbox in state.inboxes
        ]
        for cuts in product(*(range(len(indexes) + 1) for indexes in own)):
            inboxes, pending = [], []
            for inbox, indexes, cut in zip(state.inboxes, own, cuts, strict=True):
                out = indexes[len(indexes) - cut :]
                inboxes.append(tuple(message for index, message in enumerate(inbox) if index not in out))
                pending.append(tuple(inbox[index] for index in out))
            left = state._replace(inboxes=tuple(inboxes))
            if state.budget.crash:
                yield Step(
                    Action("crash, and another engine claims", detail=cuts),
                    False,
                    self._claimed(_spent(left, "crash")),
                )
            if state.budget.steal and (any(cuts) or not self.rules.fence):
                rows = () if self.rules.fence else state.truth.rows
                stale = Stale(epoch, tuple(pending), rows)
                yield Step(
                    Action("another engine claims, the old one lives", detail=cuts),
                    False,
                    self._claimed(
                        _spent(left._replace(stale=tuple(sorted((*state.stale, stale)))), "steal")
                    ),
                )

    def _claimed(self, state: State) -> State:
        known = tuple(worker.incarnation for worker in state.workers)
        truth, sends = engine.take_over(state.truth, known, self.rules)
        return _published(state._replace(truth=truth), sends)

    def _stale(self, state: State) -> Iterator[Step]:
        """What an engine does that lost the part: it publishes what it had committed, and tries to write."""
        for index, stale in enumerate(state.stale):
            others = (*state.stale[:index], *state.stale[index + 1 :])
            for number, pending in enumerate(stale.pending):
                if not pending:
                    continue
                rest = (*stale.pending[:number], pending[1:], *stale.pending[number + 1 :])
                left = stale._replace(pending=rest)
                kept = tuple(sorted((*others, left))) if any(rest) or left.rows else others
                after = _published(state._replace(stale=kept), ((number, pending[0]),))
                yield Step(
                    Action("a stale owner publishes", number, pending[0].task, pending[0].delivery),
                    False,
                    after,
                )
            for task, row in enumerate(stale.rows):
                # no fence: it dispatches what it takes to be waiting
                if row.state != LINE or state.truth.run != GOING:
                    continue
                for number in range(self.sizes.workers):
                    view = state.truth._replace(epoch=stale.epoch, rows=stale.rows)
                    decided, sends = engine.dispatch(view, task, number)
                    rows = (*state.truth.rows[:task], decided.rows[task], *state.truth.rows[task + 1 :])
                    written = state._replace(
                        truth=state.truth._replace(rows=rows),
                        stale=tuple(sorted((*others, stale._replace(rows=decided.rows)))),
                    )
                    yield Step(
                        Action("a stale owner dispatches", number, task), False, _published(written, sends)
                    )

    # -- workers -------------------------------------------------------------------------------------------------

    def _working(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        inbox = state.inboxes[number]
        if inbox:
            after, said = rules_of_workers.take(worker, number, inbox[0], self.rules)
            inboxes = (*state.inboxes[:number], inbox[1:], *state.inboxes[number + 1 :])
            taken = state._replace(inboxes=inboxes, log=state.log + said)
            yield Step(
                Action("takes", number, inbox[0].task, (inbox[0].kind,)), True, _with(taken, number, after)
            )
        if state.budget.chatter:
            says = state._replace(log=(*state.log, rules_of_workers.alive(worker, number)))
            yield Step(Action("says Alive out of turn", number), False, _spent(says, "chatter"))
        for held in worker.held:
            yield from self._executing(state, number, worker, held)

    def _executing(self, state: State, number: int, worker: Worker, held: Held) -> Iterator[Step]:
        budget, task = state.budget, held.task
        if held.phase == BUFFERED:
            started = _bit(state.ghosts.started, task, held.attempt)
            moved = rules_of_workers.holding(
                rules_of_workers.dropping(worker, held), held._replace(phase=STARTED)
            )
            begun = _with(state, number, moved)._replace(ghosts=state.ghosts._replace(started=started))
            yield Step(Action("starts", number, task, (held.attempt,)), True, begun)
            if budget.hand_back:
                given = self._ended(state, number, worker, held, SAID_HANDED_BACK)
                yield Step(Action("hands back", number, task), False, _spent(given, "hand_back"))
            return
        if held.phase == STARTED:
            moved = rules_of_workers.holding(
                rules_of_workers.dropping(worker, held), held._replace(phase=ANNOUNCED)
            )
            said = Said(SAID_STARTED, number, task, held.attempt, held.delivery)
            yield Step(
                Action("says started", number, task),
                True,
                _with(state._replace(log=(*state.log, said)), number, moved),
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
                yield Step(Action("fails", number, task), False, _spent(failed, "failure"))

    def _ended(self, state: State, number: int, worker: Worker, held: Held, kind: int) -> State:
        """The last report is acknowledged, the key leaves `held` and is remembered: one step (W6)."""
        said = Said(kind, number, held.task, held.attempt, held.delivery)
        worker = rules_of_workers.dropping(worker, held)
        if not self.rules.held_until_acknowledged:
            owed = Limbo(JOB_STATUS, said, 1)
            return _with(state._replace(limbo=tuple(sorted((*state.limbo, owed)))), number, worker)
        if self._remembers(kind):
            worker = rules_of_workers.remembering(
                worker, Ended(held.task, held.attempt, held.delivery, kind)
            )
        return _with(state._replace(log=(*state.log, said)), number, worker)

    def _remembers(self, kind: int) -> bool:
        return self.rules.hand_backs_remembered if kind == SAID_HANDED_BACK else self.rules.memory

    def _dying(self, state: State) -> Iterator[Step]:
        for number, worker in enumerate(state.workers):
            if not worker.alive:
                back = Worker(1, worker.incarnation + 1, 0, (), ())
                yield Step(
                    Action("starts anew", number), self.sizes.workers == 1, _with(state, number, back)
                )
                continue
            if state.budget.death:
                inboxes = (*state.inboxes[:number], (), *state.inboxes[number + 1 :])  # W1: read from the end
                dead = _with(
                    state._replace(inboxes=inboxes), number, Worker(0, worker.incarnation, 0, (), ())
                )
                yield Step(Action("dies", number), False, _spent(dead, "death"))
            if state.budget.forget:
                for ended in worker.memory:
                    forgot = rules_of_workers.without_memory(worker, ended)
                    yield Step(
                        Action("forgets", number, ended.task),
                        False,
                        _spent(_with(state, number, forgot), "forget"),
                    )

    # -- the carriers --------------------------------------------------------------------------------------------

    def _carrying(self, state: State) -> Iterator[Step]:
        """Kafka's and the database's own misfortunes."""
        queues: list[tuple[int, tuple[Said, ...] | tuple[ToWorker, ...]]] = [
            (JOB_STATUS, state.log),
            *enumerate(state.inboxes),
        ]
        for to, queue in queues:
            for index, message in enumerate(queue):
                if state.budget.duplicate:
                    copied = state._replace(limbo=tuple(sorted((*state.limbo, Limbo(to, message)))))
                    yield Step(
                        Action("is produced twice", to, message.task, (index,)),
                        False,
                        _spent(copied, "duplicate"),
                    )
                if state.budget.loss:
                    rest = (*queue[:index], *queue[index + 1 :])
                    lost = (
                        state._replace(log=rest)  # type: ignore[arg-type]
                        if to < 0
                        else state._replace(
                            inboxes=(*state.inboxes[:to], rest, *state.inboxes[to + 1 :])  # type: ignore[arg-type]
                        )
                    )
                    yield Step(Action("is lost", to, message.task, (index,)), False, _spent(lost, "loss"))
        for index, late in enumerate(state.limbo):
            rest_of_limbo = (*state.limbo[:index], *state.limbo[index + 1 :])
            arrived = self._arrived(state._replace(limbo=rest_of_limbo), late)
            yield Step(
                Action("arrives late", late.to, late.message.task, (index,)), bool(late.owed), arrived
            )
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
            return _published(state, ((late.to, late.message),))
        said = late.message
        state = state._replace(log=(*state.log, said))
        worker = state.workers[said.worker]
        if late.owed and worker.alive and self._remembers(said.kind):
            ended = Ended(said.task, said.attempt, said.delivery, said.kind)
            state = _with(state, said.worker, rules_of_workers.remembering(worker, ended))
        return state


def _published(state: State, sends: engine.Sends) -> State:
    """Messages appended to inboxes. What comes to a dead worker is never read: it starts at the end (W1)."""
    inboxes = state.inboxes
    for number, message in sends:
        if state.workers[number].alive:
            inboxes = (*inboxes[:number], (*inboxes[number], message), *inboxes[number + 1 :])
    return state if inboxes is state.inboxes else state._replace(inboxes=inboxes)


def _with(state: State, number: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:number], worker, *state.workers[number + 1 :]))


def _spent(state: State, what: str) -> State:
    return state._replace(budget=state.budget.spend(what))


def _bit(masks: tuple[int, ...], task: int, attempt: int) -> tuple[int, ...]:
    return (*masks[:task], masks[task] | 1 << attempt, *masks[task + 1 :])
