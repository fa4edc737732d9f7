"""Reacting to decisions: what they say is carried to the fleet, the line, the pools, the timers and the outbox.

Nothing leaves the engine here: all of it is part of the turn, and is sent once the turn is committed. The answers that
exist at once (a slot granted, a child refused, a place with a worker) become the next round's events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import cast

from headrace.engine.core.decision import (
    Abort,
    Await,
    Awaited,
    CancelChild,
    ClearTimers,
    DeadLetter,
    Effect,
    ReleaseSlots,
    RequestSlots,
    Send,
    SetTimer,
    StartChild,
    StoreCache,
)
from headrace.engine.core.events import ChildEnded, ChildRefused, Event, Picked, SlotsGranted
from headrace.engine.core.keys import Key
from headrace.engine.core.states import TaskState
from headrace.engine.ports.store import Batch, StoreUnavailable
from headrace.engine.shell.children import CannotStart, Children, Resolved, refusal
from headrace.engine.shell.deciding import Failure
from headrace.engine.shell.flights import Flight, Member, spread
from headrace.engine.shell.line import Entry
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Portion, Turn
from headrace.engine.shell.plans import Plans, Profile
from headrace.engine.shell.rows import cache_row, dead_letter

# plain integers: transitions hold such, and are compared by the thousand
_DISPATCHED, _RUNNING, _QUEUED = map(int, (TaskState.DISPATCHED, TaskState.RUNNING, TaskState.QUEUED))
_IN_FLIGHT = frozenset((_DISPATCHED, _RUNNING))
_new = tuple.__new__


class Reactor:
    """Carries out the effects of decisions, and fills the workers from the line."""

    def __init__(
        self,
        memory: Memory,
        children: Children,
        plans: Plans,
        *,
        picked: int,
    ) -> None:
        self._fleet = memory.fleet
        self._line = memory.line
        self._pools = memory.pools
        self._holdings = memory.holdings
        self._lookout = memory.lookout
        self._children = children
        self._plans = plans
        self._picked = picked
        self._resolved: Resolved = {}

    async def react(self, turn: Turn, lives: list[LiveRun]) -> list[Failure]:
        """Take in what the runs have decided since the last round; further events go to the turn.

        Answers with the runs whose effects cannot be carried out.
        """
        self._resolved.clear()
        failures: list[Failure] = []
        for live in lives:
            try:
                decision = live.decision
                effects = live.new_effects() if decision.effects else ()
                if Abort in map(type, effects):
                    self._stop(live, turn, effects)
                returned = self._moved(live, turn)
                if decision.ready or decision.withdrawn:
                    self._lined(live, returned)
                if effects:
                    portion = turn.portion(live.part)
                    for kind, alike in groupby(effects, type):
                        if kind is Send:
                            self._send(live, turn, portion, cast("Iterator[Send]", alike))
                        else:
                            for effect in alike:
                                await self._other(live, turn, portion, effect)
            except StoreUnavailable:
                raise
            except Exception as fault:
                failures.append(Failure(live, fault))
        return failures

    def _stop(self, live: LiveRun, turn: Turn, effects: Iterable[Effect]) -> None:
        """Before anything lands: a task run that a person declares to have ended does so at once, and its attempt is to be
        stopped all the same."""
        outbox = turn.portion(live.part).outbox
        for effect in effects:
            if isinstance(effect, Abort):
                flight = self._fleet.flights.get((live.no, effect.key))  # None: it is over already
                if flight is not None and self._fleet.stop(flight, effect, turn.mono):
                    outbox.abort(live, flight, effect.grace)

    def _moved(self, live: LiveRun, turn: Turn) -> set[Key] | None:
        """Flights that started or landed. Answers with what was handed back: it goes to the head of the line."""
        fleet, no = self._fleet, live.no
        returned: set[Key] | None = None
        for _, key, before, after, _, _ in live.new_transitions():
            if before in _IN_FLIGHT:
                if after == _RUNNING:
                    flight = fleet.flights.get((no, key))
                    if flight is not None:
                        flight.running = True
                        flight.seen_at = turn.mono
                else:
                    fleet.landed((no, key))
                    if after == _QUEUED:
                        returned = returned or set()
                        returned.add(key)
        return returned

    def _lined(self, live: LiveRun, returned: set[Key] | None) -> None:
        """Into the line and out of it."""
        no, line = live.no, self._line
        ready = live.new_ready()
        if ready:
            profile: Profile | None = None
            entries: list[Entry] = []
            first: list[Entry] = []
            for key, _ in ready:
                shared = live.profile(key.task, line)
                if shared is not profile:  # tasks that say the same go in together
                    if profile is not None:
                        self._push(live, profile, entries, first)
                    profile, entries, first = shared, [], []
                if returned is not None and key in returned:
                    first.append((no, key))
                else:
                    entries.append((no, key))
            if profile is not None:
                self._push(live, profile, entries, first)
        if live.decision.withdrawn:
            line.withdraw(live.new_withdrawn())

    def _push(self, live: LiveRun, profile: Profile, entries: list[Entry], first: list[Entry]) -> None:
        lane, priority = profile.lane, live.priority(profile)
        if entries:
            lane.push(priority, live.tenant, entries)
        if first:
            lane.push(priority, live.tenant, first, front=True)

    def _send(self, live: LiveRun, turn: Turn, portion: Portion, sends: Iterable[Send]) -> None:
        """Attempts of one run that follow upon each other in its decision."""
        fleet, line, outbox, mono, no = self._fleet, self._line, portion.outbox, turn.mono, live.no
        part, generation = portion.part.number, live.decision.generation
        profiles = live.using.profiles
        name, member = None, None
        for effect in sends:
            key, attempt, epoch, n, worker, _ = effect
            if worker != name:
                name, member = worker, fleet.member(worker)
            profile = profiles.get(key.task) or live.profile(key.task, line)
            if member is not None:
                fleet.sent(Flight(part, (no, key), attempt, epoch, n, member, profile, mono, generation))
                outbox.send(live, effect, member, profile)
            else:  # forgotten meanwhile, and nobody knows its inbox: a sweep finds it silent, or its beat comes
                unknown = Member(worker, None, mono)
                flight = Flight(part, (no, key), attempt, epoch, n, unknown, profile, mono, generation)
                fleet.restore(flight, worker, False, mono)

    async def _other(self, live: LiveRun, turn: Turn, portion: Portion, effect: Effect) -> None:
        no, batch, timers = live.no, portion.batch, self._holdings.timers
        match effect:
            case SetTimer(key, kind, due_at):
                timers.set(no, live.decision.generation, key, kind, due_at)
                live.timed[key] = None
            case ClearTimers(key):
                timers.clear(no, key, batch)
            case RequestSlots(key, pool, cost):
                named = live.row.project, pool
                self._grant(turn, self._pools.request(named, (no, key), cost, self._priority(live, key)))
            case ReleaseSlots(key, pool, _):
                self._grant(turn, self._pools.release((live.row.project, pool), (no, key)))
            case StartChild():
                await self._start(live, turn, batch, effect)
            case CancelChild():
                command = await self._children.stop(live, effect, turn.now)
                if command is not None:
                    portion.post(no, command)
            case Await():
                self._lookout.begun(live, effect, batch)
            case Awaited(key):
                self._lookout.ended(live, key, batch)
            case StoreCache():
                portion.cache(no, cache_row(live.row.project, effect))
            case DeadLetter():
                named = (live.row.workflow, live.using.plan.ids[effect.key.task])
                batch.dead.append(dead_letter(no, live.decision.generation, turn.now, effect, *named))

    def _priority(self, live: LiveRun, key: Key) -> int:
        return live.priority(live.profile(key.task, self._line))

    def _grant(self, turn: Turn, granted: list[Entry]) -> None:
        for run, key in granted:
            live = self._holdings.runs.get(run)
            if live is not None:
                turn.add(live, SlotsGranted(turn.now, key))

    async def _start(self, live: LiveRun, turn: Turn, batch: Batch, effect: StartChild) -> None:
        key = effect.key
        try:
            child = await self._children.start(live, effect, turn.now, self._resolved)
        except CannotStart as refused:
            turn.add(live, ChildRefused(turn.now, key, refusal(key, refused)))
            return
        batch.runs_new.append(child.run)
        self._plans.offer(child.plan)
        row = live.decision.rows.get(key)
        if row is not None:
            row.child = child.run.id
        if not effect.wait:
            turn.add(live, ChildEnded(turn.now, key, child.run.id, "succeeded", None))

    # -- the line ------------------------------------------------------------------------------------------------

    def pick(self, turn: Turn) -> bool:
        """Give what waits to workers with room. Answers whether some was left for which there is room."""
        line, runs, now = self._line, self._holdings.runs, turn.now
        if not len(line):
            return False
        lanes = line.lanes()
        promised: dict[Member, int] = {}  # to lanes that came before
        for lane in lanes:
            members = self._fleet.room(lane, turn.mono)
            if promised:
                members = [
                    (member, left) for member, room in members if (left := room - promised.get(member, 0)) > 0
                ]
            if not members:
                continue
            budget = self._picked - turn.picked
            if budget <= 0:
                return True
            room = sum(room for _, room in members)
            entries = lane.pick(min(room, budget))
            turn.picked += len(entries)
            at = 0
            deferred: list[Entry] = []
            for member, count in spread(members, len(entries)):
                worker = member.worker
                if len(lanes) > 1:
                    promised[member] = promised.get(member, 0) + count
                last, events = -1, list[Event]()
                for entry in entries[at : at + count]:
                    run, key = entry
                    if run != last:
                        found = runs.get(run)
                        if found is None:
                            continue
                        if found.alone:
                            deferred.append(entry)
                            continue
                        last, part, events = run, found.part, turn.of(found)
                    part.deliveries = n = part.deliveries + 1
                    events.append(_new(Picked, (now, key, worker, part.epoch, n)))
                at += count
            for entry in deferred:
                live = runs[entry[0]]
                lane.push(self._priority(live, entry[1]), live.tenant, (entry,), front=True)
        return False
