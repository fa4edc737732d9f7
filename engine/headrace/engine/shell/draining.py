"""Workers that somebody wants to leave: W9, asked for from outside.

The request is a row in the inbox of part 0. It stays there, and the worker is asked again, until its beats say that it is
draining, or it is gone: so a request outlives the engine that read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.engine.ports.messages import Drain
from headrace.engine.ports.store import Batch, InboxRow

if TYPE_CHECKING:
    from headrace.engine.ports.roster import WorkerRow
    from headrace.engine.shell.fleet import Fleet
    from headrace.engine.shell.part import Portion

DRAIN = "drain"
HOME = 0
"""The part whose owner asks."""
GONE_SECONDS = 15.0
"""A worker of which nothing was heard for so long will not read what it is asked."""


class Wanted(msgspec.Struct, frozen=True):
    """The body of a request. Another incarnation of the worker has begun since, and stays."""

    worker: str
    incarnation: str
    by: str


def request(worker: WorkerRow, by: str, at: float) -> InboxRow:
    """The row to post; `at`: seconds since the epoch."""
    body = msgspec.json.encode(Wanted(worker.id, worker.incarnation, by))
    return InboxRow(0, HOME, None, DRAIN, body, at)


class Drains:
    """The open requests in a part's inbox."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Wanted, float]] = {}  # by row; and since when it is known here

    def read(self, row: InboxRow, batch: Batch, mono: float) -> None:
        """A row has come, or comes again."""
        try:
            wanted = msgspec.json.decode(row.body, type=Wanted)
        except msgspec.MsgspecError:  # nobody could ever carry it out
            batch.inbox_done.append(row.id)
            return
        self._open.setdefault(row.id, (wanted, mono))

    def look(self, portion: Portion, fleet: Fleet, mono: float) -> None:
        """Ask those that do not drain yet; the requests of the others are done."""
        for row, (wanted, since) in list(self._open.items()):
            member = fleet.member(wanted.worker)
            heard_at = since if member is None else member.beat_at
            if mono - heard_at >= GONE_SECONDS or (
                member is not None and (member.draining or member.incarnation != wanted.incarnation)
            ):
                portion.batch.inbox_done.append(row)
                del self._open[row]
            elif member is not None and member.queues:
                asked = Drain(member.worker, portion.part.number, portion.part.epoch, wanted.incarnation)
                portion.outbox.again(min(member.queues), member.inbox, asked)
