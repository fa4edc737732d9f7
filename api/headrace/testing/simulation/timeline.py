"""Virtual time, and the turns of the processes that share it: one thread, no clock, no selector.

Every simulated process has an event loop of its own (`ProcessLoop`), and all loops stand on one `Timeline`. The timeline
lets one process after the other have a turn, in an order that is drawn; when nobody has anything to do, time jumps to the
next timer. Within a process callbacks run in the order that asyncio promises. A process can be stopped and go on later, and
it can die: then nothing of it is ever run again, no `finally` and no `except`, as after kill -9.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar, TypeVarTuple

from headrace.testing.simulation.faults import Livelock

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")

MANY_TASKS = 256
"""Of a process; with more, those that ended are let go."""

EXECUTOR_SECONDS = 0.002
"""Virtual: what is given to an executor is done within so long, in a later turn of the same process."""


class Turn:
    """A callback that waits for its turn. Stands for `asyncio.Handle`."""

    __slots__ = ("args", "callback", "context")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = context

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None


class Alarm(Turn):
    """A callback that waits for its time. Stands for `asyncio.TimerHandle`."""

    __slots__ = ("at", "loop")

    def __init__(
        self,
        at: float,
        loop: ProcessLoop,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        super().__init__(callback, args, context)
        self.at = at
        self.loop = loop

    def when(self) -> float:
        return self.at


class Timeline:
    """Time in seconds from the beginning of the simulation. `most`: callbacks without any time passing, after which it is
    taken to turn in a circle."""

    def __init__(self, random: Random, most: int = 100_000) -> None:
        self.now = 0.0
        self.steps = 0
        self.random = random
        self.loops: list[ProcessLoop] = []
        self._most = most
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._count = 0
        self._ready: list[ProcessLoop] = []  # those with something to do that may do it

    def set(self, alarm: Alarm) -> None:
        self._count += 1
        heappush(self._alarms, (alarm.at, self._count, alarm))

    def wake(self, loop: ProcessLoop) -> None:
        """The loop has something to do."""
        self._ready.append(loop)

    def sleep(self, loop: ProcessLoop) -> None:
        """It may not do it now."""
        if loop in self._ready:
            self._ready.remove(loop)

    def run(self, over: Callable[[], bool], until: float) -> bool:
        """Until `over`, looked at whenever time passes; False when it was not by the time `until`. Raises Livelock."""
        ready, draw, alarms = self._ready, self.random.random, self._alarms
        set_running = asyncio._set_running_loop
        running: ProcessLoop | None = None
        most = self.steps + self._most
        while True:
            while ready:
                at = int(draw() * len(ready)) if len(ready) > 1 else 0
                loop = ready[at]
                ready[at] = ready[-1]
                ready.pop()
                if loop is not running:
                    running = loop
                    set_running(loop)
                self.steps += loop.turn()
                if self.steps > most:
                    raise Livelock(f"{self._most} callbacks, and it is still {self.now:.3f} s")
            if over():
                return True
            while alarms:
                at_time, _, alarm = alarms[0]
                if alarm.callback is None or alarm.loop.dead:
                    heappop(alarms)
                    continue
                break
            else:
                return False
            if at_time > until:
                self.now = max(self.now, until)
                return False
            if at_time > self.now:
                self.now = at_time
                most = self.steps + self._most
            while alarms and alarms[0][0] <= self.now:
                alarm = heappop(alarms)[2]
                if alarm.callback is not None and not alarm.loop.dead:
                    alarm.loop.take(alarm)


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process, as far as the code that runs here asks for it."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped_at: float | None = None
        """When it was stopped (SIGSTOP); None: it goes on."""
        self.dies_in: int | None = None
        """After so many more callbacks it is dead."""
        self.halts_in: int | None = None
        """After so many more callbacks it is stopped."""
        self.on_halt: list[Callable[[], None]] = []
        self.on_death: list[Callable[[], None]] = []
        self.faults: list[str] = []
        """Exceptions that nobody has taken."""
        self._timeline = timeline
        self._turns: deque[Turn] = deque()
        self._tasks: list[
            asyncio.Task[Any]
        ] = []  # all that may not have ended; asyncio would look at those of every loop
        self._many = MANY_TASKS
        self._waits = False  # the timeline knows that there is something to do
        timeline.loops.append(self)

    @classmethod
    def begin(cls, timeline: Timeline, name: str) -> ProcessLoop:
        """A new process. (What asyncio may ask of other loops, for sockets and signals, is not there.)"""
        return cls(timeline, name)

    def __repr__(self) -> str:
        return f"<process {self.name}>"

    # turns ------------------------------------------------------------------------------------------------------

    def take(self, turn: Turn) -> None:
        self._turns.append(turn)
        if not self._waits and self.stopped_at is None:
            self._waits = True
            self._timeline.wake(self)

    def turn(self) -> int:
        """Run what is there now; what that causes comes in a later turn. Returns how many callbacks ran."""
        self._waits = False
        turns = self._turns
        count = done = len(turns)
        while done:
            if self.dies_in is not None:
                self.dies_in -= 1
                if self.dies_in < 0:
                    self.die()
                    return count
            if self.halts_in is not None:
                self.halts_in -= 1
                if self.halts_in < 0:
                    self.halt()
                    return count
            turn = turns.popleft()
            done -= 1
            callback = turn.callback
            if callback is None:
                continue
            try:
                turn.context.run(callback, *turn.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as fault:
                self.call_exception_handler({"message": "a callback failed", "exception": fault})
            if self.dead:
                return count
            if self.stopped_at is not None:
                return count
        if turns and not self._waits:
            self._waits = True
            self._timeline.wake(self)
        return count

    def die(self) -> None:
        """kill -9: nothing of this process runs any more."""
        if not self.dead:
            self.dead = True
            self._timeline.sleep(self)
            for told in self.on_death:
                told()

    def halt(self) -> None:
        """SIGSTOP."""
        if self.stopped_at is None:
            self.stopped_at = self._timeline.now
            self.halts_in = None
            self._waits = False
            self._timeline.sleep(self)
            for told in self.on_halt:
                told()

    def go_on(self) -> None:
        """SIGCONT: everything that has come meanwhile is there at once."""
        if self.stopped_at is not None:
            self.stopped_at = None
            if self._turns and not self.dead:
                self._waits = True
                self._timeline.wake(self)

    def bury(self) -> None:
        """The simulation is over: end what is left of its tasks without running them."""
        self.dead = True
        for task in self._tasks:
            if task.done():
                continue
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if isinstance(coroutine, Coroutine):
                try:
                    coroutine.close()
                except BaseException:  # it wanted to wait for something: that is over too
                    continue
        self._turns.clear()
        self._tasks.clear()

    # what asyncio asks of a loop ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._timeline.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        turn = Turn(callback, args, copy_context() if context is None else context)
        if not self.dead:
            self._turns.append(turn)
            if not self._waits and self.stopped_at is None:
                self._waits = True
                self._timeline.wake(self)
        return turn

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Alarm:
        return self.call_at(self._timeline.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Alarm:
        alarm = Alarm(when, self, callback, args, copy_context() if context is None else context)
        if not self.dead:
            self._timeline.set(alarm)
        return alarm

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        self._tasks.append(task)  # held, for to be dropped would end it in order, which no kill -9 does
        if len(self._tasks) > self._many:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._many = MANY_TASKS + 2 * len(self._tasks)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()

        def do() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except BaseException as error:
                future.set_exception(error)

        self.call_later(self._timeline.random.random() * EXECUTOR_SECONDS, do)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            fault = context.get("exception")
            self.faults.append(f"{self.name}: {context.get('message')}: {fault!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return False
