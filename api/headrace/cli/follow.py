"""Follow a run until it ends: show its changes, turn Ctrl-C into a cancel, and tell how it ended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Literal

from headrace.cli.documents import run_document
from headrace.cli.failure import Status
from headrace.cli.output import moment, print_json
from headrace.cli.progress import Display, display
from headrace.cli.references import short
from headrace.cli.story import tell
from headrace.engine.core.plan import Plan

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.cli.station import Station


async def follow(
    station: Station,
    run: RunEntry,
    plan: Plan | None,
    *,
    json: bool = False,
    watch: bool = False,
    quiet: bool = False,
    stop_on_interrupt: bool = False,
    timeout: float | None = None,
) -> Status:
    """Show the run until it is final and return the exit status for it.

    With `stop_on_interrupt` Ctrl-C (and SIGTERM) cancels the run and a second one kills it; else Ctrl-C only stops
    looking. `timeout` in seconds: status TIMEOUT, and the run goes on.
    """
    shown = display(
        plan,
        run=run.run,
        title=f"{run.workflow} {short(run.run)}",
        started=moment(run.created_at),
        clock=time.time,
        json=json or quiet,
        watch=watch and not quiet,
    )
    interrupted = Interrupts(station, run, shown)
    try:
        async with asyncio.timeout(timeout) as limit, interrupted.caught(stop_on_interrupt):
            with shown:
                async with aclosing(station.watch(run)) as changes:
                    async for change in changes:
                        shown.show(change)
    except TimeoutError:
        if not limit.expired():
            raise  # of something else
        shown.remark(f"headrace: run {short(run.run)} has not ended after --timeout; it goes on.")
        return Status.TIMEOUT
    seen = await station.see(run.run)
    if json:
        if not watch:
            print_json(run_document(seen))
    else:
        await tell(seen, station.lines, brief=quiet)
    if interrupted.count:
        return Status.INTERRUPTED
    return Status.OK if seen.run.state == "succeeded" else Status.RUN_FAILED


class Interrupts:
    """The first Ctrl-C cancels the run, the second kills it, a third leaves at once."""

    def __init__(self, station: Station, run: RunEntry, shown: Display) -> None:
        self.station, self.run, self.shown = station, run, shown
        self.count = 0
        self._asked: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def caught(self, wanted: bool) -> AsyncIterator[None]:
        if not wanted:
            yield
            return
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._another, task.cancel)
        try:
            yield
        except asyncio.CancelledError:
            if self.count < 3:
                raise
            task.uncancel()
            raise KeyboardInterrupt from None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            asked = tuple(self._asked)
            for each in asked:  # the run has ended, or nobody waits for it any longer
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _another(self, leave: Callable[[], object]) -> None:
        self.count += 1
        if self.count == 1:
            self.shown.remark(
                "Cancelling: running tasks are stopped, teardowns run. Ctrl-C again kills the run."
            )
            self._ask("cancel")
        elif self.count == 2:
            self.shown.remark("Killing: nothing more runs.")
            self._ask("kill")
        else:
            leave()

    def _ask(self, command: Literal["cancel", "kill"]) -> None:
        asked: asyncio.Task[object] = asyncio.ensure_future(
            self.station.command(self.run, command, {"reason": "interrupted"})
        )
        self._asked.add(asked)
        asked.add_done_callback(self._answered)

    def _answered(self, asked: asyncio.Task[object]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled() and (problem := asked.exception()) is not None:
            self.shown.remark(f"headrace: {problem}")
