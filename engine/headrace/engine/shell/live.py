"""A run in memory: its machine, its plan, and where its share of the current turn stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from headrace.engine.core.concurrency import shares_of
from headrace.engine.core.decision import Decision, Effect, Ready, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import (
    CancelAsked,
    Continued,
    Decided,
    PauseAsked,
    RerunAsked,
    ResumeAsked,
    Resumed,
    TaskAsked,
)
from headrace.engine.core.keys import Key
from headrace.engine.core.limits import Share
from headrace.engine.core.machine.scopes import start_scope
from headrace.engine.core.run import RunInfo
from headrace.engine.core.workflow import Priority
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.history import Refusal
from headrace.engine.shell.line import Line
from headrace.engine.shell.plans import PlanInUse, Profile

if TYPE_CHECKING:
    from headrace.engine.core.machine import RunMachine
    from headrace.engine.shell.part import Part


CLASS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


def _trace(trigger: bytes) -> str | None:
    """The W3C traceparent that a run was started with. Few have one, so most are not read for it."""
    if b"traceparent" not in trigger:
        return None
    found = msgspec.json.decode(trigger).get("traceparent")
    return found if isinstance(found, str) else None


_SILENT = frozenset((Continued, Resumed))
"""Events of the engine's own that change nothing by themselves."""
_ASKED = frozenset((CancelAsked, PauseAsked, ResumeAsked, RerunAsked, TaskAsked, Decided))
"""What people and programs ask for."""


class LiveRun:
    """One run in memory. Everything below `decision` belongs to the current turn and is emptied by `turned`."""

    __slots__ = (
        "_asks",
        "_class",
        "_effects_seen",
        "_ready_seen",
        "_transitions_seen",
        "_withdrawn_seen",
        "alone",
        "broken",
        "cache",
        "commanded",
        "decision",
        "fixed",
        "info",
        "machine",
        "no",
        "onto",
        "part",
        "refused",
        "rounds",
        "row",
        "seq",
        "timed",
        "trace",
        "using",
    )

    def __init__(self, part: Part, row: RunRow, info: RunInfo, machine: RunMachine, using: PlanInUse) -> None:
        self.part = part
        self.no = row.no
        self.row = row
        self.info = info
        self.machine = machine
        self.using = using
        self.seq = row.seq
        self.trace = _trace(row.trigger)
        self.broken = False
        self._asks: tuple[PlanInUse, tuple[Share, ...]] | None = None
        self._class = CLASS[info.priority]
        self.rounds: list[int] = []  # how many events there were after each round of deciding
        self.refused: list[Refusal] = []
        self.cache: dict[str, bytes | Artifact | None] = {}  # what the task cache answered
        self.timed: dict[Key | None, None] = {}  # whose timers were set
        self.decision = Decision()
        self.turned()

    @property
    def shares(self) -> tuple[Share, ...]:
        """What the run takes before it starts: its place among the active runs, and that of each of its concurrency keys."""
        using = self.using
        workflow = using.plan.workflow
        if not workflow.concurrency and workflow.limits.active_runs is None:
            return ()
        if self._asks is None or self._asks[0] is not using:
            scope = start_scope(workflow.name, self.info)
            self._asks = using, shares_of(self.row.project, workflow, scope, self.machine.evaluator)
        return self._asks[1]

    def turned(self) -> None:
        """The turn is over: begin the next with an empty decision. That the run was loaded is not worth a row of history, yet what
        is decided after it may depend on it: it stands before what is written next."""
        before = self.decision.events
        loaded = [event for event in before if type(event) is Resumed] if before and not self.changed else ()
        self.decision = Decision(generation=self.machine.generation)
        self.alone = False  # a rerun: no other event may share its turn
        self.fixed = False  # the versions of its children were fixed, and are to be stored
        self.onto: PlanInUse | None = None  # the plan with which a rerun goes on
        self.commanded = False  # at most one person's command a turn
        self.rounds.clear()
        if loaded:
            self.decision.events.extend(loaded)
            self.rounds.append(len(loaded))
        self.refused.clear()
        self.cache.clear()
        self.timed.clear()
        self._transitions_seen = self._effects_seen = self._ready_seen = self._withdrawn_seen = 0

    def follow_machine(self) -> None:
        """Where the machine went on with another version of the workflow, so does the run."""
        onto, machine = self.onto, self.machine
        if onto is not None and machine.plan is onto.plan:
            self.using, self.info, self.onto = onto, machine.info, None
            self.row = self.row._replace(version=machine.info.version, plan=onto.plan.hash)

    @property
    def tenant(self) -> str:
        """Who takes turns in the line."""
        return self.row.project

    @property
    def folder(self) -> str | None:
        return self.row.folder

    def profile(self, task: int, line: Line) -> Profile:
        """What dispatching needs to know of a task."""
        known = self.using.profiles.get(task)
        return self.using.profile(task, line) if known is None else known

    def priority(self, profile: Profile) -> int:
        """The class in the line: 0 high, 1 normal, 2 low; the task's own, else the run's."""
        own = profile.priority
        return self._class if own is None else CLASS[own]

    # What a decision gained since it was last looked at: several rounds of one turn add to the same decision.

    def new_transitions(self) -> list[Transition]:
        moved = self.decision.transitions
        out = moved[self._transitions_seen :] if self._transitions_seen else moved
        self._transitions_seen = len(moved)
        return out

    def new_effects(self) -> list[Effect]:
        effects = self.decision.effects
        out = effects[self._effects_seen :] if self._effects_seen else effects
        self._effects_seen = len(effects)
        return out

    def new_ready(self) -> list[Ready]:
        ready = self.decision.ready
        out = ready[self._ready_seen :] if self._ready_seen else ready
        self._ready_seen = len(ready)
        return out

    def new_withdrawn(self) -> Iterator[tuple[int, Key]]:
        withdrawn = self.decision.withdrawn
        out = withdrawn[self._withdrawn_seen :]
        self._withdrawn_seen = len(withdrawn)
        no = self.no
        return ((no, key) for key in out)

    @property
    def changed(self) -> bool:
        """Whether the decision says anything; stale events alone do not, but for what somebody has asked for: history is where the
        answer to that is looked for. One that only made something ready does: what follows from it later could not be decided
        again without it."""
        decision = self.decision
        return bool(
            decision.transitions
            or decision.rows
            or decision.effects
            or decision.run is not None
            or self.refused
            or any(
                type(event) not in _SILENT
                for event in (decision.events if len(decision.events) > decision.stale else ())
            )
            or any(type(event) in _ASKED for event in decision.events)
        )
