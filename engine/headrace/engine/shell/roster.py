"""The workers as other processes are shown them, and why a task that stands in the line cannot be given to any of them.

Only engines hear beats. They note in the store whom they have heard, every two seconds at most, so that a command or the
API can tell a queue without workers from one whose workers are busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from headrace.engine.ports.roster import WorkerRow
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.flights import Member

FRESH_SECONDS = 8.0
"""A noted worker counts as alive for so long: as long as its last beat does, and a note's delay."""


class Unserved(NamedTuple):
    """No live worker can take a task. `lacking`: queue, labels or kind, the first that nobody has, and `others`: how many workers
    come as far as that. Or `draining`: those that could take it, `others` of them, take nothing more."""

    lacking: str
    queue: str
    labels: Mapping[str, str]
    kind: str
    others: int


def unserved(
    queue: str, labels: Mapping[str, str], kind: str, workers: Iterable[WorkerRow]
) -> Unserved | None:
    """Why none of these workers can take such a task; None when one can, however busy it is."""
    beside = list(workers)
    staying = [worker for worker in beside if not worker.draining]
    lacking, others = _lacking(queue, labels, kind, staying)
    if lacking is None:
        return None
    without, leaving = _lacking(queue, labels, kind, [worker for worker in beside if worker.draining])
    if without is None:
        lacking, others = "draining", leaving
    return Unserved(lacking, queue, labels, kind, others)


def _lacking(
    queue: str, labels: Mapping[str, str], kind: str, workers: Sequence[WorkerRow]
) -> tuple[str | None, int]:
    """The first that none of them has, and how many come as far as that; None, and how many have everything."""
    listening = [worker for worker in workers if queue in worker.queues]
    if not listening:
        return "queue", len(workers)
    labelled = [worker for worker in listening if labels.items() <= worker.labels.items()]
    if not labelled:
        return "labels", len(listening)
    fitting = [worker for worker in labelled if not worker.kinds or kind in worker.kinds]
    return (None, len(fitting)) if fitting else ("kind", len(labelled))


def seen(fleet: Fleet, mono: float, now: float) -> list[WorkerRow]:
    """Whom this engine has heard of late. `mono` is the fleet's time, `now` the same moment since the epoch."""
    return [_row(member, now - (mono - member.beat_at)) for member in fleet.fresh(mono) if member.incarnation]


def _row(member: Member, at: float) -> WorkerRow:
    return WorkerRow(
        member.worker,
        member.incarnation or "",
        tuple(sorted(member.queues)),
        dict(member.labels),
        tuple(sorted(member.kinds)),
        member.slots,
        member.held,
        member.draining,
        at,
    )
