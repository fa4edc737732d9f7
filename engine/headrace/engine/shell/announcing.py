"""Telling others what happens to runs: after the commit, and again from history where an engine may have died before it told.

The topic itself says how far it was told. Whoever takes over a part looks at the partition's last event and tells what the
history of that part's runs says since then, and a little before, because clocks differ; only then what it commits itself. So an event
may come twice and none is left out. Nothing of this makes the engine wait: while too much is unacknowledged, or while a part is
still being caught up with, its events are left to history.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import msgspec

from headrace.engine.core.decision import Decision
from headrace.engine.core.states import RunState
from headrace.engine.ports.announcing import Announced, CloudEvent, Outlet
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.store import HistoryRow, RunRow, StoreUnavailable
from headrace.engine.shell import history
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.rows import generations_of
from headrace.engine.shell.times import rfc3339
from headrace.engine.shell.views import Change, Changes

if TYPE_CHECKING:
    from headrace.engine.ports.team import TeamStore

LOOK_EVERY = 1.0
"""Seconds between looks for parts that came."""
MARGIN = 60.0
"""Seconds before the last event from which on history is told again: what clocks may differ, and a commit may have taken."""
PAGE = 200
KNOWN = 10_000
"""Runs that are remembered while history is told: an outage may have been long."""
HELD = 32 * 1024 * 1024
"""Bytes unacknowledged, or waiting for a part to be caught up with, beyond which events are left to history."""

_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger(__name__)


def plan_hash(row: RunRow, generation: int) -> str:
    """The plan of a run in one of its generations: a rerun may go on with another version."""
    moves = [(each.number, each.moved) for each in generations_of(row.generations) if each.moved is not None]
    for since, moved in reversed(moves):
        if since <= generation:
            return moved.plan
    return moves[0][1].from_plan if moves else row.plan


class Owner(Protocol):
    """The engine."""

    @property
    def epochs(self) -> Mapping[int, int]:
        """The parts that it owns now, each with the epoch of its ownership."""


class _Part:
    """A part of ours, from one taking over to the next."""

    __slots__ = ("epoch", "missed", "size", "states", "told", "waiting")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.told = False  # history was told: from now on events go out as they come
        self.missed = False  # some were left to history since it was last read
        self.states: dict[int, RunState] = {}  # of live runs that moved, as they were last told
        self.waiting: list[tuple[int, int, str, list[bytes]]] = []  # run, seq, its id, events
        self.size = 0


class Announcer:
    """Attached to one engine (`Engine.show`); `run` beside it.

    Args:
        outlet: where events go.
        store: where history is.
        plans: the engine's.
        owner: the engine; says which parts are its own.
        held: see HELD.
    """

    def __init__(
        self, outlet: Outlet, store: TeamStore, plans: Plans, owner: Owner, *, held: int = HELD
    ) -> None:
        self._outlet, self._store, self._plans, self._owner = outlet, store, plans, owner
        self._held = held
        self._parts: dict[int, _Part] = {}
        self._due = asyncio.Event()

    # -- after each turn ---------------------------------------------------------------------------------------------

    def turned(self, committed: Sequence[LiveRun], runs: Mapping[int, LiveRun]) -> None:
        """As Onlooker: tell what was committed."""
        for live in committed:
            part = self._part(live.part.number, live.part.epoch)
            before = part.states.pop(live.no, None) or RunState(live.row.state)
            change = live.decision.run
            after = before if change is None else RunState(change.state)
            if not live.machine.final:
                part.states[live.no] = after
            if part.missed:
                continue
            events = _events(live.row, live.seq, live.decision.generation, _moves(live, before))
            size = sum(map(len, events))
            if part.told and self._outlet.held + size <= self._held:
                self._send(live.part.number, live.row.id, events)
            elif not part.told and part.size + size <= self._held:
                part.waiting.append((live.no, live.seq, live.row.id, events))
                part.size += size
            else:
                self._leave(part)

    def _part(self, number: int, epoch: int) -> _Part:
        part = self._parts.get(number)
        if part is None or part.epoch != epoch:
            part = self._parts[number] = _Part(epoch)
            self._due.set()
        return part

    def _leave(self, part: _Part) -> None:
        """To history: it will be read once there is room."""
        part.missed, part.told = True, False
        part.waiting.clear()
        part.size = 0
        self._due.set()

    def _send(self, part: int, run: str, events: Iterable[bytes]) -> None:
        for event in events:
            self._outlet.send(part, run, event)

    # -- from history ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            owned = self._owner.epochs
            for number in [number for number in self._parts if number not in owned]:
                del self._parts[number]
            for number, epoch in owned.items():
                part = self._part(number, epoch)
                try:
                    if not part.told:
                        await self._catch_up(number, part)
                except (StoreUnavailable, BrokerUnavailable) as problem:
                    _logger.info("events of part %d wait: %s", number, problem)
                except Exception:  # one part's damage must not silence the others
                    _logger.exception(
                        "the history of part %d cannot be told; its events go on from now", number
                    )
                    self._go_on(number, part, {})
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._due.wait()
            except TimeoutError:
                continue
            self._due.clear()

    async def _catch_up(self, number: int, part: _Part) -> None:
        """Tell the part's history since its partition's last event, then what waited meanwhile."""
        await self._outlet.room(self._held // 2)
        last = await self._outlet.last(number)
        part.missed = False
        told: dict[int, int] = {}
        if last is not None:
            since = _time_of(last) - MARGIN
            teller = _Teller(self._store, self._plans)
            after: tuple[float, int, int] | None = None
            while rows := await self._store.history_since(number, since, after, PAGE):
                for row in rows:
                    run, events = await teller.events(row)
                    if run is not None:
                        self._send(number, run, events)
                    told[row.run] = row.seq
                after = (rows[-1].at, rows[-1].run, rows[-1].seq)
                await self._outlet.room(self._held // 2)
                if self._parts.get(number) is not part:
                    return
        if not part.missed:
            self._go_on(number, part, told)

    def _go_on(self, number: int, part: _Part, told: Mapping[int, int]) -> None:
        for no, seq, run, events in part.waiting:
            if seq > told.get(no, 0):
                self._send(number, run, events)
        part.waiting.clear()
        part.size = 0
        part.told, part.missed = True, False


class _Teller:
    """Rows of history as events, the runs of which are read as they are met."""

    def __init__(self, store: TeamStore, plans: Plans) -> None:
        self._store, self._plans = store, plans
        self._runs: OrderedDict[int, tuple[RunRow, RunState] | None] = OrderedDict()
        """The runs met of late, the last one last: what is forgotten is read again."""

    async def events(self, row: HistoryRow) -> tuple[str | None, list[bytes]]:
        """The run's id (None: it is gone) and the events. Raises StoreUnavailable."""
        known = self._runs[row.run] if row.run in self._runs else await self._begun(row)
        self._runs.move_to_end(row.run)
        while len(self._runs) > KNOWN:
            self._runs.popitem(last=False)
        if known is None:
            return None, []
        run, before = known
        recorded = history.decode(row.body, history.NoContent())
        try:
            plan = (await self._plans.get(plan_hash(run, recorded.generation))).plan
        except PlanMissing as problem:
            _logger.warning("events of run %s are left out: %s", run.id, problem)
            self._runs[row.run] = None
            return None, []
        moves = Changes(plan, before).recorded(recorded)
        if recorded.run is not None:
            self._runs[row.run] = (run, RunState(recorded.run["state"]))
        return run.id, _events(run, row.seq, recorded.generation, moves)

    async def _begun(self, row: HistoryRow) -> tuple[RunRow, RunState] | None:
        """The run, and the state in which it was before the row."""
        run, state, seq = await self._store.run(row.run), RunState.QUEUED, 0
        while run is not None and seq < row.seq - 1:
            earlier = await self._store.history(row.run, seq, min(PAGE, row.seq - 1 - seq))
            if not earlier:
                break
            for each in earlier:
                change = history.decode(each.body, history.NoContent()).run
                state = state if change is None else RunState(change["state"])
            seq = earlier[-1].seq
        found = self._runs[row.run] = None if run is None else (run, state)
        return found


def _moves(live: LiveRun, before: RunState) -> list[Change]:
    decision: Decision = live.decision
    return Changes(live.using.plan, before).decided(decision)


def _events(row: RunRow, seq: int, generation: int, moves: Iterable[Change]) -> list[bytes]:
    source = f"/headrace/{quote(row.project, safe='')}"
    made = []
    for place, (at, task, before, after, reason, attempt) in enumerate(moves, start=1):
        made.append(
            _encode(
                CloudEvent(
                    f"{row.id}/{seq}/{place}",
                    source,
                    f"headrace.{'run' if task is None else 'task'}.{after}",
                    row.id if task is None else f"{row.id}/{task}",
                    rfc3339(at),
                    Announced(
                        row.project,
                        row.id,
                        row.workflow,
                        row.version,
                        generation,
                        seq,
                        task,
                        before,
                        after,
                        reason,
                        attempt,
                    ),
                )
            )
        )
    return made


_time = msgspec.json.Decoder(CloudEvent).decode


def _time_of(event: bytes) -> float:
    """When that happened; 0.0 for what is no event of ours, so that all of history is told again."""
    try:
        return datetime.fromisoformat(_time(event).time).timestamp()
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return 0.0
