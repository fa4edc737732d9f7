"""Which runs may start: `limits.active_runs` of a workflow, oldest run first.

A run that has not started waits here, queued or paused. Its deadline counts from its creation, so its clock runs here;
the timer lives in memory only, because whoever loads the run asks again.
"""

from __future__ import annotations

from bisect import insort

from headrace.engine.core.states import RunState
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.timers import Timers

_Workflow = tuple[str, str]


class Admission:
    """Counts the active runs of each workflow that limits them. `timers`: where deadlines of waiting runs are set."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._active: dict[_Workflow, set[int]] = {}
        self._waiting: dict[_Workflow, list[LiveRun]] = {}  # by number

    def ask(self, live: LiveRun) -> bool:
        """Whether a queued run may start now; else it waits, and `left` names it when its turn comes."""
        limit = live.using.plan.workflow.limits.active_runs
        if limit is None:
            return True
        name = _name(live)
        active = self._active.setdefault(name, set())
        if len(active) < limit and not self._waiting.get(name):
            active.add(live.no)
            return True
        insort(self._waiting.setdefault(name, []), live, key=_number)
        self._set_deadline(live)
        return False

    def started(self, live: LiveRun) -> None:
        """Take in a run that is not queued: it was loaded, or is run again. One that was paused before it had started
        takes no place."""
        if live.machine.status.started_at is None:
            self._set_deadline(live)
        elif live.using.plan.workflow.limits.active_runs is not None:
            self._active.setdefault(_name(live), set()).add(live.no)

    def changed(self, live: LiveRun) -> list[LiveRun]:
        """The state of a run that is not final was committed. Answers with the runs that may start now.

        One that is paused before it has started gives its place up; resumed, it asks again.
        """
        status = live.machine.status
        if status.started_at is None:
            if status.state is RunState.QUEUED:
                return [live] if self.ask(live) else []
            following = self.left(live)
            self.started(live)
            return following
        self.started(live)
        return []

    def left(self, live: LiveRun) -> list[LiveRun]:
        """A run is final, or gone. Answers with those that may start now."""
        name = _name(live)
        waiting = self._waiting.get(name)
        if waiting and live in waiting:
            waiting.remove(live)
        active = self._active.get(name)
        if active is None:
            return []
        active.discard(live.no)
        admitted = []
        while waiting:
            limit = waiting[0].using.plan.workflow.limits.active_runs
            if limit is not None and len(active) >= limit:
                break
            admitted.append(waiting.pop(0))
            active.add(admitted[-1].no)
        return admitted

    def ended(self, live: LiveRun) -> None:
        """The run is final with the batch in the making; its place is free when it has left memory."""

    def reset(self) -> None:
        self._active.clear()
        self._waiting.clear()

    def _set_deadline(self, live: LiveRun) -> None:
        deadline = live.using.plan.workflow.deadline
        if deadline is not None:
            due = live.row.created_at + deadline.total_seconds()
            self._timers.set(live.no, live.machine.generation, None, "deadline", due)


def _name(live: LiveRun) -> _Workflow:
    return live.row.project, live.row.workflow


def _number(live: LiveRun) -> int:
    return live.no
