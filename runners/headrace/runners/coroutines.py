"""The lanes of coroutines: users' `async def` functions on one loop thread, our own process and HTTP calls on another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from threading import Event, Lock, Thread, get_ident
from time import monotonic
from types import coroutine
from typing import Any

from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.context import RUNNING as CONTEXT
from headrace.runners.line import Line
from headrace.runners.values import fault


class LoopThread:
    """An event loop on a daemon thread of its own, started when first used."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Safe from any thread."""
        loop = self._loop
        if loop is None:
            with self._lock:
                loop = self._loop
                if loop is None:
                    loop = asyncio.new_event_loop()
                    running = Event()
                    self._thread = Thread(
                        target=self._main, args=(loop, running), name=self._name, daemon=True
                    )
                    self._thread.start()
                    running.wait()
                    self._loop = loop
        return loop

    def here(self) -> bool:
        """Whether the caller is on this thread."""
        return self._thread is not None and self._thread.ident == get_ident()

    def call(self, what: Callable[[], None]) -> None:
        loop = self.loop()
        if self.here():
            loop.call_soon(what)
        else:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(what)

    def close(self, before: Callable[[], Awaitable[None]] | None = None, timeout: float = 5.0) -> None:
        """Cancel what still runs there, await `before`, end the loop. Blocks for at most `timeout` seconds."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return

        async def end() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=timeout / 2)
            if before is not None:
                await before()
            await loop.shutdown_asyncgens()
            loop.stop()

        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: loop.create_task(end()))
        thread.join(timeout)

    @staticmethod
    def _main(loop: asyncio.AbstractEventLoop, running: Event) -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(running.set)
        try:
            loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            loop.close()


class CoroutineLane:
    """Runs attempts on a LoopThread; every attempt has a context of its own, and from when it first waits a task of its own.

    Making a task costs as much as running a coroutine that never waits. So those that start together are begun one after another
    in one task, until one of them waits: the task becomes that one's, and each of the rest gets one.

    `execute` turns any exception of the task's own into an outcome; CancelledError passes through it when the
    attempt was asked to stop. `ended` and `notice` as in ThreadLane.
    """

    def __init__(
        self,
        line: Line,
        lane: int,
        thread: LoopThread,
        execute: Callable[[Attempt], Awaitable[Outcome]],
        ended: Callable[[Attempt], None],
        notice: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._lane = lane
        self._thread = thread
        self._execute = execute
        self._ended = ended
        self._notice = notice
        self._clock = clock
        self._kicked = False
        self._noticing = False
        line.kicks[lane] = self.kick

    def kick(self) -> None:
        """Look at the line soon. Safe from any thread."""
        if not self._kicked:
            self._kicked = True
            self._thread.call(self._pump)

    def interrupt(self, attempt: Attempt) -> None:
        self._thread.call(lambda: self._cancel(attempt))

    def abandon(self, attempt: Attempt) -> None:
        """Free the slot of a task that ignores its cancellation; it stays on the loop."""
        self._line.give_back(attempt)

    def _pump(self) -> None:
        self._kicked = False
        waiting = deque(self._line.take_all(self._lane))
        if waiting:
            began, started_at = monotonic(), self._clock()
            for attempt in waiting:
                attempt.began, attempt.started_at = began, started_at
            asyncio.get_running_loop().create_task(self._begin(waiting))

    async def _begin(self, waiting: deque[Attempt]) -> None:
        """Run one after another, all that are left in tasks of their own once this task belongs to one of them."""
        task = asyncio.current_task()
        try:
            while waiting and not (task is not None and task.cancelling()):  # by the one before, itself
                await _apart(self._run(waiting.popleft()), lambda: self._spread(waiting))
        finally:
            self._spread(waiting)

    def _spread(self, waiting: deque[Attempt]) -> None:
        loop = asyncio.get_running_loop()
        while waiting:
            loop.create_task(self._run(waiting.popleft()))  # noqa: RUF006 - begun, the attempt holds it

    def _cancel(self, attempt: Attempt) -> None:
        # without a task it has ended, or will see when it starts that it was asked to stop
        task: asyncio.Task[None] | None = attempt.handle
        if task is not None:
            task.cancel()

    async def _run(self, attempt: Attempt) -> None:
        attempt.handle = asyncio.current_task()
        CONTEXT.set(attempt)
        outcome: Outcome | None = None
        try:
            if attempt.stopping is None:
                outcome = await self._execute(attempt)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            outcome = fault(error)
        finally:
            attempt.handle = None  # the task may go on with another
            attempt.close()
            attempt.outcome = outcome
            attempt.finished_at = self._clock()
            if attempt.function is not None:
                attempt.function.took(monotonic() - attempt.began)
            self._line.give_back(attempt)
            self._ended(attempt)
            if not self._noticing:
                self._noticing = True
                asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._noticing = False
        self._notice()


@coroutine
def _apart(work: Coroutine[Any, Any, None], waits: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await a coroutine in a context of its own; `waits` is called when it waits for the first time."""
    run = copy_context().run
    try:
        awaited = run(work.send, None)
        waits()
        while True:
            try:
                given = yield awaited
            except GeneratorExit:
                run(work.close)
                raise
            except BaseException as error:
                awaited = run(work.throw, error)
            else:
                awaited = run(work.send, given)
    except StopIteration:
        return
