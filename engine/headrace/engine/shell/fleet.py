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
from headrace.engine.shell.flights import Flight, Member
from headrace.engine.shell.line import Entry, Lane

MOMENT = 2.0
"""Seconds: when the broker says that a part is read to its end, that was so at most that long ago."""


class Silence(NamedTuple):
    """What a sweep found."""

    lost: list[Flight]  # running, and the lease is over or the worker began anew
    stranded: list[Flight]  # not started, and the worker is gone or began anew
    ask: list[Flight]  # unanswered for too long
    stop: list[Flight]  # told to stop, and not over for too long


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
        self._stops: dict[Entry, Flight] = {}  # to be stopped, with workers that were not heard yet
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

    def beat(self, beat: Beat, now: float) -> bool:
        """Take in a beat. What the worker's former incarnation had is over as soon as its last reports were read: beats
        and reports come by different ways (see `sweep`).

        False: a former incarnation lives beside the one that has the name now. Its beats count for nothing while the other
        is heard.
        """
        member = self._members.get(beat.worker)
        if member is None or member.incarnation != beat.incarnation:
            if member is None or member.incarnation is not None:
                if member is not None:
                    if beat.incarnation in member.former and member.beat_at >= now - self._fresh_for:
                        return False
                    member.succeeded_at = now
                member = self._members[beat.worker] = Member(beat.worker, beat.incarnation, now, member)
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
        return True

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
        for run, generation, task, map_, attempt in alive.held:
            entry = (run, Key(task, map_))
            flight = flights.get(entry)
            if (
                flight is not None
                and (flight.generation, flight.attempt) == (generation, attempt)
                and flight.member is member
            ):
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
            self._stops.pop(entry, None)
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
        flights of parts that are not `caught_up` (None: all are), and for members when `workers` is false. What ends here
        ends only in parts that are: of an attempt that ended in time, the report has been taken in before.
        """
        found = Silence([], [], [], [])
        gap = 0.0 if self._swept_at is None else now - self._swept_at
        self._swept_at = now
        held_up = gap - 1.0 if gap > 2.5 else 0.0
        deaf = held_up if workers else gap
        for (
            member
        ) in self._members.values():  # never beyond now: who was heard a moment ago may die in the next
            member.beat_at = min(now, member.beat_at + held_up)
            member.silent_from = min(now, member.silent_from + deaf)
        gone_before = now - self._fresh_for
        impatient = now - self._patience
        succeeded_before = now - MOMENT
        for flight in self.flights.values():
            member = flight.member
            read = caught_up is None or flight.part in caught_up
            unheard = held_up if read else gap
            if unheard:
                flight.seen_at = min(now, flight.seen_at + unheard)
                flight.asked_at = min(now, flight.asked_at + unheard)
                flight.told_at = min(now, flight.told_at + unheard)
            if member.succeeded_at is not None:
                if read and member.succeeded_at <= succeeded_before:
                    (found.lost if flight.running else found.stranded).append(flight)
                continue
            if flight.stop is not None:  # the answer says as much as that to a question would
                if flight.told_at < impatient and member.incarnation is not None:
                    found.stop.append(flight)
                    flight.told_at = now
                flight.asked_at = now
            if flight.running:
                if flight.seen_at < now - flight.profile.lease:
                    if read:
                        found.lost.append(flight)
                        member.sated = True  # the next attempt is for whoever is known to live
                elif flight.seen_at < now - flight.profile.lease / 2 and flight.asked_at < impatient:
                    found.ask.append(flight)
                    flight.asked_at = now
            elif member.silent_from < gone_before:
                if workers and read:
                    found.stranded.append(flight)
            elif flight.asked_at < impatient:
                found.ask.append(flight)
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

    def stop(self, flight: Flight, stop: Abort, now: float) -> bool:
        """An attempt is to be stopped. Whether its worker can be told at once; if it is known only from stored rows, it
        is told when it was heard. Either is repeated until the attempt is over."""
        flight.stop, flight.told_at = stop, now
        if flight.member.incarnation is not None:
            return True
        self._stops[flight.entry] = flight
        return False

    def stops(self) -> list[Flight]:
        """Whose workers can be told to stop them by now, each once."""
        if not self._stops:
            return []
        heard = [entry for entry, flight in self._stops.items() if flight.member.incarnation is not None]
        return [self._stops.pop(entry) for entry in heard]

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
