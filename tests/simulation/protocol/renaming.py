"""Workers are interchangeable, and so are tasks: what a renaming makes of each component of a state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

from tests.simulation.protocol.checker import Symmetry
from tests.simulation.protocol.terms import (
    ASK_ALL,
    Ghosts,
    Limbo,
    Row,
    Said,
    Sizes,
    Stale,
    Statement,
    ToWorker,
    Truth,
    Worker,
)

FIXED = 6
"""Components before the inboxes: truth, log, limbo, stale, ghosts, budget."""


def renamings(sizes: Sizes) -> list[Symmetry]:
    """Every renaming but the one that changes nothing."""
    found = []
    for workers in permutations(range(sizes.workers)):
        for tasks in permutations(range(sizes.tasks)):
            if any(old % sizes.queues != new % sizes.queues for new, old in enumerate(tasks)):
                continue  # only tasks of one queue are interchangeable
            if workers != tuple(sorted(workers)) or tasks != tuple(sorted(tasks)):
                found.append(_renaming(workers, tasks, sizes.queues))
    return found


def _renaming(workers: tuple[int, ...], tasks: tuple[int, ...], queues: int) -> Symmetry:
    """New worker i is old worker `workers[i]`; likewise tasks."""
    to_worker = {old: new for new, old in enumerate(workers)} | {-1: -1}
    to_task = {old: new for new, old in enumerate(tasks)} | {-1: -1}
    inboxes = tuple(old * queues + queue for old in workers for queue in range(queues))
    renamed = _Names(to_worker, to_task, workers, tasks, inboxes)
    order = (
        *range(FIXED),
        *(FIXED + old for old in inboxes),
        *(FIXED + len(inboxes) + old for old in workers),
    )
    fixed: tuple[Callable[[Any], Any], ...] = (
        renamed.truth,
        renamed.log,
        renamed.limbo,
        renamed.stale,
        renamed.ghosts,
        lambda budget: budget,
    )
    return Symmetry(order, (*fixed, *(renamed.inbox,) * len(inboxes), *(renamed.worker,) * len(workers)))


class _Names:
    def __init__(
        self,
        to_worker: dict[int, int],
        to_task: dict[int, int],
        workers: tuple[int, ...],
        tasks: tuple[int, ...],
        inboxes: tuple[int, ...],
    ) -> None:
        self._worker, self._task = to_worker, to_task
        self._workers, self._tasks, self._inboxes = workers, tasks, inboxes

    def _row(self, row: Row) -> Row:
        return row._replace(worker=self._worker[row.worker])

    def _rows(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(self._row(rows[old]) for old in self._tasks) if rows else ()

    def truth(self, truth: Truth) -> Truth:
        return truth._replace(
            rows=self._rows(truth.rows),
            known=tuple(truth.known[old] for old in self._workers),
            gone=tuple(truth.gone[old] for old in self._workers),
            statements=tuple(
                Statement(one.epoch, self._task[one.task], self._row(one.row)) for one in truth.statements
            ),
        )

    def _said(self, said: Said) -> Said:
        held = tuple(sorted((self._task[task], attempt) for task, attempt in said.held))
        return said._replace(worker=self._worker[said.worker], task=self._task[said.task], held=held)

    def _message(self, message: ToWorker) -> ToWorker:
        return message if message.kind == ASK_ALL else message._replace(task=self._task[message.task])

    def log(self, log: tuple[Said, ...]) -> tuple[Said, ...]:
        return tuple(self._said(said) for said in log)

    def inbox(self, inbox: tuple[ToWorker, ...]) -> tuple[ToWorker, ...]:
        return tuple(self._message(message) for message in inbox)

    def limbo(self, limbo: tuple[Limbo, ...]) -> tuple[Limbo, ...]:
        return tuple(
            sorted(
                one._replace(
                    to=self._worker[one.to],
                    message=self._said(one.message)
                    if isinstance(one.message, Said)
                    else self._message(one.message),
                )
                for one in limbo
            )
        )

    def stale(self, stale: tuple[Stale, ...]) -> tuple[Stale, ...]:
        return tuple(
            sorted(
                Stale(
                    one.epoch,
                    tuple(self.inbox(one.pending[old]) for old in self._inboxes),
                    self._rows(one.rows),
                )
                for one in stale
            )
        )

    def ghosts(self, ghosts: Ghosts) -> Ghosts:
        return Ghosts(
            tuple(ghosts.started[old] for old in self._tasks),
            tuple(ghosts.accepted[old] for old in self._tasks),
        )

    def worker(self, worker: Worker) -> Worker:
        return worker._replace(
            held=tuple(sorted(one._replace(task=self._task[one.task]) for one in worker.held)),
            memory=tuple(sorted(one._replace(task=self._task[one.task]) for one in worker.memory)),
        )
