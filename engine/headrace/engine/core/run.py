"""What the machine is told about a run, and the answers to what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace.engine.core.decision import Row, Value
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import Key
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Json, Priority


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The unchanging facts of a run. `params` are complete: defaults filled in and checked."""

    no: int
    id: str
    version: int
    params: Mapping[str, Json]
    trigger: str  # manual | parent | cron | ...
    created_at: float
    scheduled_at: float
    date: str  # day of scheduled_at in the trigger's zone, YYYY-MM-DD
    event: Json = None
    priority: Priority = Priority.NORMAL
    selected: tuple[str, ...] | None = None  # ids that run beside the handlers, see `selection`; None: all


class Moved(NamedTuple):
    """A rerun that went on with another version of its workflow, and the one that it came from. Plans are hashes."""

    version: int
    plan: str
    from_version: int
    from_plan: str


@dataclass(slots=True)
class Generation:
    """What one rerun reset: task runs (and everything downstream) that begin again as pending. The first generation
    resets nothing."""

    number: int
    reset: tuple[Key, ...] = ()  # exact task runs; a mapped head stands for all its items
    inputs: Json = None  # replaces what `with` gives the task runs in `heads`
    heads: tuple[Key, ...] = ()  # what was asked for, or had failed: where the rerun begins
    moved: Moved | None = None  # then every row that counts lies in this generation or a later one
    children: Mapping[str, int] = field(
        default_factory=dict
    )  # workflows it calls → versions, fixed at its start


@dataclass(slots=True)
class RunStatus:
    """The run's own changing facts, as stored."""

    state: RunState = RunState.QUEUED
    reason: str | None = None
    generation: int = 1
    started_at: float | None = None
    finished_at: float | None = None
    paused: bool = False
    generations: list[Generation] = field(default_factory=list)

    @property
    def base(self) -> int:
        """The generation that the run's plan came with: rows of earlier ones belong to another plan."""
        return next((g.number for g in reversed(self.generations) if g.moved is not None), 1)


class Answers(NamedTuple):
    """The shell's answer to a Need. Keys it was asked for and that have nothing stored are left out.

    `plan` and `rows` answer a need for a plan: that plan, and the run's rows that count now, whole.
    """

    values: Mapping[Key, Value] = {}
    cache: Mapping[str, bytes | Artifact] = {}
    plan: Plan | None = None
    rows: Mapping[Key, Row] = {}
    contents: Mapping[str, Json] = {}  # by the digest of their artifact; without those that cannot be loaded
