"""The inboxes of an engine's parts: commands, news from other runs, claims on limits and workers that are to leave, in the order in which they came."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from headrace.engine.core.events import RerunAsked, SlotsGranted, Started
from headrace.engine.core.states import RunState
from headrace.engine.ports.pools import POOLS
from headrace.engine.ports.store import InboxRow, StoreUnavailable
from headrace.engine.ports.waits import SIGNAL
from headrace.engine.shell.aside import ASIDE, holds
from headrace.engine.shell.claims import GRANTED, LEDGER, granted
from headrace.engine.shell.commands import COMMANDS, Refused, event_of, onto
from headrace.engine.shell.draining import DRAIN, Drains
from headrace.engine.shell.history import Refusal
from headrace.engine.shell.ledger import Ledger
from headrace.engine.shell.line import Entry
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.loading import Loader
from headrace.engine.shell.part import Part, Turn
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.pools import Sizes, Slots
from headrace.engine.shell.reach import Reach

_logger = logging.getLogger(__name__)


class Mailbox:
    """Reads inboxes into turns. `sizes`: slots of pools, learned again whenever somebody has changed them; `rows`: read of one
    part in one turn, at most."""

    def __init__(
        self,
        store: PatientStore,
        loader: Loader,
        reach: Reach,
        sizes: Sizes,
        pools: Slots,
        *,
        rows: int,
    ) -> None:
        self._store = store
        self._loader = loader
        self._reach = reach
        self._sizes = sizes
        self._pools = pools
        self._rows = rows
        self._reread: set[Part] = set()

    async def read(self, turn: Turn, parts: Sequence[Part]) -> None:
        """What has come for these parts: one query, and one for the runs that are not in memory. What cannot join this turn
        stays where it is for the next."""
        after = {part.number: part.inbox_after for part in parts}
        self._reread.clear()
        for part in parts:
            part.inbox_due = False  # before reading: who writes meanwhile says so again
        if len(parts) == 1:
            found = await self._store.inbox(parts[0].number, parts[0].inbox_after, self._rows)
        else:
            found = await self._store.inboxes(after, self._rows)
        pages: dict[int, list[InboxRow]] = {part.number: [] for part in parts}
        for row in found:
            pages[row.part].append(row)
        wanted: dict[int, Part] = {}
        reached: dict[int, list[InboxRow]] = {}
        for part in parts:
            rows = reached[part.number] = [
                row for row in pages[part.number] if await self._reached(part, row)
            ]
            wanted.update((row.run, part) for row in rows if row.run is not None)
        if wanted:
            await self._loader.load(turn, wanted)
            self._grant(turn, self._pools.settle())
        if any(_asks_for_sizes(part, rows) for part, rows in zip(parts, reached.values(), strict=True)):
            await self._learn(turn, parts)
        for part in parts:
            page = pages[part.number]
            if page:
                postponed = await self._take(part, turn, reached[part.number])
                part.inbox_after = page[-1].id if postponed is None else postponed - 1
                if postponed is not None or len(page) == self._rows:
                    part.inbox_due = True
            if part in self._reread:
                part.read_again()
            if part.ledger is not None and len(page) < self._rows:
                part.ledger.grant(part.number, turn.portion(part).batch)

    async def _take(self, part: Part, turn: Turn, rows: list[InboxRow]) -> int | None:
        """Carry out what is there. Answers with the first row that has to wait for the next turn."""
        portion = turn.portion(part)
        batch = portion.batch
        postponed: int | None = None
        for row in rows:
            if row.kind in LEDGER:
                if part.ledger is None:
                    part.ledger = Ledger(self._sizes)
                part.ledger.read(row, batch)
                continue
            if row.kind == POOLS:
                batch.inbox_done.append(row.id)
                continue
            if row.kind == DRAIN:
                if part.drains is None:
                    part.drains = Drains()
                part.drains.read(row, batch, turn.mono)
                continue
            if row.kind == ASIDE:
                if not holds(row, part):
                    batch.inbox_done.append(row.id)
                continue
            live = None if row.run is None else part.runs.get(row.run)
            if live is None:
                if row.run in part.broken and row.kind not in COMMANDS:
                    continue  # nobody says it again: it stays until the run is decided again
                if row.kind not in (GRANTED, SIGNAL):  # the run has ended meanwhile, and waits for nothing
                    _logger.warning("inbox row %d (%s) concerns no run that can be decided", row.id, row.kind)
                batch.inbox_done.append(row.id)
            elif await self._command(turn, live, row):
                if row.kind in COMMANDS:
                    portion.done(live.no, row.id)
                else:
                    portion.told(live.no, row.id)
            elif postponed is None:
                postponed = row.id
        return postponed

    async def _learn(self, turn: Turn, parts: Sequence[Part]) -> None:
        """Read the sizes of pools, and grant what fits them."""
        self._sizes.learn(await self._store.pools())
        for part in parts:
            if part.ledger is not None:
                part.ledger.resized()
        self._grant(turn, self._pools.resized())

    def _grant(self, turn: Turn, granted: Sequence[Entry]) -> None:
        for run, key in granted:
            if (live := self._loader.live(run)) is not None:
                turn.add(live, SlotsGranted(turn.now, key))

    async def _reached(self, part: Part, row: InboxRow) -> bool:
        if row.run is None:
            return True
        if row.kind in COMMANDS:
            taken = await self._reach.take_up(row.run)
            if taken:
                part.to_load.extend(taken)
                self._reread.add(part)
        return await self._reach.includes(row.run)

    async def _command(self, turn: Turn, live: LiveRun, row: InboxRow) -> bool:
        """Whether the row is dealt with in this turn."""
        if row.kind == "start":
            return True  # loading has done it
        if row.kind == GRANTED:
            return _granted(turn, live, row)
        command = row.kind in COMMANDS
        if live.alone or (command and live.commanded):
            return False
        try:
            event = event_of(row, live, turn.now, await onto(row, live, self._store, self._loader.plans))
        except StoreUnavailable:
            raise
        except Exception as refused:
            if not isinstance(refused, Refused):  # a fault of ours; the command must not come back for ever
                _logger.exception("inbox row %d (%s) cannot be read", row.id, row.kind)
            live.refused.append(Refusal(row.kind, by_of(row), str(refused), row.id))
            turn.touched[live] = None
            return True
        if isinstance(event, RerunAsked):
            if turn.events.get(live):
                return False
            live.alone = True
        live.commanded = live.commanded or command
        turn.add(live, event)
        return True


def _asks_for_sizes(part: Part, rows: Sequence[InboxRow]) -> bool:
    """Whether sizes have changed, or this part begins to grant."""
    return any(row.kind == POOLS or (part.ledger is None and row.kind in LEDGER) for row in rows)


def _granted(turn: Turn, live: LiveRun, row: InboxRow) -> bool:
    """Whether the grant is dealt with: it counts for a run that still waits for it."""
    if live.alone:
        return False
    try:
        event = granted(row, live, turn.now)
    except msgspec.MsgspecError as wrong:
        _logger.error("inbox row %d (%s) cannot be read: %s", row.id, row.kind, wrong)
        return True
    if event is not None and (not isinstance(event, Started) or live.machine.status.state is RunState.QUEUED):
        turn.add(live, event)
    return True


def by_of(row: InboxRow) -> str:
    """Who gave a command, as far as its body says so."""
    try:
        body = msgspec.json.decode(row.body)
    except msgspec.DecodeError:
        return "unknown"
    by = body.get("by") if isinstance(body, dict) else None
    return by if isinstance(by, str) else "unknown"
