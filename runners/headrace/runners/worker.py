"""The worker: takes dispatches from its inbox, has them executed, reports. docs/design/protocol.md, W1 to W10.

Everything here runs on the loop that `start` is called on and never runs user code; the lanes (execution.py) have
threads of their own and hand over what has ended through one queue. One timer (patrol.py) serves every limit in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.engine.ports.artifacts import Artifacts, LogWriter
from headrace.engine.ports.broker import NameLost, Told, WorkerSide
from headrace.engine.ports.messages import Abort, Ask, Beat, Dispatches, ToWorker
from headrace.runners.answering import Answers
from headrace.runners.app_dir import AppDir
from headrace.runners.attempt import BUFFERED, ENDED, Attempt
from headrace.runners.barrier import Barrier
from headrace.runners.execution import KINDS, Executing, Execution
from headrace.runners.heart import APART, Heart
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.leaving import Leaving
from headrace.runners.line import THREADS, Line
from headrace.runners.pace import Pace
from headrace.runners.patrol import Patrol
from headrace.runners.preparing import Preparation
from headrace.runners.reporting import LARGEST_OUTPUT, Reporter
from headrace.runners.secrets import Secrets
from headrace.runners.sentry import ANNOUNCE_AFTER, KILL_MARGIN, Sentry
from headrace.runners.spill import Spill
from headrace.runners.threads import SHORT

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from headrace.runners.tracing import AttemptSpans

RECONNECT_AFTER = 0.1
LOOK_FIRST, LOOK_LAST = 0.001, 0.016  # seconds between looks at a backlog of what was thought to be short
LOOK_KNOWN = 0.005  # seconds until the first look where it was short so far


_logger = logging.getLogger(__name__)


class Worker:
    """Hosts the runners and speaks for them.

    Args:
        side: the broker's end.
        worker_id: stable over restarts.
        incarnation: new at each start; None: drawn.
        queues, labels: which tasks it may be given.
        slots: how many it executes at once.
        app_dir: where code is looked up when a job names no folder; an AppDir: whatever jobs name.
        artifacts: where outputs above 32 KiB go; None: they fail.
        logs: where what tasks write goes; None: nowhere.
        secrets: None: `HEADRACE_SECRET_*` of this process.
        http_policy: which addresses HTTP tasks may reach; None: public ones.
        state_folder: notes of running processes, so that the next start kills what a dead worker left, and reports
            that the broker did not take, which the next start sends.
        ahead: how many tasks it may be sent beyond its slots before it knows how long they take.
        reload: import changed files again (a folder being worked on).
        largest_output: bytes; a larger output fails the attempt.
        clock: wall time, seconds since the epoch.
        monotonic: seconds that only go on, for every limit in time; that of the loop and of the lanes.
        tracer: makes a span for each attempt; None: nobody traces.
        lanes: executes the attempts, given the line, where to put one that ended, and whom to tell; None: the runners.
    """

    def __init__(
        self,
        side: WorkerSide,
        *,
        worker_id: str,
        incarnation: str | None = None,
        queues: Sequence[str] = ("default",),
        labels: Mapping[str, str] | None = None,
        slots: int = 16,
        app_dir: str | Path | AppDir = ".",
        artifacts: Artifacts | None = None,
        logs: LogWriter | None = None,
        secrets: Secrets | None = None,
        http_policy: HttpPolicy | None = None,
        state_folder: Path | None = None,
        ahead: int = 0,
        reload: bool = False,
        largest_output: int = LARGEST_OUTPUT,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tracer: Tracer | None = None,
        lanes: Callable[[Line, Callable[[Attempt], None], Callable[[], None]], Executing] | None = None,
    ) -> None:
        self.id = worker_id
        self.incarnation = incarnation or uuid.uuid4().hex
        self.slots = slots
        self.queues = tuple(queues)
        self.kinds = sorted(KINDS)
        self.draining = False
        self.unsent = 0
        """After `stop`: reports that the broker did not acknowledge."""
        self.displaced = asyncio.Event()
        """Another process has started under this worker's name. It takes nothing more; whoever started it must stop it."""
        self.dismissed = asyncio.Event()
        """Somebody wants it to leave. It goes on until whoever started it stops it."""
        self._side = side
        self._logs = logs
        self._state_folder = state_folder
        self._clock = clock
        self._monotonic = monotonic
        places = app_dir if isinstance(app_dir, AppDir) else None
        self._preparation = Preparation(places, secrets, artifacts, slots)
        pace = Pace(slots, ahead)
        self._line = Line(slots)
        self._ended: deque[Attempt] = deque()
        self._execution: Executing
        if lanes is not None:
            self._execution = lanes(self._line, self._ended.append, self._notice)
        else:
            self._execution = Execution(
                self._line,
                app_dir=str(app_dir) if places is None else places.path,
                state_folder=state_folder,
                http_policy=http_policy or HttpPolicy(),
                ended=self._ended.append,
                notice=self._notice,
                clock=clock,
                reload=reload,
                spans=None if tracer is None else _spans(tracer),
            )
        self._tasks: set[asyncio.Task[None]] = set()
        self._barrier = Barrier(worker_id)
        self._reporter = Reporter(
            side,
            worker_id,
            self.incarnation,
            pace=pace,
            artifacts=artifacts,
            largest_output=largest_output,
            clock=clock,
            spawn=self._spawn,
            seen=self._barrier.seen,
            spill=None if state_folder is None else Spill(state_folder / "reports"),
            app_dir=None if places is None else places.path,
            monotonic=monotonic,
        )
        self._held = self._reporter.held
        self._heart = Heart(
            side,
            Beat(
                worker_id,
                self.incarnation,
                0,
                list(queues),
                dict(labels or {}),
                slots,
                ahead,
                0,
                kinds=self.kinds,
            ),
            pace,
            lambda: len(self._held),
            monotonic,
        )
        self._sentry = Sentry(self._line, self._execution, self._reporter, self._heart, monotonic)
        self._answers = Answers(self._line, self._reporter, self._sentry)
        self._patrol = Patrol(self._sentry, self._reporter, self._heart, self._spawn, monotonic)
        self._noticed = False
        self._collected_count = self._seen_count = (
            0  # attempts, as of now and as of the last look at the backlog
        )
        self._collected = asyncio.Event()  # set whenever something ended
        self._leaving = Leaving(self._line, self._reporter, self._sentry, self._collect, self._collected)
        self._look_timer: asyncio.TimerHandle | None = None
        self._look_after = LOOK_FIRST
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    # life --------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Kill what an earlier incarnation left running, listen on the inbox, then say so (W1)."""
        self._loop = asyncio.get_running_loop()
        await self._preparation.open()
        if self._state_folder is not None:
            from headrace.runners.processes import reap

            await asyncio.to_thread(reap, self._state_folder)
        self._execution.open()
        await self._side.start()
        self._reporter.outbox.resume()
        if not self._side.hand_over(self._take):
            self._spawn(self._receive())
        await self._heart.beat()
        self._patrol.begin()

    async def run(self) -> None:
        """Start, and return when `stop` has ended it."""
        await self.start()
        await self._stopped.wait()

    async def stop(self, grace: float | None = 10.0) -> None:
        """Drain (W9): hand back what has not started, let the rest finish for `grace` seconds (None: however long it takes), stop
        what is left.

        What is stopped is reported as lost: it costs an attempt and runs elsewhere.
        """
        if self._loop is None or self._stopped.is_set():
            return
        self.draining = self._heart.draining = True
        self._heart.changed()
        self._spawn(self._heart.beat())
        self._patrol.within(APART)  # while an older beat is on its way, that one is not
        await self._leaving.go(grace)
        await self._close()

    def hurry(self) -> None:
        """End a `stop` that is under way as if its grace were over."""
        self._leaving.hurry()

    @property
    def running(self) -> int:
        """How many attempts are being executed."""
        return self._line.running

    @property
    def held(self) -> int:
        """Attempts that it was given and whose end is not acknowledged yet."""
        return len(self._held)

    @property
    def ended(self) -> int:
        """Attempts that ended here since the start."""
        return self._collected_count

    async def _close(self) -> None:
        self._patrol.end()
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.unsent = await self._reporter.outbox.close()
        await self._side.stop()
        await asyncio.to_thread(self._execution.close)
        self._stopped.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what comes in -----------------------------------------------------------------------------------------------
    async def _receive(self) -> None:
        while True:
            try:
                messages = await self._side.receive(None)
            except NameLost as lost:
                _logger.error("%s", lost)
                self.displaced.set()
                return
            except Exception:  # the broker's client lost its connection; what runs goes on meanwhile (W10)
                await asyncio.sleep(RECONNECT_AFTER)
                continue
            self._take(messages)

    def _take(self, messages: Sequence[Told]) -> None:
        for told in messages:
            if self._barrier.admits(told):
                try:
                    self._handle(told.message, told.queue)
                except Exception:  # a fault of ours must not make the worker deaf
                    _logger.exception("A message of part %d could not be handled.", told.message.part)
        self._reporter.outbox.flush()

    def _handle(self, message: ToWorker, queue: str) -> None:
        if isinstance(message, Dispatches):
            self._accept(message, queue)
        elif isinstance(message, Abort):
            if self._answers.abort(message):
                self._patrol.within(message.grace + KILL_MARGIN)
        elif isinstance(message, Ask):
            self._answers.ask(message)
        elif message.incarnation == self.incarnation:
            self.dismissed.set()

    def _accept(self, message: Dispatches, queue: str) -> None:
        now = self._monotonic()
        held, finished, part, logs = self._held, self._reporter.finished, message.part, self._logs
        answered = finished.reports
        prepared, fresh = self._preparation.at_once, list[Attempt]()
        for dispatch in message.items:
            key = (dispatch.run, dispatch.generation, dispatch.task, dispatch.map, dispatch.attempt)
            if key in held:
                self._reporter.adopt(held[key], dispatch.epoch, dispatch.n)
            elif key in answered and not finished.admits(key, dispatch.epoch, dispatch.n):
                self._reporter.repeat(part, key, dispatch.epoch, dispatch.n)
            else:
                ready = prepared(dispatch)
                attempt = Attempt(key, ready or dispatch, part, now)
                attempt.logs = logs
                if queue != Attempt.queue:
                    attempt.queue = queue
                held[key] = attempt
                if self.draining:
                    self._line.withdraw(attempt)
                    self._reporter.hand_back(attempt)
                elif ready is None:
                    self._spawn(self._prepare(attempt))
                else:
                    fresh.append(attempt)
        if fresh:
            self._feed(fresh)
        self._patrol.within(ANNOUNCE_AFTER)

    async def _prepare(self, attempt: Attempt) -> None:
        attempt.filling = True
        outcome = await self._preparation.prepare(attempt)
        if attempt.state != BUFFERED:
            return
        if outcome is not None:
            attempt.state, attempt.outcome = ENDED, outcome
            self._reporter.finish(attempt)
        else:
            attempt.filling, attempt.arrived = False, self._monotonic()
            self._feed([attempt])
        self._reporter.outbox.flush()

    def _feed(self, attempts: list[Attempt]) -> None:
        refused = self._execution.assign(attempts)
        for attempt in refused:
            attempt.state = ENDED
            self._reporter.finish(attempt)
        if refused:
            attempts = [attempt for attempt in attempts if attempt.state == BUFFERED]
        if attempts:
            function = attempts[-1].function
            known = function is not None and function.average is not None and function.average <= SHORT
            self._execution.feed(attempts)
            if self._look_timer is None and self._loop is not None:
                self._look_after = LOOK_KNOWN if known else LOOK_FIRST
                self._look_timer = self._loop.call_later(self._look_after, self._look)

    # what has ended ----------------------------------------------------------------------------------------------
    def _notice(self) -> None:
        """Called by the lanes, on their threads: look at what has ended."""
        if not self._noticed and self._loop is not None:
            self._noticed = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._noticed = False
        self._collected.set()
        ended = self._ended
        if not ended:
            return
        taken = [ended.popleft() for _ in range(len(ended))]  # the lanes go on adding
        self._collected_count += len(taken)
        self._reporter.finish_all(taken)
        self._reporter.outbox.flush()
        if self._heart.wants(self._monotonic()):
            self._spawn(self._heart.beat())

    def _look(self) -> None:
        """While there is a backlog: if those that run do not get on as they would with short tasks, collect what has ended and
        have more threads at it. Else they are about to tell of all together, and half of it would cost as much."""
        self._look_timer = None
        count = self._collected_count + len(self._ended)
        ended, self._seen_count = count - self._seen_count, count
        if ended * SHORT < self._look_after:
            self._collect()
            self._execution.encourage()
        self._look_after = LOOK_FIRST if ended else min(self._look_after * 2, LOOK_LAST)
        if (self._line.waiting[THREADS] or self._ended) and self._loop is not None:
            self._look_timer = self._loop.call_later(self._look_after, self._look)


def _spans(tracer: Tracer) -> AttemptSpans:
    from headrace.runners.tracing import AttemptSpans

    return AttemptSpans(tracer)
