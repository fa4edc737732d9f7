"""Gathering: what has arrived since the last turn, as events of runs.

Reports are the hot path: one event per item, and nothing else. What belongs to no run in memory, or to an earlier
generation, is stale and only counted; the machine judges the rest.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Container, Iterable
from typing import NamedTuple

import msgspec

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Error,
    Event,
    HandedBack,
    Redelivered,
    WorkerLost,
)
from headrace.engine.core.keys import Key
from headrace.engine.ports.broker import Arrived, Undecodable
from headrace.engine.ports.broker import Refused as Undelivered
from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.messages import Alive, Beat, Dispatches, ErrorInfo, Lines, Nudge, Report, Reports
from headrace.engine.ports.store import Batch
from headrace.engine.shell.flights import Flight
from headrace.engine.shell.loading import draw, over
from headrace.engine.shell.memory import Memory
from headrace.engine.shell.part import Part, Turn
from headrace.engine.shell.patient import PatientStore

_logger = logging.getLogger(__name__)
_new = tuple.__new__
_LOST = ErrorInfo("lost", "The worker gave no reason.")


KNOWN = 10_000
"""So many runs that are not in memory are remembered to exist."""

STRANGERS = 500
"""Runs not in memory that are looked up in one turn, at most: one query."""


class _Stranger(NamedTuple):
    """A report of a run that is not in memory."""

    part: Part
    offset: int
    message: Reports
    item: Report


class Gatherer:
    """Turns messages, beats, inbox rows, timers and silence into the events of a turn."""

    def __init__(self, store: PatientStore, memory: Memory) -> None:
        self._store = store
        self._fleet = memory.fleet
        self._holdings = memory.holdings
        self._counters = memory.counters
        self._unknown: dict[int, _Stranger] = {}
        self._known: OrderedDict[int, None] = OrderedDict()  # runs that exist, though they are not in memory
        self._rivals: OrderedDict[str, None] = OrderedDict()  # incarnations that were told of
        self.outrun: dict[int, int] = {}
        """Parts of ours of which workers have obeyed a later owner, and its epoch."""

    # -- workers -------------------------------------------------------------------------------------------------

    def heard(self, turn: Turn, said: Iterable[Beat | Lines]) -> None:
        """Workers that came, or said how they are, and what waits with other engines."""
        for message in said:
            if isinstance(message, Beat):
                if not self._fleet.beat(message, turn.mono):
                    self._rival(message)
            else:
                self._fleet.lines(message, turn.mono)

    def _rival(self, beat: Beat) -> None:
        if beat.incarnation not in self._rivals:
            self._rivals[beat.incarnation] = None
            if len(self._rivals) > KNOWN:
                self._rivals.popitem(last=False)
            _logger.critical(
                "Two processes live as worker %s, perhaps with different home folders. The one that began last has the name; the "
                "other (incarnation %s) gets nothing and counts for nothing. Give each an id of its own.",
                beat.worker,
                beat.incarnation,
            )

    def barrier(self, turn: Turn) -> None:
        """Ask workers what they hold of the parts that were taken over. Their answer stands behind whatever they
        reported before, and no older dispatch is accepted after it."""
        for number, member in self._fleet.unasked():
            part = self._holdings.parts.get(number)
            if part is not None:
                turn.portion(part).outbox.ask_all(member)
        self._stop(turn, self._fleet.stops())

    def sweep(self, turn: Turn, caught_up: Container[int], *, workers: bool) -> None:
        """Workers that fell silent or began anew: lost leases, stranded attempts, questions to ask, stops to repeat. Silence
        counts only where everything was read: `caught_up` parts of job-status, and job-workers."""
        found = self._fleet.sweep(turn.mono, caught_up, workers=workers)
        for flight in found.lost:
            self._end(turn, flight)
        for flight in found.stranded:
            self._end(turn, flight)
        self._stop(turn, found.stop)
        self._ask(turn, found.ask)

    def gap(self, turn: Turn, part: Part) -> None:
        """Reports of a part may be missing: ask after everything that is in flight there."""
        self._ask(turn, self._fleet.of_part(part.number))

    def _ask(self, turn: Turn, flights: Iterable[Flight]) -> None:
        for flight in flights:
            live = self._holdings.runs.get(flight.run)
            if live is not None:
                turn.portion(live.part).outbox.ask(live, flight)

    def _stop(self, turn: Turn, flights: Iterable[Flight]) -> None:
        for flight in flights:
            live = self._holdings.runs.get(flight.run)
            if live is not None and flight.stop is not None:
                turn.portion(live.part).outbox.abort(live, flight, flight.stop.grace)

    def _end(self, turn: Turn, flight: Flight) -> None:
        live = self._holdings.runs.get(flight.run)
        if live is not None and not live.alone:
            turn.add(live, over(flight, live, turn.now))

    # -- messages ------------------------------------------------------------------------------------------------

    def messages(self, turn: Turn, arrived: Iterable[Arrived]) -> None:
        """Reports, proofs of life, nudges, in the order of their offsets."""
        part: Part | None = None
        batch: Batch | None = None
        number = -1
        for at, offset, message in arrived:
            if at != number:
                number = at
                part = self._holdings.parts.get(number)
                batch = None if part is None else turn.portion(part).batch
            if part is None or batch is None:
                continue
            if isinstance(message, Reports):
                self._reports(part, turn, offset, message)
            elif isinstance(message, Alive):
                if (seen := max(message.seen.values(), default=0)) > part.epoch:
                    self.outrun[number] = seen
                for flight in self._fleet.alive(message, part.epoch, turn.mono):
                    self._unheld(turn, flight)
            elif isinstance(message, Nudge):
                part.inbox_due = True
            elif isinstance(message, Undecodable):
                self._unreadable(batch, message)
                if message.item >= 0:
                    continue  # the rest of its envelope comes next, with the same offset
            part.next_offset = batch.next_offset = offset + 1

    def _unreadable(self, batch: Batch, message: Undecodable) -> None:
        topic, partition, offset, reason, body, item = message
        what = "a message" if item < 0 else f"item {item} of a message"
        _logger.error("%s of %s, partition %d, offset %d: %s", what, topic, partition, offset, reason)
        self._counters.unreadable += 1
        batch.poison.append(PoisonRow(topic, partition, offset, item, batch.at, reason, body))

    def _reports(self, part: Part, turn: Turn, offset: int, message: Reports) -> None:
        runs, now = part.runs, turn.now
        number: int | None = None
        events: list[Event] | None = None
        generation = 0
        for item in message.items:
            if item.run != number:
                number = item.run
                live = runs.get(number)
                events = None
                if live is None:
                    self._unknown.setdefault(number, _Stranger(part, offset, message, item))
                elif not live.alone:
                    events = turn.of(live)
                    generation = live.machine.generation
            if events is None or item.generation != generation:
                turn.stale += 1
                continue
            key: Key = _new(Key, (item.task, item.map))
            if item.kind == "succeeded":
                artifact = item.artifact
                events.append(
                    _new(
                        AttemptSucceeded,
                        (
                            now,
                            key,
                            item.attempt,
                            item.epoch,
                            item.n,
                            now if item.started_at is None else item.started_at,
                            now if item.finished_at is None else item.finished_at,
                            item.output,
                            None
                            if artifact is None
                            else Artifact(artifact.uri, artifact.digest, artifact.size),
                        ),
                    )
                )
            else:
                event = self._other(part, turn, message.worker, item, key)
                if event is None:
                    turn.stale += 1
                else:
                    events.append(event)

    async def strangers(self, turn: Turn) -> None:
        """Reports of runs that are not in memory. Most of those runs have ended; where one never was, somebody sends what is
        not ours, and the report is kept as a dead letter."""
        if not self._unknown:
            return
        unknown, self._unknown = self._unknown, {}
        fresh = [no for no, found in unknown.items() if no not in self._known and no not in found.part.broken]
        del fresh[STRANGERS:]
        exist = frozenset(await self._store.existing(fresh)) if fresh else frozenset()
        for no in fresh:
            part, offset, message, item = unknown[no]
            if no not in exist:
                self._counters.unknown_runs += 1
                _logger.warning("worker %s reports about run %d, which does not exist", message.worker, no)
                why = f"There is no run number {no}."
                body = msgspec.json.encode(Reports(message.worker, message.incarnation, [item]))
                place = next(i for i, one in enumerate(message.items) if one is item)
                turn.portion(part).batch.poison.append(
                    PoisonRow("job-status", part.number, offset, place, turn.now, why, body)
                )
            else:
                self._known[no] = None
                if len(self._known) > KNOWN:
                    self._known.popitem(last=False)

    def refused(self, turn: Turn, refused: Undelivered) -> None:
        """A message with attempts that the broker will never take. Several: each tries alone. One: it has failed."""
        message = refused.message
        part = self._holdings.parts.get(message.part)
        if part is None or part.epoch != message.epoch or not isinstance(message, Dispatches):
            return
        if len(message.items) > 1:
            outbox = turn.portion(part).outbox
            for item in message.items:
                alone = Dispatches(message.to, message.part, message.epoch, [item])
                outbox.again(refused.queue, refused.inbox, alone)
            return
        for item in message.items:
            self._counters.undelivered += 1
            live = part.runs.get(item.run)
            if live is not None and not live.alone and live.machine.generation == item.generation:
                why = f"The attempt could not be sent to worker {message.to}: {refused.why}"
                error = Error("dispatch", why, ("dispatch",), reason="dispatch_refused")
                at = Key(item.task, item.map), item.attempt, item.epoch, item.n
                turn.add(live, AttemptFailed(turn.now, *at, None, turn.now, error, None, draw()))

    def _other(self, part: Part, turn: Turn, worker: str, item: Report, key: Key) -> Event | None:
        now = turn.now
        at = key, item.attempt, item.epoch, item.n
        finished = now if item.finished_at is None else item.finished_at
        started = finished if item.started_at is None else item.started_at
        match item.kind:
            case "started":
                return AttemptStarted(min(now, started), *at)
            case "failed":
                return AttemptFailed(
                    now,
                    *at,
                    item.started_at,
                    finished,
                    error_of(item.error or _LOST),
                    item.retry_after,
                    draw(),
                )
            case "skipped":
                return AttemptSkipped(
                    now, *at, started, finished, None if item.error is None else item.error.message
                )
            case "cancelled":
                return AttemptCancelled(now, *at, item.started_at, finished)
            case "handed_back":
                member = self._fleet.member(worker)
                if member is not None:
                    member.sated = True
                return HandedBack(now, *at)
            case "unknown":
                flight = self._fleet.flights.get((item.run, key))
                if flight is None or (flight.attempt, flight.epoch, flight.n) != at[1:]:
                    return None
                return self._again(part, turn, flight)
            case other:
                _logger.warning("worker %s sent a report of unknown kind %r", worker, other)
                return None

    def _unheld(self, turn: Turn, flight: Flight) -> None:
        """A restored attempt that its worker does not hold."""
        live = self._holdings.runs.get(flight.run)
        if live is None or live.alone:
            return
        if flight.running:
            # Its last report may still wait for its acknowledgement: the worker knows.
            self._ask(turn, (flight,))
        else:
            turn.add(live, self._again(live.part, turn, flight))

    def _again(self, part: Part, turn: Turn, flight: Flight) -> Event:
        """The worker lives and does not know the attempt: send it once more, or end it if it had started."""
        if flight.running:
            return WorkerLost(turn.now, flight.key, flight.attempt, draw())
        if flight.aborted:
            return HandedBack(turn.now, flight.key, flight.attempt, flight.epoch, flight.n)
        return Redelivered(turn.now, flight.key, flight.member.worker, part.epoch, part.delivery())

    # -- time ----------------------------------------------------------------------------------------------------

    def timers(self, turn: Turn, limit: int) -> None:
        """What has fallen due."""
        holdings = self._holdings
        for run, event in holdings.timers.due(turn.now, limit):
            live = holdings.runs.get(run)
            if live is not None and not live.alone:
                holdings.timers.fired(run, event, turn.portion(live.part).batch)
                turn.add(live, event)


def error_of(info: ErrorInfo) -> Error:
    return Error(
        info.kind,
        info.message,
        tuple(info.kinds),
        info.exit_code,
        info.status,
        info.reason,
        info.retryable,
    )
