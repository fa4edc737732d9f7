"""The lane of sync code: daemon threads that take from the line themselves.

One thread works through short tasks faster than several that fight for the interpreter lock, so a thread is woken for
the first task and others only when tasks are known, or turn out, to last (`encourage`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic

from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.context import RUNNING as CONTEXT
from headrace.runners.context import Interrupted
from headrace.runners.line import THREADS, Line
from headrace.runners.values import fault

SHORT = 0.0003
"""Seconds. Calls below this are not worth a second thread, nor a wake-up of the worker's loop each."""

UNHEARD = 0.001
"""Seconds for which a finished short task may wait to be noticed together with the next ones."""


class ThreadLane:
    """Args:
    line: what to take from.
    execute: runs one attempt, any exception of the task's own turned into an outcome; None: it went to another lane.
    ended: takes an attempt whose outcome is set; any thread.
    notice: asks the worker to look at what has ended; any thread.
    clock: wall time, seconds since the epoch.
    """

    def __init__(
        self,
        line: Line,
        execute: Callable[[Attempt], Outcome | None],
        ended: Callable[[Attempt], None],
        notice: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.line = line
        self.execute = execute
        self.ended = ended
        self.notice = notice
        self.clock = clock
        self.closed = False
        self._idle: list[_TaskThread] = []
        self._threads: set[_TaskThread] = set()
        self._lock = Lock()
        line.kicks[THREADS] = self.kick

    def kick(self) -> None:
        """Have one more thread look at the line. Safe from any thread."""
        try:
            self._idle.pop().gate.release()
            return
        except IndexError:
            pass
        with self._lock:
            if len(self._threads) >= self.line.slots or self.closed:
                return
            thread = _TaskThread(self)
            self._threads.add(thread)
        thread.start()

    def encourage(self) -> None:
        """Have as many threads look as could start something."""
        for _ in range(min(self.line.waiting[THREADS], self.line.slots - self.line.running)):
            self.kick()

    def interrupt(self, attempt: Attempt) -> None:
        """Raise Interrupted inside the attempt's code, at its next bytecode: a call that blocks in C goes on first."""
        thread: _TaskThread | None = attempt.handle
        if thread is not None:
            thread.interrupt(attempt)

    def abandon(self, attempt: Attempt) -> None:
        """Do without the thread that is stuck in this attempt: another takes its place, it ends when it comes back."""
        thread: _TaskThread | None = attempt.handle
        if thread is not None:
            with self._lock:
                self._threads.discard(thread)
            thread.abandoned = True
        self.line.give_back(attempt)

    def close(self) -> None:
        """Let the idle threads end. One that is stuck in user code dies with the process."""
        self.closed = True
        while self._idle:
            self._idle.pop().gate.release()


class _TaskThread:
    """One thread and what it is doing."""

    def __init__(self, lane: ThreadLane) -> None:
        self.lane = lane
        self.gate = Lock()
        self.gate.acquire()
        self.guard = Lock()  # held while `attempt` changes, so that an interrupt cannot hit the next attempt
        self.attempt: Attempt | None = None
        self.interrupted = False
        self.abandoned = False
        self._thread = Thread(target=self._main, name="headrace-task", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def interrupt(self, attempt: Attempt) -> None:
        with self.guard:
            if self.attempt is attempt and not self.interrupted:
                self.interrupted = True
                _raise_in(self._thread.ident, Interrupted)

    def _main(self) -> None:
        lane, line = self.lane, self.lane.line
        unheard = 0  # ended here since the worker was last asked to look
        heard_at = 0.0
        attempt = line.take(THREADS)
        now = monotonic()
        while not lane.closed:
            if attempt is None:
                if unheard:
                    unheard = 0
                    lane.notice()
                attempt = self._next() or line.take(THREADS)
                now = monotonic()
                continue
            if unheard:
                function = attempt.function
                average = function.average if function is not None else None
                if average is None or average > SHORT or now - heard_at > UNHEARD:
                    unheard = 0
                    heard_at = now
                    lane.notice()
            else:
                heard_at = now
            attempt.began = now
            attempt.started_at = lane.clock()
            if not self._run(attempt):
                # another lane has it by now, and the slot with it
                attempt = line.take(THREADS)
                now = monotonic()
                continue
            now = monotonic()
            function = attempt.function
            if function is not None:
                function.took(now - attempt.began)
            lane.ended(attempt)
            unheard += 1
            if self.abandoned:
                lane.notice()
                return
            attempt = line.give_back_and_take(THREADS, attempt)
        lane.notice()

    def _run(self, attempt: Attempt) -> bool:
        """Run it and set its outcome. False: it was moved to another lane."""
        outcome: Outcome | None = None
        moved = False
        try:
            try:
                attempt.handle = self
                self.attempt = attempt
                CONTEXT.set(attempt)
                if attempt.stopping is None:
                    outcome = self.lane.execute(attempt)
                    moved = outcome is None
                if not moved:
                    attempt.close()
            finally:
                with self.guard:
                    self.attempt = None
        except Interrupted:
            # it may strike anywhere above, even while the guard is taken
            with self.guard:
                self.attempt = None
        except BaseException as error:
            outcome = fault(error)
        if self.interrupted:
            self._settle()
        if moved:
            return False
        attempt.outcome = outcome
        attempt.finished_at = self.lane.clock()
        return True

    def _settle(self) -> None:
        """Take back an interrupt that has not struck yet."""
        with suppress(Interrupted):
            _raise_in(self._thread.ident, None)
        self.interrupted = False

    def _next(self) -> Attempt | None:
        """What there is to do, after a sleep if there is nothing; None: look again, or the lane is closed."""
        lane = self.lane
        CONTEXT.set(None)  # whoever sleeps keeps no attempt
        lane._idle.append(self)
        # what was put before this thread was listed kicked nobody
        attempt = None if lane.closed else lane.line.take(THREADS)
        if attempt is None and not lane.closed:
            self.gate.acquire()
            return None
        try:
            lane._idle.remove(self)
        except ValueError:
            self.gate.acquire()  # whoever took it off the list opens the gate now
        return attempt


def _raise_in(thread: int | None, exception: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread or 0), None if exception is None else ctypes.py_object(exception)
    )
