"""The workers as other processes are shown them, and why a task that stands in the line cannot be given to any of them.

Only engines hear beats. They note in the store whom they have heard, every two seconds at most, so that a command or the
API can tell a queue without workers from one whose workers are busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from headrace.engine.ports.roster import WorkerRow
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.flights import Member

FRESH_SECONDS = 8.0
"""A noted worker counts as alive for so long: as long as its last beat does, and a note's delay."""


class Unserved(NamedTuple):
    """No live worker can take a task. `lacking`: queue, labels or kind, the first that nobody has; `others`: how many workers
    come as far as that."""

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
    listening = [worker for worker in beside if queue in worker.queues and not worker.draining]
    if not listening:
        return Unserved("queue", queue, labels, kind, len(beside))
    labelled = [
        worker
        for worker in listening
        if all(worker.labels.get(name) == value for name, value in labels.items())
    ]
    if not labelled:
        return Unserved("labels", queue, labels, kind, len(listening))
    if not any(not worker.kinds or kind in worker.kinds for worker in labelled):
        return Unserved("kind", queue, labels, kind, len(labelled))
    return None


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
