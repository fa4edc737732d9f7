"""Gathering: what has arrived since the last turn, as events of runs.

Reports are the hot path: one event per item, and nothing else. What belongs to no run in memory, or to an earlier
generation, is stale and only counted; the machine judges the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

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
    RerunAsked,
    WorkerLost,
)
from headrace.engine.core.keys import Key
from headrace.engine.ports.broker import Arrived
from headrace.engine.ports.messages import Alive, Beat, ErrorInfo, Lines, Nudge, Report, Reports
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.commands import COMMANDS, Refused, event_of
from headrace.engine.shell.fleet import Fleet, Flight
from headrace.engine.shell.history import Refusal
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.loading import Loader, draw, over
from headrace.engine.shell.part import Part, Turn
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.reach import Reach

_logger = logging.getLogger(__name__)
_new = tuple.__new__
_LOST = ErrorInfo("lost", "The worker gave no reason.")


class Gatherer:
    """Turns messages, beats, inbox rows, timers and silence into the events of a turn."""

    def __init__(
        self, store: PatientStore, fleet: Fleet, loader: Loader, reach: Reach, *, inbox_rows: int
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._loader = loader
        self._reach = reach
        self._inbox_rows = inbox_rows

    # -- workers -------------------------------------------------------------------------------------------------

    def heard(self, part: Part, turn: Turn, said: Iterable[Beat | Lines]) -> None:
        """Workers that came, went and came back."""
        for message in said:
            if isinstance(message, Beat):
                for flight in self._fleet.beat(message, turn.mono):
                    self._end(part, turn, flight)

    def barrier(self, turn: Turn) -> None:
        """Ask workers what they hold of the attempts that were taken over. Their answer stands behind whatever they
        reported before, and no older dispatch is accepted after it."""
        for member in self._fleet.unasked():
            turn.outbox.ask_all(member)

    def sweep(self, part: Part, turn: Turn) -> None:
        """Workers that fell silent: lost leases, stranded attempts, questions to ask."""
        found = self._fleet.sweep(turn.mono)
        for flight in found.lost:
            self._end(part, turn, flight)
        for flight in found.stranded:
            self._end(part, turn, flight)
        for member, flights in found.ask.items():
            generations = {
                flight.run: part.runs[flight.run].machine.generation
                for flight in flights
                if flight.run in part.runs
            }
            turn.outbox.ask(member, generations, [f for f in flights if f.run in generations])

    def _end(self, part: Part, turn: Turn, flight: Flight) -> None:
        live = part.runs.get(flight.run)
        if live is not None and not live.alone:
            turn.add(live, over(flight, live, turn.now))

    # -- messages ------------------------------------------------------------------------------------------------

    def messages(self, part: Part, turn: Turn, arrived: Iterable[Arrived]) -> None:
        """Reports, proofs of life, nudges, in the order of their offsets."""
        for _, offset, message in arrived:
            if isinstance(message, Reports):
                self._reports(part, turn, message)
            elif isinstance(message, Alive):
                for flight in self._fleet.alive(message, part.epoch, turn.mono):
                    self._unheld(part, turn, flight)
            elif isinstance(message, Nudge):
                part.inbox_due = True
            part.next_offset = offset + 1
        turn.batch.next_offset = part.next_offset

    def _reports(self, part: Part, turn: Turn, message: Reports) -> None:
        runs, now = part.runs, turn.now
        number: int | None = None
        events: list[Event] | None = None
        generation = 0
        for item in message.items:
            if item.run != number:
                number = item.run
                live = runs.get(number)
                events = None
                if live is not None and not live.alone:
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

    def _unheld(self, part: Part, turn: Turn, flight: Flight) -> None:
        """A restored attempt that its worker does not hold."""
        live = part.runs.get(flight.run)
        if live is None or live.alone:
            return
        if flight.running:
            # Its last report may still wait for its acknowledgement: the worker knows.
            turn.outbox.ask(flight.member, {flight.run: live.machine.generation}, [flight])
        else:
            turn.add(live, self._again(part, turn, flight))

    def _again(self, part: Part, turn: Turn, flight: Flight) -> Event:
        """The worker lives and does not know the attempt: send it once more, or end it if it had started."""
        if flight.running:
            return WorkerLost(turn.now, flight.key, flight.attempt, draw())
        if flight.aborted:
            return HandedBack(turn.now, flight.key, flight.attempt, flight.epoch, flight.n)
        return Redelivered(turn.now, flight.key, flight.member.worker, part.epoch, part.delivery())

    # -- time ----------------------------------------------------------------------------------------------------

    def timers(self, part: Part, turn: Turn, limit: int) -> None:
        """What has fallen due."""
        for run, event in part.timers.due(turn.now, limit):
            live = part.runs.get(run)
            if live is not None and not live.alone:
                part.timers.fired(run, event, turn.batch)
                turn.add(live, event)

    # -- the inbox -----------------------------------------------------------------------------------------------

    async def inbox(self, part: Part, turn: Turn) -> None:
        """Commands and news from other runs. What cannot join this turn stays where it is for the next."""
        part.inbox_due = False  # before reading: who writes meanwhile says so again
        rows: list[InboxRow] = []
        after, limit = 0, self._inbox_rows
        while not rows:  # what is out of reach stays there, and must not hide what lies behind it
            page = await self._store.inbox(part.number, after, limit)
            rows = [row for row in page if await self._reached(part, row)]
            if len(page) < limit:
                break
            after = page[-1].id
            part.inbox_due = bool(rows)
        await self._loader.load(part, turn, [row.run for row in rows if row.run is not None])
        for row in rows:
            live = None if row.run is None else part.runs.get(row.run)
            if live is None:
                _logger.warning("inbox row %d (%s) concerns no run that can be decided", row.id, row.kind)
                turn.batch.inbox_done.append(row.id)
            elif self._command(turn, live, row):
                turn.batch.inbox_done.append(row.id)
            else:
                part.inbox_due = True

    async def _reached(self, part: Part, row: InboxRow) -> bool:
        if row.run is None:
            return True
        if row.kind in COMMANDS:
            part.to_load.extend(await self._reach.take_up(row.run))
        return await self._reach.includes(row.run)

    def _command(self, turn: Turn, live: LiveRun, row: InboxRow) -> bool:
        """Whether the row is dealt with in this turn."""
        if row.kind == "start":
            return True  # loading has done it
        command = row.kind in COMMANDS
        if live.alone or (command and live.commanded):
            return False
        try:
            event = event_of(row, live, turn.now)
        except Exception as refused:
            if not isinstance(refused, Refused):  # a fault of ours; the command must not come back for ever
                _logger.exception("inbox row %d (%s) cannot be read", row.id, row.kind)
            live.refused.append(Refusal(row.kind, by_of(row), str(refused)))
            turn.touched[live] = None
            return True
        if isinstance(event, RerunAsked):
            if turn.events.get(live):
                return False
            live.alone = True
        live.commanded = live.commanded or command
        turn.add(live, event)
        return True


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


def by_of(row: InboxRow) -> str:
    """Who gave a command, as far as its body says so."""
    try:
        body = msgspec.json.decode(row.body)
    except msgspec.DecodeError:
        return "unknown"
    by = body.get("by") if isinstance(body, dict) else None
    return by if isinstance(by, str) else "unknown"
