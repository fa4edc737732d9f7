"""Who holds what of the limits of a home part's projects: its inbox is the ledger.

A claim stays in the inbox as long as it counts: `slots_wanted` until it is granted, then, from the same batch on,
`slots_held` until it is freed. So whoever owns the part reads the whole state back from there, and a grant can neither be
lost nor be given twice. `slots_freed` waits for the `slots_held` that it ends, which may have been written after it. Who goes
next, `core.limits` says (of runs the oldest, of task runs of one class who asked first).
"""

from __future__ import annotations

import logging

import msgspec

from headrace.engine.core.limits import Limits
from headrace.engine.ports.store import Batch, InboxRow
from headrace.engine.shell.admission import cancel_row
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
from headrace.engine.shell.pools import Sizes

_logger = logging.getLogger(__name__)

Claimant = tuple[int, int, int, int]
_POOL = "pool:"


class Ledger:
    """The limits of one home part. `sizes`: slots of pools.

    Nothing is granted before the inbox was read to its end: until then it is not known who holds what.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._limits: Limits[Claimant] = Limits(lambda name: sizes.of((name[0], name[1].removeprefix(_POOL))))
        self._claims: dict[Claimant, Claim] = {}  # who waits or holds
        self._rows: dict[Claimant, int] = {}  # the inbox row in which the claim stands, once it was read
        self._freed: dict[
            Claimant, int
        ] = {}  # the row that frees it, where the one that holds it is still to be read
        self._kept: set[int] = set()  # rows that were read and stay in the inbox
        self._early: dict[Claimant, None] = {}  # freed before the inbox was read to its end
        self._complete = False  # whether the inbox was read to its end once

    def read(self, row: InboxRow, batch: Batch) -> None:
        """Take in a claim. What has had its effect is deleted with `batch`; the rest stays in the inbox."""
        if row.id in self._kept:
            return
        try:
            claim = read_claim(row.body)
        except msgspec.MsgspecError as wrong:
            _logger.error("inbox row %d (%s) cannot be read: %s", row.id, row.kind, wrong)
            batch.inbox_done.append(row.id)
            return
        if row.kind == FREED:
            self._free(claim.claimant, row.id, batch)
        elif row.kind == HELD:
            self._hold(claim, row.id, batch)
        elif row.kind == WANTED:
            self._want(claim, row.id, batch)

    def grant(self, part: int, batch: Batch) -> None:
        """The inbox was read to its end: grant what fits now, told with `batch`."""
        self._complete = True
        self._forget_early(batch)
        granted, cancelled = self._limits.settle()
        for claimant, share, _ in cancelled:
            claim = self._claims[claimant]
            if not self._limits.holds(claimant):
                del self._claims[claimant]
                self._strike(claimant, batch)
            batch.inbox_new.append(cancel_row(claim.part, claim.run, share, batch.at))
        for claimant in granted:
            claim = self._claims[claimant]
            self._strike(claimant, batch)
            batch.inbox_new.append(InboxRow(0, part, None, HELD, encode(claim), batch.at))
            batch.inbox_new.append(_told(claim, batch.at))

    def resized(self) -> None:
        """Sizes of pools have changed: the next grants go by them. One that is too full by now grants nothing until it is not."""
        self._limits.resized()

    def used(self, project: str, limit: str) -> int:
        """How much of a limit is held."""
        return self._limits.used((project, limit))

    def _want(self, claim: Claim, row: int, batch: Batch) -> None:
        claimant = claim.claimant
        self._limits.want(
            claimant, claim.wanted, claim.priority, claim.run if claim.task == RUN_ITSELF else row
        )
        if self._limits.holds(claimant):  # asked again by a new owner, who may have missed the answer
            batch.inbox_done.append(row)
            batch.inbox_new.append(_told(claim, batch.at))
            return
        again = claimant in self._claims
        self._claims[claimant] = claim
        if again:
            batch.inbox_done.append(row)
        else:
            self._rows[claimant] = row
            self._kept.add(row)

    def _hold(self, claim: Claim, row: int, batch: Batch) -> None:
        """A grant of ours, or of an earlier owner, or a place that is taken without asking."""
        claimant = claim.claimant
        freed = self._freed.pop(claimant, None)
        if freed is not None:  # it was given back before this was read
            self._kept.discard(freed)
            self._early.pop(claimant, None)
            batch.inbox_done += (row, freed)
            return
        if self._limits.holds(claimant):
            if claimant in self._rows:
                batch.inbox_done.append(row)  # it stands there already
                return
        else:
            self._strike(claimant, batch)  # where it waits
            self._limits.hold(claimant, claim.wanted, claim.run)
            self._claims[claimant] = claim
        self._rows[claimant] = row
        self._kept.add(row)

    def _free(self, claimant: Claimant, row: int, batch: Batch) -> None:
        """The row stays as long as one that holds the claim may stand behind it: whoever reads both after us must not take what
        was given back for held. Behind a claim that still waits there may be one too, of an owner before us, until the inbox
        was read to its end."""
        held = self._limits.free(claimant)
        self._claims.pop(claimant, None)
        struck = self._strike(claimant, batch)
        if claimant in self._freed or (struck if held else self._complete):
            batch.inbox_done.append(row)
            return
        self._freed[claimant] = row
        self._kept.add(row)
        if not self._complete:
            self._early[claimant] = None

    def _forget_early(self, batch: Batch) -> None:
        """The inbox was read to its end: what was given back and is not held there is over."""
        early, self._early = self._early, {}
        for claimant in early:
            row = self._freed.pop(claimant, None)
            if row is not None:
                self._kept.discard(row)
                batch.inbox_done.append(row)

    def _strike(self, claimant: Claimant, batch: Batch) -> bool:
        row = self._rows.pop(claimant, None)
        if row is None:
            return False
        self._kept.discard(row)
        batch.inbox_done.append(row)
        return True


def _told(claim: Claim, at: float) -> InboxRow:
    body = encode(Granted(claim.generation, claim.task, claim.map, claim.attempt))
    return InboxRow(0, claim.part, claim.run, GRANTED, body, at)
