"""The workers as the engine sees them, and every attempt that is with one of them.

A *member* is one incarnation of a worker; a *flight* is one attempt that was dispatched and has not ended. From both
follow the credit (how much more a worker may get), the leases, and what to do when a worker falls silent. Nothing
here sends or commits: methods take what was observed and answer with what it means. `now` is a monotonic time in
seconds, so that neither a clock step nor a virtual clock ends a lease.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from headrace.engine.core.decision import Abort
from headrace.engine.core.keys import Key
from headrace.engine.ports.messages import Alive, Beat, Lines
from headrace.engine.shell.line import Entry, Lane
from headrace.engine.shell.plans import Profile


class Member:
    """One incarnation of a worker. `busy`: attempts that it has been given and that have not ended."""

    __slots__ = (
        "ahead",
        "asked",
        "beat_at",
        "busy",
        "draining",
        "held",
        "inbox",
        "incarnation",
        "kinds",
        "labels",
        "queues",
        "sated",
        "silent_from",
        "slots",
        "worker",
    )

    def __init__(self, worker: str, incarnation: str | None, now: float) -> None:
        self.worker = worker
        self.incarnation = incarnation  # None: known only from stored rows
        self.inbox = 0
        self.queues: frozenset[str] = frozenset()
        self.labels: dict[str, str] = {}
        self.kinds: frozenset[str] = frozenset()  # of tasks it can execute; empty: all
        self.slots = 0
        self.ahead = 0
        self.held = 0  # by its own count, of all engines
        self.busy = 0
        self.draining = False
        self.sated = False  # it handed work back, or let a lease end: nothing more until its next beat
        self.asked: set[int] = set()  # parts for which it was asked what it holds, since their takeover
        self.beat_at = now  # when it was last heard: what it says counts for a while
        self.silent_from = now  # the same, less the time in which it could not have been heard

    def room(self, engines: int = 1) -> int:
        """How many attempts more it may be given, by one of so many engines that have work for it."""
        if self.draining or self.sated:
            return 0
        return max(0, -(-(self.slots + self.ahead) // engines) - self.busy)

    def serves(self, lane: Lane) -> bool:
        """Whether it listens to the lane's queue, executes its kind of task and has every label."""
        if lane.queue not in self.queues or (self.kinds and lane.kind and lane.kind not in self.kinds):
            return False
        labels = self.labels
        return all(labels.get(name) == value for name, value in lane.labels.items())


class Flight:
    """One attempt in flight. `part`: its run's; `entry`: its run and key."""

    __slots__ = (
        "aborted",
        "asked_at",
        "attempt",
        "entry",
        "epoch",
        "member",
        "n",
        "part",
        "profile",
        "running",
        "seen_at",
    )

    def __init__(
        self,
        part: int,
        entry: Entry,
        attempt: int,
        epoch: int,
        n: int,
        member: Member,
        profile: Profile,
        now: float,
    ) -> None:
        self.part = part
        self.entry = entry
        self.attempt = attempt
        self.epoch = epoch
        self.n = n
        self.member = member
        self.profile = profile
        self.running = False
        self.aborted = False  # the worker was told to stop it
        self.seen_at = self.asked_at = now  # when it was sent, or last shown to be held; or asked after

    @property
    def run(self) -> int:
        return self.entry[0]

    @property
    def key(self) -> Key:
        return self.entry[1]


class Silence(NamedTuple):
    """What a sweep found."""

    lost: list[Flight]  # running, lease over
    stranded: list[Flight]  # not started, worker gone
    ask: dict[Member, list[Flight]]  # unanswered for too long


class Fleet:
    """All members and flights of one engine.

    Args:
        engine: this engine's id.
        fresh: seconds for which a beat, and what another engine says of its lines, counts.
        patience: seconds before an attempt that nobody confirmed is asked after.
    """

    def __init__(self, engine: str = "engine", *, fresh: float = 6.0, patience: float = 5.0) -> None:
        self._engine = engine
        self._fresh_for = fresh
        self._patience = patience
        self._members: dict[str, Member] = {}
        self._lines: dict[str, tuple[float, frozenset[str]]] = {}  # engine → when, queues it has work for
        self._swept_at: float | None = None
        self._restored: set[Entry] = set()
        self._stops: dict[Entry, tuple[Flight, Abort]] = {}  # to be told to workers that were not heard yet
        self._barriers: set[int] = set()  # parts that were taken over
        self._unasked = False  # there may be members that were not asked for all of them
        self.flights: dict[Entry, Flight] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def member(self, worker: str) -> Member | None:
        return self._members.get(worker)

    def of_part(self, part: int) -> list[Flight]:
        """The flights of one part."""
        return [flight for flight in self.flights.values() if flight.part == part]

    # -- observations --------------------------------------------------------------------------------------------

    def beat(self, beat: Beat, now: float) -> list[Flight]:
        """Take in a beat. Answers with the flights of the worker's former incarnation: all of them are over."""
        member = self._members.get(beat.worker)
        over: list[Flight] = []
        if member is None or member.incarnation != beat.incarnation:
            if member is None or member.incarnation is not None:
                if member is not None:
                    over = [flight for flight in self.flights.values() if flight.member is member]
                member = self._members[beat.worker] = Member(beat.worker, beat.incarnation, now)
            self._unasked = bool(self._barriers)
        member.incarnation = beat.incarnation
        member.inbox = beat.inbox
        member.queues = frozenset(beat.queues)
        member.labels = beat.labels
        member.kinds = frozenset(beat.kinds)
        member.slots = beat.slots
        member.ahead = beat.ahead
        member.held = beat.held
        member.draining = beat.draining
        member.sated = False
        member.beat_at = member.silent_from = now
        return over

    def lines(self, lines: Lines, now: float) -> None:
        """What waits with another engine; its own are passed over."""
        if lines.engine != self._engine:
            queues = frozenset(queue for queue, depths in lines.depths.items() if any(depths))
            self._lines[lines.engine] = now, queues

    def alive(self, alive: Alive, epoch: int, now: float) -> list[Flight]:
        """Renew the leases of what a worker holds of one part, whose epoch is given.

        Answers with restored flights that it does not hold, once it has shown on their queue that it knows of `epoch`:
        a final report of them would stand before this message, and an older dispatch can no longer be accepted.
        """
        member = self._members.get(alive.worker)
        if member is None or member.incarnation != alive.incarnation:
            return []
        held: set[Entry] = set()
        flights = self.flights
        for run, _, task, map_, attempt in alive.held:
            entry = (run, Key(task, map_))
            flight = flights.get(entry)
            if flight is not None and flight.attempt == attempt and flight.member is member:
                flight.seen_at = flight.asked_at = now
                held.add(entry)
        if not self._restored:
            return []
        knows = {queue for queue, seen in alive.seen.items() if seen >= epoch}
        settled = {
            entry
            for entry in self._restored
            if (flight := flights.get(entry)) is not None
            and flight.part == alive.part
            and flight.member is member
            and flight.profile.lane.queue in knows
        }
        self._restored -= settled
        return [flights[entry] for entry in settled - held]

    def sent(self, flight: Flight) -> None:
        """An attempt is about to be sent; one of the same task run is replaced."""
        entry = flight.entry
        before = self.flights.get(entry)
        if before is not None:
            before.member.busy -= 1
        self.flights[entry] = flight
        flight.member.busy += 1

    def landed(self, entry: Entry) -> Flight | None:
        """The attempt is over: its place is free again."""
        flight = self.flights.pop(entry, None)
        if flight is not None:
            flight.member.busy -= 1
            self._restored.discard(entry)
            if self._stops:
                self._stops.pop(entry, None)
        return flight

    def restore(self, flight: Flight, worker: str, running: bool, now: float) -> None:
        """Take over an attempt that an earlier owner dispatched to `worker`; it must show that it holds it."""
        member = self._members.get(worker)
        if member is None:
            member = self._members[worker] = Member(worker, None, now)
        flight.member = member
        flight.running = running
        self.sent(flight)
        self._restored.add(flight.entry)

    def raise_barrier(self, part: int) -> None:
        """A part was taken over: every live worker is asked what it holds of it."""
        self._barriers.add(part)
        self._unasked = True

    def unasked(self) -> list[tuple[int, Member]]:
        """Parts that were taken over and live members that have not been asked what they hold of them: once each."""
        if not self._unasked:
            return []
        self._unasked = False
        found: list[tuple[int, Member]] = []
        for member in self._members.values():
            if member.incarnation is not None and (parts := self._barriers - member.asked):
                member.asked |= parts
                found.extend((part, member) for part in sorted(parts))
        return found

    # -- what follows --------------------------------------------------------------------------------------------

    def engines(self, queue: str, now: float) -> int:
        """How many engines have work for a queue, this one included."""
        if not self._lines:
            return 1
        since = now - self._fresh_for
        return 1 + sum(at >= since and queue in queues for at, queues in self._lines.values())

    def room(self, lane: Lane, now: float) -> list[tuple[Member, int]]:
        """Who may get work of this lane, and how much."""
        since = now - self._fresh_for
        engines = self.engines(lane.queue, now)
        return [
            (member, room)
            for member in self._members.values()
            if member.beat_at >= since and (room := member.room(engines)) and member.serves(lane)
        ]

    def fresh(self, now: float) -> list[Member]:
        """Workers that were heard of late."""
        return [member for member in self._members.values() if member.beat_at >= now - self._fresh_for]

    def sweep(self, now: float, caught_up: Container[int] | None = None, *, workers: bool = True) -> Silence:
        """Look for silence: leases that ended, workers that are gone, attempts that nobody confirmed. Once a second.

        Time in which nobody could have been heard counts for nothing: when this process itself was held up, for the
        flights of parts that are not `caught_up` (None: all are), and for members when `workers` is false.
        """
        found = Silence([], [], {})
        gap = 0.0 if self._swept_at is None else now - self._swept_at
        self._swept_at = now
        held_up = gap - 1.0 if gap > 2.5 else 0.0
        deaf = held_up if workers else gap
        for member in self._members.values():
            member.beat_at += held_up
            member.silent_from += deaf
        gone_before = now - self._fresh_for
        impatient = now - self._patience
        for flight in self.flights.values():
            member = flight.member
            read = caught_up is None or flight.part in caught_up
            unheard = held_up if read else gap
            if unheard:
                flight.seen_at += unheard
                flight.asked_at += unheard
            if flight.running:
                if flight.seen_at < now - flight.profile.lease:
                    if read:
                        found.lost.append(flight)
                        member.sated = True  # the next attempt is for whoever is known to live
                elif flight.seen_at < now - flight.profile.lease / 2 and flight.asked_at < impatient:
                    found.ask.setdefault(member, []).append(flight)
                    flight.asked_at = now
            elif member.silent_from < gone_before:
                if workers and read:
                    found.stranded.append(flight)
            elif flight.asked_at < impatient:
                found.ask.setdefault(member, []).append(flight)
                flight.asked_at = now
        self._forget_silent(gone_before - 60)
        return found

    def _forget_silent(self, since: float) -> None:
        for worker, member in list(self._members.items()):
            if member.busy <= 0 and member.silent_from < since:
                del self._members[worker]
        for engine, (at, _) in list(self._lines.items()):
            if at < since:
                del self._lines[engine]

    def forget(self, runs: Iterable[int]) -> None:
        """Drop the flights of runs that left memory."""
        gone = frozenset(runs)
        for entry in [entry for entry in self.flights if entry[0] in gone]:
            self.landed(entry)

    def stop_later(self, flight: Flight, stop: Abort) -> None:
        """Its worker is known only from stored rows: it is told once it was heard."""
        self._stops[flight.entry] = flight, stop

    def stops(self) -> list[tuple[Flight, Abort]]:
        """What can be told by now, each once."""
        if not self._stops:
            return []
        heard = [entry for entry, (flight, _) in self._stops.items() if flight.member.incarnation is not None]
        told = [self._stops.pop(entry) for entry in heard]
        return [(flight, stop) for flight, stop in told if self.flights.get(flight.entry) is flight]

    def leave(self, part: int) -> None:
        """A part is ours no longer: drop its flights, and ask again when it comes back."""
        for flight in self.of_part(part):
            self.landed(flight.entry)
        self._barriers.discard(part)
        for member in self._members.values():
            member.asked.discard(part)

    def reset(self) -> None:
        """Drop every flight: all parts are gone. The members stay."""
        self.flights.clear()
        self._restored.clear()
        self._stops.clear()
        self._barriers.clear()
        for member in self._members.values():
            member.busy = 0
            member.asked.clear()


def spread(candidates: list[tuple[Member, int]], count: int) -> list[tuple[Member, int]]:
    """Divide `count` attempts among members in proportion to their room; never more than the room."""
    total = sum(room for _, room in candidates)
    if count >= total:
        return candidates
    if len(candidates) == 1:
        return [(candidates[0][0], count)]
    shares = [[room * count // total, room, index] for index, (_, room) in enumerate(candidates)]
    left = count - sum(share for share, _, _ in shares)
    for share in sorted(shares, key=lambda s: (s[0] - s[1], s[2])):
        if not left:
            break
        if share[0] < share[1]:
            share[0] += 1
            left -= 1
    return [(candidates[index][0], share) for share, _, index in shares if share]
