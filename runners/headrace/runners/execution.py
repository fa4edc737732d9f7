"""Brings attempts to the lane that can execute them, and stops them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headrace.runners import python_runner
from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.capture import CAPTURE
from headrace.runners.coroutines import CoroutineLane, LoopThread
from headrace.runners.functions import Function, Functions
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.line import COROUTINES, PROCESSES, THREADS, Line
from headrace.runners.threads import SHORT, ThreadLane
from headrace.runners.values import failure

if TYPE_CHECKING:
    from headrace.runners.http_runner import HttpRunner
    from headrace.runners.shell_runner import ShellRunner
    from headrace.runners.tracing import AttemptSpans

PYTHON_KINDS = frozenset(("python", "switch"))
PROCESS_KINDS = frozenset(("shell", "http"))
KINDS = PYTHON_KINDS | PROCESS_KINDS
"""What a worker can execute, as it says in its beats."""


class Executing(Protocol):
    """What a worker asks of whatever executes its attempts. What it takes from the line and ends, it hands over."""

    def open(self) -> None:
        """Attempts may come from now on."""

    def assign(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Choose each one's lane. Returns those that cannot be executed, their outcome set."""

    def feed(self, attempts: Sequence[Attempt]) -> None:
        """Put assigned attempts into the line and wake who can take them."""

    def encourage(self) -> None:
        """What runs turned out to last: start whatever could start."""

    def interrupt(self, attempt: Attempt) -> None:
        """Stop a running attempt; how long it has is its `grace`."""

    def abandon(self, attempt: Attempt) -> None:
        """Free the slot of one that does not stop."""

    def close(self) -> None:
        """Nothing comes any more. Blocks for a few seconds at most."""


class Execution:
    """The lanes of one worker.

    Args:
        line: what waits, and the slots.
        app_dir: where code and commands are looked up when a job names no folder.
        state_folder: where the processes that run are noted, for `reap`; None: they are not.
        http_policy: which addresses HTTP tasks may reach.
        ended, notice, clock: see ThreadLane.
        reload: look at changed files again (see Functions).
        spans: traces attempts; None: nobody does.
    """

    def __init__(
        self,
        line: Line,
        *,
        app_dir: str,
        state_folder: Path | None,
        http_policy: HttpPolicy,
        ended: Callable[[Attempt], None],
        notice: Callable[[], None],
        clock: Callable[[], float],
        reload: bool = False,
        spans: AttemptSpans | None = None,
    ) -> None:
        self._line = line
        self._app_dir = app_dir
        self._http_policy = http_policy
        self._functions = Functions(app_dir, reload=reload)
        self._state_folder = state_folder
        self._users_loop = LoopThread("headrace-coroutines")
        self._own_loop = LoopThread("headrace-processes")
        call = self._call if spans is None else spans.around(self._call)
        call_async = self._call_async if spans is None else spans.around_async(self._call_async)
        run = self._run if spans is None else spans.around_async(self._run)
        self._threads = ThreadLane(line, call, ended, notice, clock)
        self._coroutines = CoroutineLane(line, COROUTINES, self._users_loop, call_async, ended, notice, clock)
        self._processes = CoroutineLane(line, PROCESSES, self._own_loop, run, ended, notice, clock)
        self._lanes = (self._threads, self._coroutines, self._processes)
        self._shells: ShellRunner | None = None
        self._calls: HttpRunner | None = None

    def open(self) -> None:
        """From now on what Python tasks print goes to their logs."""
        CAPTURE.install()

    def assign(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Choose each one's lane. Returns those that no lane can execute, their outcome set."""
        refused: list[Attempt] = []
        job = None
        lane = THREADS
        function: Function | None = None
        for attempt in attempts:
            if attempt.dispatch.job is not job:
                job = attempt.dispatch.job
                function = None
                if job.kind in PYTHON_KINDS and isinstance(job.work.get("function"), str):
                    if job.isolation == "process" or "env" in attempt.dispatch.inputs:
                        lane = PROCESSES
                    else:
                        # only a thread may import: until that has happened it also finds out whether it is async
                        function = self._functions.known(job.folder, job.work["function"])
                        lane = COROUTINES if function is not None and function.is_async else THREADS
                elif job.kind in PROCESS_KINDS:
                    lane = PROCESSES
                else:
                    lane = -1
            if lane < 0:
                kind = attempt.dispatch.job.kind
                attempt.outcome = failure(
                    "not_supported_yet", f"This worker cannot run tasks of kind {kind}."
                )
                refused.append(attempt)
            else:
                attempt.lane = lane
                attempt.function = function
        return refused

    def feed(self, attempts: Sequence[Attempt]) -> None:
        """Put assigned attempts into the line and wake who can take them."""
        self._line.put(attempts)
        lanes = {attempt.lane for attempt in attempts}
        for lane in lanes:
            if lane == THREADS:
                self._line.kicks[lane]()
            else:
                # Another loop is woken by a system call, and has the interpreter wait for it twice when it wakes before this
                # one has done what it is about.
                asyncio.get_running_loop().call_soon(self._line.kicks[lane])
        if THREADS in lanes:
            function = attempts[-1].function
            if function is not None and function.average is not None and function.average > SHORT:
                self._threads.encourage()

    def encourage(self) -> None:
        """Wake every thread that could start something: what runs turned out to last."""
        self._threads.encourage()

    def interrupt(self, attempt: Attempt) -> None:
        """Stop a running attempt; how long a process has is its `grace`."""
        self._lanes[attempt.lane].interrupt(attempt)

    def abandon(self, attempt: Attempt) -> None:
        """Free the slot of one that does not stop."""
        self._lanes[attempt.lane].abandon(attempt)

    def close(self) -> None:
        """End the lanes. Blocks for a few seconds at most."""
        self._threads.close()
        calls = self._calls
        self._own_loop.close(calls.close if calls is not None else None)
        self._users_loop.close()
        if self._shells is not None:
            self._shells.close()
        CAPTURE.uninstall()

    # on the lanes' threads ---------------------------------------------------------------------------------------
    def _call(self, attempt: Attempt) -> Outcome | None:
        function = attempt.function
        if function is None:
            found = python_runner.find(self._functions, attempt)
            if isinstance(found, Outcome):
                return found
            attempt.function = function = found
            if function.is_async:
                self._line.move(attempt, COROUTINES)
                return None
        return python_runner.call(attempt, function)

    def _call_async(self, attempt: Attempt) -> Coroutine[Any, Any, Outcome]:
        assert attempt.function is not None
        return python_runner.call_async(attempt, attempt.function)

    async def _run(self, attempt: Attempt) -> Outcome:
        kind = attempt.dispatch.job.kind
        if kind == "http":
            if self._calls is None:
                from headrace.runners.http_runner import HttpRunner

                self._calls = HttpRunner(self._http_policy)
            return await self._calls.run(attempt)
        if self._shells is None:
            from headrace.runners.shell_runner import ShellRunner

            self._shells = ShellRunner(self._app_dir, self._state_folder)
        if kind == "shell":
            return await self._shells.run(attempt)
        return await self._shells.run_python(attempt)
