"""Which queued runs may start: `limits.active_runs` of a workflow, oldest run first."""

from __future__ import annotations

from collections import deque

from headrace.engine.shell.live import LiveRun

_Workflow = tuple[str, str]


class Admission:
    """Counts the active runs of each workflow that limits them."""

    def __init__(self) -> None:
        self._active: dict[_Workflow, set[int]] = {}
        self._waiting: dict[_Workflow, deque[LiveRun]] = {}

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
        self._waiting.setdefault(name, deque()).append(live)
        return False

    def started(self, live: LiveRun) -> None:
        """Count a run that is active already: it was loaded, or is run again."""
        if live.using.plan.workflow.limits.active_runs is not None:
            self._active.setdefault(_name(live), set()).add(live.no)

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
            admitted.append(waiting.popleft())
            active.add(admitted[-1].no)
        return admitted

    def reset(self) -> None:
        self._active.clear()
        self._waiting.clear()


def _name(live: LiveRun) -> _Workflow:
    return live.row.project, live.row.workflow
