"""The worker's rules, W1 to W8, as functions from a worker and a message to what becomes of both."""

from __future__ import annotations

from typing import TypeVar

from tests.simulation.protocol.terms import (
    ABORT,
    ALIVE,
    ASK_ALL,
    BUFFERED,
    DECLINED,
    DISPATCH,
    SAID_CANCELLED,
    SAID_UNKNOWN,
    STOPPING,
    Ended,
    Held,
    Rules,
    Said,
    ToWorker,
    Worker,
)

NO_DELIVERY = (0, 0)
Entry = TypeVar("Entry", Held, Ended)


def take(worker: Worker, number: int, message: ToWorker, rules: Rules) -> tuple[Worker, tuple[Said, ...]]:
    """A message from the inbox: the worker after it, and what it says."""
    if message.epoch < worker.seen and rules.epoch_at_worker:
        return worker, ()  # W2
    if message.epoch > worker.seen:
        worker = worker._replace(seen=message.epoch)
    if message.kind == ASK_ALL:
        return worker, (alive(worker, number),)
    if message.kind == DISPATCH:
        return _dispatched(worker, number, message, rules)
    if not rules.ask_names_delivery:
        message = message._replace(delivery=NO_DELIVERY)
    if message.kind == ABORT:
        return _aborted(worker, number, message, rules)
    return _asked(worker, number, message, rules)


def alive(worker: Worker, number: int) -> Said:
    """W7: the held keys and the epoch seen."""
    held = tuple((held.task, held.attempt) for held in worker.held)
    return Said(ALIVE, number, -1, worker.incarnation, (worker.seen, 0), held)


def _dispatched(
    worker: Worker, number: int, message: ToWorker, rules: Rules
) -> tuple[Worker, tuple[Said, ...]]:
    held = find(worker.held, message)
    if held is not None:
        return (adopt(worker, held, message) if rules.adoption else worker), ()
    ended = find(worker.memory, message)
    if ended is not None and ended.kind in DECLINED:
        if message.delivery <= ended.delivery:
            return worker, (_said(number, ended),)
        worker = without_memory(worker, ended)  # the line sent it here once more
    elif ended is not None:
        return _repeated(worker, number, ended, message.delivery)
    return holding(worker, Held(message.task, message.attempt, message.delivery, BUFFERED)), ()


def _asked(worker: Worker, number: int, message: ToWorker, rules: Rules) -> tuple[Worker, tuple[Said, ...]]:
    held = find(worker.held, message)
    if held is not None:
        worker = adopt(worker, held, message)
        return worker, (alive(worker, number),)
    ended = find(worker.memory, message)
    if ended is not None:
        return _repeated(worker, number, ended, message.delivery)
    denied = Ended(message.task, message.attempt, message.delivery, SAID_UNKNOWN)
    if rules.denials_remembered:
        worker = remembering(worker, denied)
    return worker, (_said(number, denied),)


def _aborted(worker: Worker, number: int, message: ToWorker, rules: Rules) -> tuple[Worker, tuple[Said, ...]]:
    held = find(worker.held, message)
    if held is not None:
        worker = adopt(worker, held, message)
        held = find(worker.held, message)
        assert held is not None
        if held.phase != BUFFERED:
            return holding(dropping(worker, held), held._replace(phase=STOPPING)), ()
        worker = dropping(worker, held)
        return _cancelled(worker, number, message, held.delivery)
    ended = find(worker.memory, message)
    if ended is None or ended.kind in DECLINED:
        if not rules.abort_remembered:
            return worker, (Said(SAID_CANCELLED, number, message.task, message.attempt, message.delivery),)
        if ended is not None:
            worker = without_memory(worker, ended)
        return _cancelled(worker, number, message, message.delivery)
    return _repeated(worker, number, ended, message.delivery)


def _cancelled(
    worker: Worker, number: int, message: ToWorker, delivery: tuple[int, int]
) -> tuple[Worker, tuple[Said, ...]]:
    ended = Ended(message.task, message.attempt, delivery, SAID_CANCELLED)
    return remembering(worker, ended), (_said(number, ended),)


def _repeated(
    worker: Worker, number: int, ended: Ended, delivery: tuple[int, int]
) -> tuple[Worker, tuple[Said, ...]]:
    """W3: the report once more, with the newest delivery."""
    if delivery > ended.delivery:
        worker = without_memory(worker, ended)
        ended = ended._replace(delivery=delivery)
        worker = remembering(worker, ended)
    return worker, (_said(number, ended),)


def _said(number: int, ended: Ended) -> Said:
    return Said(ended.kind, number, ended.task, ended.attempt, ended.delivery)


def adopt(worker: Worker, held: Held, message: ToWorker) -> Worker:
    """W3: an attempt that is held takes the higher delivery."""
    if message.delivery <= held.delivery:
        return worker
    return holding(dropping(worker, held), held._replace(delivery=message.delivery))


def find(among: tuple[Entry, ...], message: ToWorker) -> Entry | None:
    """The entry for the message's task and attempt."""
    for entry in among:
        if entry[0] == message.task and entry[1] == message.attempt:
            return entry
    return None


def holding(worker: Worker, held: Held) -> Worker:
    return worker._replace(held=tuple(sorted((*worker.held, held))))


def dropping(worker: Worker, held: Held) -> Worker:
    return worker._replace(held=tuple(one for one in worker.held if one != held))


def remembering(worker: Worker, ended: Ended) -> Worker:
    return worker._replace(memory=tuple(sorted((*worker.memory, ended))))


def without_memory(worker: Worker, ended: Ended) -> Worker:
    return worker._replace(memory=tuple(one for one in worker.memory if one != ended))
