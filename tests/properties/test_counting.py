"""Counting whole arrays comes to the same as looking at every task run that people are shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from hypothesis import given

from headrace.engine.core.decision import Row
from headrace.engine.core.machine.counting import counts
from headrace.engine.core.workflow import Workflow
from headrace.engine.ports.store import TaskRow
from headrace.engine.shell.views import task_views
from tests.properties.test_machine import SEEDS, flights
from tests.support.model_flight import Course, Flight
from tests.support.strategies import workflows

_OWN = {field.name for field in fields(Row)}


class Counted(Flight):
    """Compares the two after every event."""

    def agree(self) -> None:
        super().agree()
        pilot = self.pilot
        rows = [_stored(generation, key, row) for (generation, key), row in pilot.rows.items()]
        shown = Counter(task.state for task in task_views(pilot.plan, pilot.machine.status, rows))
        assert counts(pilot.machine.board) == shown


def _stored(generation: int, key: Any, row: Row) -> TaskRow:
    columns: dict[str, Any] = {name: getattr(row, name) for name in TaskRow._fields if name in _OWN}
    lost = dict.fromkeys(("output", "artifact", "error", "inputs"))
    return TaskRow(**columns | lost | {"run": 1, "generation": generation, "task": key.task, "map": key.map})


@flights(60)
@given(workflows(8), SEEDS)
def test_counts_are_those_of_the_task_runs_that_are_shown(workflow: Workflow, seed: int) -> None:
    Counted(workflow, seed, Course(mischief=20)).fly()


@flights(40)
@given(workflows(7), SEEDS)
def test_counts_after_cancels_and_reruns(workflow: Workflow, seed: int) -> None:
    Counted(workflow, seed, Course(mischief=5, cancel=4, kill=2, reruns=2)).fly()
