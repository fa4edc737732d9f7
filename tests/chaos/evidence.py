"""Everything that a world leaves behind: the tables, what went through Kafka, and what the task bodies wrote down themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace.engine.core.keys import written
from headrace.engine.core.plan import Plan
from headrace.engine.ports.messages import Report
from headrace.engine.ports.store import RunRow, TaskRow
from headrace.engine.shell.history import Recorded

TaskKey = tuple[int, int, int, int]
"""run, generation, task, map"""
AttemptKey = tuple[int, int, int, int, int]
"""and attempt"""


class Effect(NamedTuple):
    """One line of the journal. `key`: run id, generation and task run, as `current().effect_key` has them; `kind`: begin,
    succeeded, failed or skipped; `at`: seconds since the epoch, by the worker's clock."""

    at: float
    key: str
    attempt: int
    pid: int
    kind: str
    output: str | None = None


class Sent(NamedTuple):
    """One delivery of an attempt, as it lies on a queue's topic."""

    key: AttemptKey
    part: int
    epoch: int
    n: int
    to: str


class Letter(NamedTuple):
    """A dead letter: which attempt of which task run."""

    id: int
    key: AttemptKey


class Entry(NamedTuple):
    """One row of a run's history, read back."""

    seq: int
    at: float
    past: Recorded


class Told(NamedTuple):
    """A run as it is stored."""

    row: RunRow
    plan: Plan
    tasks: Sequence[TaskRow]
    history: Sequence[Entry]

    def effect_key(self, generation: int, task: int, map: int) -> str:
        """By which the journal knows the task run."""
        return f"{self.row.id}/{generation}/{written(self.plan.ids[task], map)}"

    def name(self, generation: int, task: int, map: int) -> str:
        """For people."""
        return f"{written(self.plan.ids[task], map)} (run {self.row.no}, generation {generation})"


@dataclass
class Evidence:
    """What the checker judges.

    `accepted`: the number that was acknowledged to each request for a run. `children`: runs that were begun by runs.
    `commands`: who gave one, to which run. `epochs`: of each part, at the end. `left`: rows that are still in tables which should
    be empty. `differences`: what deciding again from history came to otherwise. `published`: ids of the dead letters on job-dlq.
    `only_engines`: nothing was disturbed but engines.
    """

    accepted: Mapping[str, int]
    runs: Mapping[int, Told]
    epochs: Mapping[int, int]
    effects: Sequence[Effect]
    dispatches: Sequence[Sent]
    reports: Sequence[Report]
    letters: Sequence[Letter] = ()
    published: frozenset[int] = frozenset()
    commands: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    differences: Sequence[str] = ()
    only_engines: bool = False

    def told(self) -> Iterable[Told]:
        """Every run."""
        return self.runs.values()
