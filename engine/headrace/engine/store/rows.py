"""Between rows of the database and the records of `ports.store`, in both directions.

What leaves the database whole is checked against its checksums; lists are not, so that one damaged run does not hide
the others: reading that run itself says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, null, select

from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.store import (
    NewRun,
    RowDamaged,
    RunRow,
    RunUpdate,
    StoredValue,
    TaskRow,
    VersionRow,
)
from headrace.engine.ports.waits import WaitRow
from headrace.engine.store.checksums import checksum, verify
from headrace.engine.store.fingerprints import fingerprint
from headrace.engine.store.partitions import EARLIER
from headrace.engine.store.tables import history, plans, runs, task_runs, versions

_SO_FAR = case((task_runs.c.state < int(TaskState.SUCCEEDED), task_runs.c.output)).label("output")
LOADED_COLUMNS = tuple(
    _SO_FAR if name == "output" else null().label(name) if name in ("error", "inputs") else task_runs.c[name]
    for name in TaskRow._fields
)
VALUE_COLUMNS = tuple(task_runs.c[name] for name in StoredValue._fields)
VERSION_COLUMNS = tuple(
    plans.c.document if name == "document" else versions.c[name] for name in VersionRow._fields
)

_PARENT = ("parent_run", "parent_generation", "parent_task", "parent_map")
_CRC = ("given_crc", "output_crc", "generations_crc")
_LAST_SEQ = (
    select(func.coalesce(func.max(history.c.seq), 0))
    .where(history.c.run == runs.c.no, history.c.at >= runs.c.created_at - EARLIER)
    .correlate(runs)
    .scalar_subquery()
)
_RUN_COLUMNS = {**runs.c, "parent": null().label("parent"), "seq": _LAST_SEQ.label("seq")}
RUN_COLUMNS = tuple(_RUN_COLUMNS[name] for name in (*RunRow._fields, *_PARENT, *_CRC))
"""The fields of a run in their order, its parent in parts, and the checksums."""

RUN_UPDATED = (*RunUpdate._fields, "output_crc", "generations_crc")
TASK_WRITTEN = (*TaskRow._fields, "result_crc", "inputs_crc")


def run_row(row: Sequence[Any], *, check: bool) -> RunRow:
    """The run in a row of RUN_COLUMNS. Raises RowDamaged when `check`."""
    *fields, parent_run, generation, task, path, given_crc, output_crc, generations_crc = row
    run = RunRow._make(fields)
    if check:
        verify(run.no, "parameters", given_crc, run.params, run.trigger, run.event)
        verify(run.no, "output", output_crc, run.output, run.artifact)
        verify(run.no, "reruns", generations_crc, run.generations)
    return run if parent_run is None else run._replace(parent=(parent_run, generation, task, path))


def task_row(row: Sequence[Any]) -> TaskRow:
    """The task run in a row of TASK_WRITTEN. Raises RowDamaged."""
    *fields, result_crc, inputs_crc = row
    task = TaskRow._make(fields)
    _check_task(task, result_crc, inputs_crc)
    return task


def stored_value(row: Sequence[Any]) -> StoredValue:
    """The value in a row of VALUE_COLUMNS and the two checksums. Raises RowDamaged."""
    *fields, result_crc, inputs_crc = row
    value = StoredValue._make(fields)
    _check_task(value, result_crc, inputs_crc)
    return value


def _check_task(row: TaskRow | StoredValue, result_crc: int | None, inputs_crc: int | None) -> None:
    if checksum(row.output, row.artifact, row.error) != result_crc:
        raise RowDamaged(row.run, f"result of task {row.task}")
    if checksum(row.inputs) != inputs_crc:
        raise RowDamaged(row.run, f"inputs of task {row.task}")


def task_values(row: TaskRow) -> tuple[Any, ...]:
    """The row with its checksums, in the order of TASK_WRITTEN."""
    return (
        *row,
        checksum(row.output, row.artifact, row.error),
        checksum(row.inputs),
    )


def update_values(update: RunUpdate) -> tuple[Any, ...]:
    """The update with its checksums, in the order of RUN_UPDATED."""
    return (*update, checksum(update.output, update.artifact), checksum(update.generations))


def run_values(run: NewRun) -> dict[str, Any]:
    """The columns of a run that begins: queued, first generation."""
    parent = run.parent or (None, None, None, None)
    return {
        "id": run.id,
        "project": run.project,
        "workflow": run.workflow,
        "version": run.version,
        "plan": run.plan,
        "part": run.part,
        "state": int(RunState.QUEUED),
        "generation": 1,
        "paused": False,
        "params": run.params,
        "trigger": run.trigger,
        "event": run.event,
        "given_crc": checksum(run.params, run.trigger, run.event),
        "key": run.key,
        "idempotency": run.idempotency,
        **dict(zip(_PARENT, parent, strict=True)),
        "depth": run.depth,
        "priority": run.priority,
        "tags": json.dumps(run.tags) if run.tags else "[]",
        "created_at": run.created_at,
        "scheduled_at": run.scheduled_at,
        "folder": run.folder,
        "file": run.file,
    }


def letter_values(letter: DeadLetterRow) -> tuple[Any, ...]:
    """The letter with its checksum and its fingerprint, in the order of LETTER."""
    return (
        *letter,
        checksum(letter.error),
        fingerprint(letter.workflow, letter.task_id, letter.error),
    )


LETTER = (*DeadLetterRow._fields, "error_crc", "fingerprint")
"""The columns of a dead letter that a batch gives; its project is that of its run."""

WAIT_KEY = ("run", "generation", "task", "map", "place")
WAIT_CHANGED = tuple(name for name in WaitRow._fields if name not in WAIT_KEY)

RUN_BEGUN = tuple(run_values(NewRun("", "", "", 0, "", 0, b"", b"", 0.0, 0.0, "")))
"""The columns that `run_values` fills."""
