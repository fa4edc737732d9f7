"""Who holds what of the limits of a home part's projects: its inbox is the ledger.

A claim stays in the inbox as long as it counts: `slots_wanted` until it is granted, then, from the same batch on,
`slots_held` until it is freed. So whoever owns the part reads the whole state back from there, and a grant can neither be
lost nor be given twice. `slots_freed` waits for the `slots_held` that it ends, which may have been written after it. Claims of
one limit are granted in the order of class, then age (runs: the oldest run first); one that does not fit keeps its place and
holds back those behind it.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator

import msgspec

from headrace.engine.ports.store import Batch, InboxRow
from headrace.engine.shell.claims import (
    FREED,
    GRANTED,
    HELD,
    RUN_ITSELF,
    WANTED,
    Claim,
    Granted,
    encode,
    read_claim,
)
from headrace.engine.shell.pools import Sizes, fits

_logger = logging.getLogger(__name__)

Claimant = tuple[int, int, int, int]
_POOL = "pool:"


class _Limit:
    """One pool of one project, or the active runs of one workflow."""

    __slots__ = ("freed", "held", "rows", "size", "used", "waiting", "wanted")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.used = 0
        self.held: dict[Claimant, int] = {}  # with the cost
        self.wanted: dict[Claimant, Claim] = {}
        self.rows: dict[Claimant, int] = {}  # the inbox row in which the claim stands, once it was read
        self.freed: dict[
            Claimant, int
        ] = {}  # the row that frees it, where the one that holds it is still to be read
        self.waiting: list[tuple[int, int, Claimant]] = []

    def next(self) -> Iterator[Claim]:
        """The claims that fit now, in their order; each must be granted before the next is asked for."""
        while self.waiting:
            _, _, claimant = self.waiting[0]
            claim = self.wanted.get(claimant)
            if claim is not None:
                if not fits(self.size, self.used, claim.cost):
                    return
                del self.wanted[claimant]
                yield claim
            heapq.heappop(self.waiting)


class Ledger:
    """The limits of one home part. `sizes`: slots of pools.

    Nothing is granted before the inbox was read to its end: until then it is not known who holds what.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._limits: dict[tuple[str, str], _Limit] = {}
        self._rows: dict[int, None] = {}  # claims that were read and stay in the inbox
        self._touched: dict[tuple[str, str], None] = {}
        self._early: dict[Claimant, _Limit] = {}  # freed before the inbox was read to its end
        self._complete = False  # whether the inbox was read to its end once

    def read(self, row: InboxRow, batch: Batch) -> None:
        """Take in a claim. What has had its effect is deleted with `batch`; the rest stays in the inbox."""
        if row.id in self._rows:
            return
        try:
            claim = read_claim(row.body)
        except msgspec.MsgspecError as wrong:
            _logger.error("inbox row %d (%s) cannot be read: %s", row.id, row.kind, wrong)
            batch.inbox_done.append(row.id)
            return
        limit = self._limit(claim)
        if row.kind == FREED:
            self._free(limit, claim.claimant, row.id, batch)
        elif row.kind == HELD:
            self._hold(limit, claim, row.id, batch)
        elif row.kind == WANTED:
            self._want(limit, claim, row.id, batch)

    def grant(self, part: int, batch: Batch) -> None:
        """The inbox was read to its end: grant what fits now, told with `batch`."""
        self._complete = True
        self._forget_early(batch)
        touched, self._touched = self._touched, {}
        for name in touched:
            limit = self._limits[name]
            for claim in limit.next():
                claimant = claim.claimant
                limit.held[claimant] = claim.cost
                limit.used += claim.cost
                self._strike(limit, claimant, batch)
                batch.inbox_new.append(InboxRow(0, part, None, HELD, encode(claim), batch.at))
                batch.inbox_new.append(_told(claim, batch.at))
            if not (limit.held or limit.wanted or limit.freed):
                del self._limits[name]

    def resized(self) -> None:
        """Sizes of pools have changed: the next grants go by them. One that is too full by now grants nothing until it is not."""
        for name, limit in self._limits.items():
            if name[1].startswith(_POOL):
                limit.size = self._size(*name)
                self._touched[name] = None

    def _size(self, project: str, limit: str) -> int | None:
        return self._sizes.of((project, limit.removeprefix(_POOL)))

    def used(self, project: str, limit: str) -> int:
        """How much of a limit is held."""
        found = self._limits.get((project, limit))
        return 0 if found is None else found.used

    def _limit(self, claim: Claim) -> _Limit:
        name = claim.project, claim.limit
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = _Limit(self._size(*name) if claim.size is None else claim.size)
        if claim.size is not None:
            limit.size = claim.size  # of the newest version that was heard of
        self._touched[name] = None
        return limit

    def _want(self, limit: _Limit, claim: Claim, row: int, batch: Batch) -> None:
        claimant = claim.claimant
        if claimant in limit.held:  # asked again by a new owner, who may have missed the answer
            batch.inbox_done.append(row)
            batch.inbox_new.append(_told(claim, batch.at))
        elif claimant in limit.wanted:
            limit.wanted[claimant] = claim
            batch.inbox_done.append(row)
        else:
            limit.wanted[claimant] = claim
            limit.rows[claimant] = row
            self._rows[row] = None
            age = claim.run if claim.task == RUN_ITSELF else row
            heapq.heappush(limit.waiting, (claim.priority, age, claimant))

    def _hold(self, limit: _Limit, claim: Claim, row: int, batch: Batch) -> None:
        """A grant of ours, or of an earlier owner, or a place that is taken without asking."""
        claimant = claim.claimant
        freed = limit.freed.pop(claimant, None)
        if freed is not None:  # it was given back before this was read
            self._rows.pop(freed, None)
            self._early.pop(claimant, None)
            batch.inbox_done += (row, freed)
            return
        if claimant in limit.rows and claimant in limit.held:
            batch.inbox_done.append(row)  # it stands there already
            return
        if limit.wanted.pop(claimant, None) is not None:
            self._strike(limit, claimant, batch)
        if claimant not in limit.held:
            limit.held[claimant] = claim.cost
            limit.used += claim.cost
        limit.rows[claimant] = row
        self._rows[row] = None

    def _free(self, limit: _Limit, claimant: Claimant, row: int, batch: Batch) -> None:
        """The row stays as long as one that holds the claim may stand behind it: whoever reads both after us must not take what
        was given back for held. Behind a claim that still waits there may be one too, of an owner before us, until the inbox
        was read to its end."""
        limit.wanted.pop(claimant, None)
        held = limit.held.pop(claimant, 0)
        limit.used -= held
        struck = self._strike(limit, claimant, batch)
        if claimant in limit.freed or (struck if held else self._complete):
            batch.inbox_done.append(row)
            return
        limit.freed[claimant] = row
        self._rows[row] = None
        if not self._complete:
            self._early[claimant] = limit

    def _forget_early(self, batch: Batch) -> None:
        """The inbox was read to its end: what was given back and is not held there is over."""
        early, self._early = self._early, {}
        for claimant, limit in early.items():
            row = limit.freed.pop(claimant, None)
            if row is not None:
                self._rows.pop(row, None)
                batch.inbox_done.append(row)

    def _strike(self, limit: _Limit, claimant: Claimant, batch: Batch) -> bool:
        row = limit.rows.pop(claimant, None)
        if row is None:
            return False
        self._rows.pop(row, None)
        batch.inbox_done.append(row)
        return True


def _told(claim: Claim, at: float) -> InboxRow:
    body = encode(Granted(claim.generation, claim.task, claim.map, claim.attempt))
    return InboxRow(0, claim.part, claim.run, GRANTED, body, at)
