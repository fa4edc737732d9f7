"""Sealing a decision: its rows, history and timers go into the batch, and its values into the cache once committed."""

from __future__ import annotations

from headrace.engine.core.events import RerunAsked
from headrace.engine.core.states import TaskState
from headrace.engine.ports.store import Batch, HistoryRow
from headrace.engine.shell import history
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.rows import run_update, task_rows, value_of_row
from headrace.engine.shell.timers import Timers
from headrace.engine.shell.values import ValueCache

_FINAL = TaskState.SUCCEEDED
_new = tuple.__new__


def seal(live: LiveRun, batch: Batch, timers: Timers) -> None:
    """Put what a run decided into its part's batch."""
    decision, no = live.decision, live.no
    live.seq += 1
    body = history.encode(decision, live.rounds, live.cache, live.refused)
    batch.history.append(_new(HistoryRow, (no, live.seq, batch.at, body)))
    if decision.rows:
        batch.tasks.extend(task_rows(no, decision))
    if decision.run is not None:
        rerun = live.alone and any(isinstance(event, RerunAsked) for event in decision.events)
        generations = live.machine.status.generations if rerun or live.fixed else None
        batch.runs.append(run_update(no, decision.run, generations))
    if live.timed:
        timers.flush(no, live.timed, batch)


def remember(live: LiveRun, values: ValueCache) -> None:
    """Keep the values of committed task runs that some expression reads, so that its judgement needs no query."""
    read, decision = live.using.read, live.decision
    for key, row in decision.rows.items():
        if key.task in read and row.state >= _FINAL:
            size = len(row.output) if row.output is not None else 0
            values.put(live.no, decision.generation, key, value_of_row(row), size)
