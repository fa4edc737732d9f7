"""The engine's rules, E2 to E9 and the sweeper, as functions from what the owner knows to what it commits and sends.

Every one answers with the database after the commit and the messages published behind it, or None: nothing to commit.
"""

from __future__ import annotations

from tests.simulation.protocol.terms import (
    ABORT,
    ALIVE,
    ASK,
    ASK_ALL,
    CANCELLED,
    CANCELLING,
    DISPATCH,
    DISPATCHED,
    GOING,
    LINE,
    RUNNING,
    SAID_CANCELLED,
    SAID_FAILED,
    SAID_HANDED_BACK,
    SAID_STARTED,
    SAID_SUCCEEDED,
    SAID_UNKNOWN,
    SUCCEEDED,
    Row,
    Rules,
    Said,
    ToWorker,
    Truth,
)

Sends = tuple[tuple[int, ToWorker], ...]
Decision = tuple[Truth, Sends]


def hear(truth: Truth, said: Said, rules: Rules) -> Decision:
    """One message of job-status: what it changes; nothing when it is stale (E6)."""
    if said.kind == ALIVE:
        return _alive(truth, said, rules)
    row = truth.rows[said.task]
    if not counts(row, said, rules):
        return truth, ()
    if said.kind == SAID_STARTED:
        return _put(truth, said.task, row._replace(state=RUNNING)) if row.state == DISPATCHED else truth, ()
    if said.kind == SAID_SUCCEEDED:
        return _put(truth, said.task, row._replace(state=SUCCEEDED, worker=-1)), ()
    if said.kind == SAID_HANDED_BACK:
        return _put(truth, said.task, waiting(truth, row)), ()
    if said.kind == SAID_FAILED or (said.kind == SAID_CANCELLED and truth.run == GOING):
        return _put(truth, said.task, tried_again(truth, row)), ()
    if said.kind == SAID_CANCELLED:
        return _put(truth, said.task, _cancelled(row)), ()
    assert said.kind == SAID_UNKNOWN
    if row.state == RUNNING:
        return _put(truth, said.task, tried_again(truth, row)), ()
    return _sent_again(truth, said.task, stays=rules.unknown_stays)


def counts(row: Row, said: Said, rules: Rules) -> bool:
    """E6: whether a report is current."""
    if rules.reports_of_the_final_are_stale and not row.flying:
        return False
    if rules.attempt_counts and said.attempt != row.attempt:
        return False
    unnamed = said.kind in (SAID_UNKNOWN, SAID_CANCELLED) and not rules.ask_names_delivery
    if unnamed and rules.denials_by_attempt:
        return True
    return said.delivery == (row.epoch, row.n) or not rules.delivery_counts


def _alive(truth: Truth, said: Said, rules: Rules) -> Decision:
    """E9: what was dispatched under an older epoch, and is not held behind the barrier, is sent again."""
    if said.attempt != truth.known[said.worker]:
        return truth, ()
    if rules.barrier_shows_epoch and said.delivery[0] < truth.epoch:
        return truth, ()
    sends: Sends = ()
    for task, row in enumerate(truth.rows):
        overtaken = row.state == DISPATCHED and row.worker == said.worker and row.epoch < truth.epoch
        if overtaken and rules.barrier and (task, row.attempt) not in said.held:
            truth, more = _sent_again(truth, task, stays=True)
            sends += more
    return truth, sends


def _sent_again(truth: Truth, task: int, *, stays: bool) -> Decision:
    """The worker does not know it. It goes to the same one, so that a late copy of what was sent before is harmless."""
    row = truth.rows[task]
    if truth.run == CANCELLING:
        return _put(truth, task, _cancelled(row)), ()
    if not stays:
        return _put(truth, task, waiting(truth, row)), ()
    return dispatch(truth, task, row.worker)


def dispatch(truth: Truth, task: int, worker: int) -> Decision:
    """E7: state, delivery and worker are committed, then the message is published."""
    row = truth.rows[task]
    n = row.n + 1 if row.epoch == truth.epoch else 1
    truth = _put(truth, task, Row(DISPATCHED, row.attempt, truth.epoch, n, worker))
    return truth, ((worker, ToWorker(DISPATCH, truth.epoch, task, row.attempt, (truth.epoch, n))),)


def cancel(truth: Truth) -> Decision:
    """The run is cancelled: what waits ends, what is with a worker is to be stopped."""
    rows = tuple(_cancelled(row) if row.state == LINE else row for row in truth.rows)
    truth = truth._replace(run=CANCELLING, rows=rows)
    return truth, aborts(truth)


def aborts(truth: Truth) -> Sends:
    """Abort for everything that is with a worker."""
    return tuple(
        (row.worker, ToWorker(ABORT, truth.epoch, task, row.attempt, (row.epoch, row.n)))
        for task, row in enumerate(truth.rows)
        if row.flying
    )


def ask(truth: Truth, task: int, rules: Rules) -> Sends:
    """The sweeper: an attempt that nobody has confirmed for too long."""
    row = truth.rows[task]
    kind = ABORT if truth.run == CANCELLING and rules.abort_again else ASK
    return ((row.worker, ToWorker(kind, truth.epoch, task, row.attempt, (row.epoch, row.n))),)


def take_over(truth: Truth, known: tuple[int, ...], queues: int, rules: Rules) -> Decision:
    """E1 and E9: the claim, and behind it the barrier at every worker that should have something."""
    truth = truth._replace(epoch=truth.epoch + 1, known=known, gone=(0,) * len(known))
    sends: Sends = ()
    if rules.barrier:
        concerned = sorted({row.worker for row in truth.rows if row.flying})
        sends = tuple(
            (worker, ToWorker(ASK_ALL, truth.epoch, queue))
            for worker in concerned
            for queue in range(queues if rules.barrier_in_every_queue else 1)
        )
    if truth.run == CANCELLING and rules.abort_again:
        sends += aborts(truth)
    return truth, sends


def worker_lost(truth: Truth, worker: int, incarnation: int | None, rules: Rules) -> Truth:
    """E8: no Beats (`incarnation` None), or a new incarnation, which also ends what was running at once."""
    rows = list(truth.rows)
    for task, row in enumerate(rows):
        if row.worker != worker or not row.flying:
            continue
        if row.state == DISPATCHED:
            rows[task] = waiting(truth, row)
        elif incarnation is not None:
            rows[task] = tried_again(truth, row) if rules.loss_ends_what_runs else waiting(truth, row)
    truth = truth._replace(rows=tuple(rows))
    if incarnation is None:
        return truth._replace(gone=_changed(truth.gone, worker, 1))
    return truth._replace(
        known=_changed(truth.known, worker, incarnation), gone=_changed(truth.gone, worker, 0)
    )


def lease_over(truth: Truth, task: int) -> Truth:
    """E8: the attempt is given up."""
    return _put(truth, task, tried_again(truth, truth.rows[task]))


def waiting(truth: Truth, row: Row) -> Row:
    """Back to the line: no attempt is spent."""
    return _cancelled(row) if truth.run == CANCELLING else row._replace(state=LINE, worker=-1)


def tried_again(truth: Truth, row: Row) -> Row:
    """The attempt has ended without success; the policy always grants another."""
    return _cancelled(row) if truth.run == CANCELLING else Row(LINE, row.attempt + 1, 0, 0, -1)


def _cancelled(row: Row) -> Row:
    return row._replace(state=CANCELLED, worker=-1)


def _put(truth: Truth, task: int, row: Row) -> Truth:
    return truth._replace(rows=(*truth.rows[:task], row, *truth.rows[task + 1 :]))


def _changed(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])
