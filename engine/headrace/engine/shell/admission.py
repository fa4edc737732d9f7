"""Which runs may start: places among the active runs of their workflow, and its concurrency keys (`core.limits`).

A run that has not started waits here, queued or paused. Its deadline counts from its creation, so its clock runs here;
the timer lives in memory only, because whoever loads the run asks again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.engine.core.limits import CANCEL_NEWEST, Limits, Share
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.commands import StopBody
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.timers import Timers

BY = "concurrency"
"""Who cancels a run because of a key that another one has."""
SUPERSEDED, KEY_TAKEN = "superseded", "concurrency_key_taken"
"""Reasons of such runs: another one is to go in their place, or goes already."""


def cancel_row(part: int, run: int, share: Share, at: float) -> InboxRow:
    """What tells a run that its concurrency key is another's."""
    reason = KEY_TAKEN if share.strategy == CANCEL_NEWEST else SUPERSEDED
    return InboxRow(0, part, run, "cancel", msgspec.json.encode(StopBody(BY, reason)), at)


class Admission:
    """The runs of an engine that decides alone. `timers`: where deadlines of waiting runs are set; `post`: leaves a row for the next
    batch of a run's part."""

    def __init__(self, timers: Timers, post: Callable[[LiveRun, InboxRow], None]) -> None:
        self._timers = timers
        self._post = post
        self._limits: Limits[int] = Limits()
        self._lives: dict[int, LiveRun] = {}  # who holds or waits

    def ask(self, live: LiveRun) -> list[LiveRun]:
        """A queued run asks to start. Answers with those that may now, perhaps this one; a later call names it when its turn comes."""
        shares = live.shares
        if not shares:
            return [live]
        self._lives[live.no] = live
        self._limits.want(live.no, shares, 0, live.no)
        admitted = self._settle()
        if live not in admitted:
            self._set_deadline(live)
        return admitted

    def started(self, live: LiveRun) -> None:
        """Take in a run that is not queued: it was loaded, or is run again. One that was paused before it had started
        takes no place."""
        if live.machine.status.started_at is None:
            self._set_deadline(live)
        elif shares := live.shares:
            self._lives[live.no] = live
            self._limits.hold(live.no, shares, live.no)

    def changed(self, live: LiveRun) -> list[LiveRun]:
        """The state of a run that is not final was committed. Answers with the runs that may start now.

        One that is paused before it has started gives its place up; resumed, it asks again.
        """
        status = live.machine.status
        if status.started_at is None:
            if status.state is RunState.QUEUED:
                return self.ask(live)
            following = self.left(live)
            self.started(live)
            return following
        self.started(live)
        return []

    def left(self, live: LiveRun) -> list[LiveRun]:
        """A run is final, or gone. Answers with those that may start now."""
        if self._lives.pop(live.no, None) is None:
            return []
        self._limits.free(live.no)
        return self._settle()

    def ended(self, live: LiveRun) -> None:
        """The run is final with the batch in the making; its place is free when it has left memory."""

    def reset(self) -> None:
        self._limits = Limits()
        self._lives.clear()

    def _settle(self) -> list[LiveRun]:
        settled = self._limits.settle()
        for no, share, _ in settled.cancelled:
            live = self._lives[no]
            self._post(live, cancel_row(live.part.number, no, share, 0.0))
        return [self._lives[no] for no in settled.granted]

    def _set_deadline(self, live: LiveRun) -> None:
        deadline = live.using.plan.workflow.deadline
        if deadline is not None:
            due = live.row.created_at + deadline.total_seconds()
            self._timers.set(live.no, live.machine.generation, None, "deadline", due)
