"""Slots and places that are asked for across engines: a run's part asks, the home part of its project grants.

A *claim* is what one task run wants of a pool, or one run of its workflow's `active_runs` and concurrency keys. It travels as an inbox row in the
batch that causes it: `slots_wanted` and `slots_freed` go to the home part, `slots_granted` comes back. What is done here is
the asking; the home part's side is `ledger`. docs/design/protocol.md, E10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.engine.core.events import Event, SlotsGranted, Started
from headrace.engine.core.keys import Key
from headrace.engine.core.limits import QUEUE, Share
from headrace.engine.core.states import RunState
from headrace.engine.ports.pools import PoolName
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.admission import Admission
from headrace.engine.shell.children import part_of
from headrace.engine.shell.line import Entry
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.timers import Timers

if TYPE_CHECKING:
    from headrace.engine.shell.holdings import Holdings

WANTED, HELD, FREED, GRANTED = "slots_wanted", "slots_held", "slots_freed", "slots_granted"
LEDGER = frozenset((WANTED, HELD, FREED))
"""What the home part reads; `slots_granted` is for the run."""

RUN_ITSELF = -1
"""The task index of a claim for a whole run."""


class More(msgspec.Struct, frozen=True, array_like=True):
    """One share of several that are taken at once."""

    limit: str
    value: str | None
    size: int | None
    strategy: str = QUEUE


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """`limit`: `pool:name`, or `runs:workflow`; `size`: what the limit is, where the claimant knows it. (run, generation, task,
    map) names the claimant, who lives in `part`; `attempt`: the one for which it asks, which the answer names again. `shares`: where
    there are concurrency keys, all that it takes, in place of `limit` and `size`."""

    project: str
    limit: str
    part: int
    run: int
    generation: int
    task: int
    map: int
    cost: int = 1
    priority: int = 1
    size: int | None = None
    attempt: int | None = None
    shares: tuple[More, ...] = ()

    @property
    def wanted(self) -> tuple[Share, ...]:
        """What it takes, all or nothing."""
        if not self.shares:
            return (Share((self.project, self.limit), self.cost, self.size),)
        return tuple(
            Share(
                (self.project, more.limit) if more.value is None else (self.project, more.limit, more.value),
                1,
                more.size,
                more.strategy,
            )
            for more in self.shares
        )

    @property
    def claimant(self) -> tuple[int, int, int, int]:
        return self.run, self.generation, self.task, self.map


class Granted(msgspec.Struct, frozen=True):
    """The body of `slots_granted`."""

    generation: int
    task: int
    map: int
    attempt: int | None = None


encode = msgspec.json.Encoder().encode
read_claim = msgspec.json.Decoder(Claim).decode
_read_granted = msgspec.json.Decoder(Granted).decode


def granted(row: InboxRow, live: LiveRun, at: float) -> Event | None:
    """The event that a grant means; None for one of an earlier generation. Raises msgspec.MsgspecError."""
    body = _read_granted(row.body)
    if body.task == RUN_ITSELF:
        return Started(at)
    if body.generation != live.machine.generation:
        return None
    return SlotsGranted(at, Key(body.task, body.map), body.attempt)


class Claims:
    """Where claims are posted: with the run's part, for the next batch of it. `parts`: of all engines."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self.parts = 1

    def post(self, live: LiveRun, kind: str, claim: Claim) -> None:
        home = part_of(claim.project, self.parts)
        self.leave(live, InboxRow(0, home, None, kind, encode(claim), 0.0))

    def leave(self, live: LiveRun, row: InboxRow) -> None:
        """A row for the next batch of the run's part."""
        self._holdings.posts.append((live, row))


class ClaimedPools:
    """`Slots` of pools that the home part grants. Nothing is granted at once, and nothing is kept here: a request stands in the
    home part's inbox, a grant comes through the run's own, and whoever loads a run that waits asks for it again."""

    def __init__(self, holdings: Holdings, claims: Claims) -> None:
        self._holdings = holdings
        self._claims = claims

    def request(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> list[Entry]:
        self._post(WANTED, pool, entry, cost, priority)
        return []

    def release(self, pool: PoolName, entry: Entry) -> list[Entry]:
        self._post(FREED, pool, entry)
        return []

    def want(self, pool: PoolName, entry: Entry, cost: int, priority: int) -> None:
        """Asked again, for a task run that was loaded: the answer may have reached its last owner, who died with it. The home part
        takes a claim only once."""
        self._post(WANTED, pool, entry, cost, priority)

    def take(self, pool: PoolName, entry: Entry, cost: int) -> None:
        """The home part knows."""

    def settle(self) -> list[Entry]:
        return []

    def forget(self, run: int) -> list[Entry]:
        """A run that ended has freed what it held. One that is set aside keeps it: its attempts may still run, and whoever
        decides it next goes on with what the home part knows."""
        return []

    def resized(self) -> list[Entry]:
        """The home part knows."""
        return []

    def reset(self) -> None:
        """There is nothing to forget."""

    def _post(self, kind: str, pool: PoolName, entry: Entry, cost: int = 1, priority: int = 1) -> None:
        run, key = entry
        live = self._holdings.runs[run]
        claim = Claim(
            pool[0],
            f"pool:{pool[1]}",
            live.part.number,
            run,
            live.machine.generation,
            key.task,
            key.map,
            cost,
            priority,
            attempt=live.machine.attempt_of(key),
        )
        self._claims.post(live, kind, claim)


class ClaimedAdmission(Admission):
    """Places and keys that the home part grants. Who loads a queued run asks again: the home part takes a claim only once."""

    def __init__(self, timers: Timers, claims: Claims) -> None:
        super().__init__(timers, claims.leave)
        self._claims = claims
        self._counted: set[int] = set()  # runs of which the home part knows that they are active

    def ask(self, live: LiveRun) -> list[LiveRun]:
        if not live.shares:
            return [live]
        self._claim(live, WANTED)
        self._counted.add(live.no)
        self._set_deadline(live)
        return []

    def started(self, live: LiveRun) -> None:
        if live.machine.status.started_at is None:
            self._set_deadline(live)
            self._free(live)
        else:
            self._counted.add(live.no)

    def changed(self, live: LiveRun) -> list[LiveRun]:
        status = live.machine.status
        if status.started_at is None:
            if status.state is RunState.QUEUED:
                return [] if live.no in self._counted else self.ask(live)
            self._set_deadline(live)
            self._free(live)
        elif live.no not in self._counted and live.shares:  # it runs again, and does not wait for a place
            self._counted.add(live.no)
            self._claim(live, HELD)
        return []

    def left(self, live: LiveRun) -> list[LiveRun]:
        self._counted.discard(live.no)
        return []

    def ended(self, live: LiveRun) -> None:
        """The run is final with the batch in the making, which frees its place."""
        self._free(live)

    def reset(self) -> None:
        self._counted.clear()

    def _free(self, live: LiveRun) -> None:
        self._counted.discard(live.no)
        if live.shares:
            self._claim(live, FREED)

    def _claim(self, live: LiveRun, kind: str) -> None:
        first, *others = live.shares
        keyed = others or len(first.name) > 2
        claim = Claim(
            live.row.project,
            first.name[1],
            live.part.number,
            live.no,
            0,
            RUN_ITSELF,
            0,
            priority=0,
            size=first.size,
            shares=tuple(_more(share) for share in live.shares) if keyed else (),
        )
        self._claims.post(live, kind, claim)


def _more(share: Share) -> More:
    return More(share.name[1], share.name[2] if len(share.name) > 2 else None, share.size, share.strategy)
