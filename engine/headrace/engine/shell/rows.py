"""Between decisions and the store: what a decision writes, and what a stored run tells its machine.

Both directions are on a hot path (a commit, a takeover), so rows are built positionally and payloads stay bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.engine.core.decision import DeadLetter, Decision, Row, RunChange, StoreCache, Value
from headrace.engine.core.evaluation import Artifact, Filled, Hole, Secret
from headrace.engine.core.events import Error
from headrace.engine.core.keys import Key
from headrace.engine.core.run import Generation, Moved, RunInfo, RunStatus
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Json, Priority
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.store import CacheRow, RunRow, RunUpdate, StoredValue, TaskRow
from headrace.engine.shell.times import day_of

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_new = tuple.__new__
_STATES = tuple(TaskState)
_FINAL = int(TaskState.SUCCEEDED)
_PRIORITIES = {priority.value: priority for priority in Priority}
_RUN_STATES = {int(state): state for state in RunState}


# -- payloads ----------------------------------------------------------------------------------------------------


def artifact_bytes(artifact: Artifact | None) -> bytes | None:
    return None if artifact is None else _encode(artifact)


_artifacts = msgspec.json.Decoder(Artifact)


def artifact_of(data: bytes | None) -> Artifact | None:
    return None if data is None else _artifacts.decode(data)


_ERROR_FIELDS = Error._fields


def error_bytes(error: Error | None) -> bytes | None:
    """A JSON object by field name, so that people and other programs can read the column."""
    return None if error is None else _encode(dict(zip(_ERROR_FIELDS, error, strict=True)))


def error_of(data: bytes | None) -> Error | None:
    if data is None:
        return None
    fields = _decode(data)
    fields["kinds"] = tuple(fields["kinds"])
    return Error(**fields)


def filled_bytes(filled: Filled) -> bytes:
    """Judged inputs as stored: the value alone in brackets, or the value and its holes. Secrets stay names."""
    if not filled.holes:
        return b"[" + _encode(filled.value) + b"]"
    return _encode(
        (filled.value, [(hole.path, [_part(part) for part in hole.parts]) for hole in filled.holes])
    )


def _part(part: str | Secret | Artifact) -> Json:
    if isinstance(part, Secret):
        return {"secret": part.name}
    if isinstance(part, Artifact):
        return {"artifact": part.uri, "digest": part.digest, "size": part.size}
    return part


def filled_of(data: bytes) -> Filled:
    """The inverse of `filled_bytes`."""
    value, *rest = _decode(data)
    if not rest:
        return Filled(value)
    return Filled(value, tuple(Hole(tuple(path), tuple(map(_part_of, parts))) for path, parts in rest[0]))


def _part_of(part: Any) -> str | Secret | Artifact:
    if isinstance(part, str):
        return part
    if "secret" in part:
        return Secret(part["secret"])
    return Artifact(part["artifact"], part["digest"], part["size"])


# -- decision → store --------------------------------------------------------------------------------------------


def task_rows(run: int, decision: Decision) -> list[TaskRow]:
    """The decision's task runs in column order."""
    generation = decision.generation
    out: list[TaskRow] = []
    add = out.append
    for (task, map_), row in decision.rows.items():
        artifact, error, inputs = row.artifact, row.error, row.inputs
        add(
            _new(
                TaskRow,
                (
                    run,
                    generation,
                    task,
                    map_,
                    int(row.state),
                    row.reason,
                    row.attempt,
                    row.epoch,
                    row.n,
                    row.worker,
                    row.ready_at,
                    row.started_at,
                    row.finished_at,
                    row.due_at,
                    row.output,
                    None if artifact is None else artifact_bytes(artifact),
                    None if error is None else error_bytes(error),
                    None if inputs is None else filled_bytes(inputs),
                    row.child,
                    row.items,
                    row.by,
                ),
            )
        )
    return out


def run_update(no: int, change: RunChange, generations: Sequence[Generation] | None) -> RunUpdate:
    """The run's own columns. `generations` is given when one was added, or the versions of its children were fixed."""
    added = (
        None if generations is None else next((g for g in generations if g.number == change.generation), None)
    )
    moved = None if added is None else added.moved
    return RunUpdate(
        no,
        int(change.state),
        change.reason,
        change.generation,
        change.started_at,
        change.finished_at,
        change.output,
        artifact_bytes(change.artifact),
        change.paused,
        None if generations is None else generations_bytes(generations),
        None if moved is None else moved.version,
        None if moved is None else moved.plan,
    )


def generations_bytes(generations: Iterable[Generation]) -> bytes:
    return _encode([_generation(generation) for generation in generations])


def _generation(generation: Generation) -> dict[str, Json]:
    """What is rare is left out."""
    fields: dict[str, Json] = {
        "number": generation.number,
        "reset": generation.reset,
        "inputs": generation.inputs,
        "heads": generation.heads,
    }
    if generation.moved is not None:
        fields["moved"] = generation.moved
    if generation.children:
        fields["children"] = generation.children
    return fields


def generations_of(data: bytes | None) -> list[Generation]:
    if not data:
        return []
    return [
        Generation(
            item["number"],
            _keys_of(item["reset"]),
            item["inputs"],
            _keys_of(item.get("heads", ())),
            Moved(*item["moved"]) if "moved" in item else None,
            item.get("children", {}),
        )
        for item in _decode(data)
    ]


def _keys_of(pairs: Iterable[Sequence[int]]) -> tuple[Key, ...]:
    return tuple(Key(*pair) for pair in pairs)


def cache_row(project: str, effect: StoreCache) -> CacheRow:
    return CacheRow(
        project, effect.cache_key, effect.output, artifact_bytes(effect.artifact), effect.expires_at
    )


def dead_letter(
    run: int, generation: int, at: float, effect: DeadLetter, workflow: str = "", task_id: str = ""
) -> DeadLetterRow:
    """The row; `workflow` and `task_id` name the task for those who look through letters of many runs."""
    error = error_bytes(effect.error)
    assert error is not None
    key = effect.key
    return DeadLetterRow(run, generation, key.task, key.map, effect.attempt, at, error, workflow, task_id)


# -- store → machine ---------------------------------------------------------------------------------------------


def run_info(row: RunRow) -> RunInfo:
    """The unchanging facts of a stored run. The trigger may give the day in its own zone as `date`."""
    trigger: Mapping[str, Any] = _decode(row.trigger)
    return RunInfo(
        no=row.no,
        id=row.id,
        version=row.version,
        params=_decode(row.params),
        trigger=trigger.get("kind", "manual"),
        created_at=row.created_at,
        scheduled_at=row.scheduled_at,
        date=trigger.get("date") or day_of(row.scheduled_at),
        event=None if row.event is None else _decode(row.event),
        priority=_PRIORITIES[row.priority],
        selected=None if (selected := trigger.get("selected")) is None else tuple(selected),
    )


def run_status(row: RunRow) -> RunStatus:
    return RunStatus(
        _RUN_STATES[row.state],
        row.reason,
        row.generation,
        row.started_at,
        row.finished_at,
        row.paused,
        generations_of(row.generations),
    )


def machine_rows(tasks: Iterable[TaskRow]) -> Iterator[tuple[int, Key, Row]]:
    """What `RunMachine.restore` takes: (generation, key, row without inputs, and without the output of what has ended)."""
    for row in tasks:
        yield (
            row.generation,
            Key(row.task, row.map),
            Row(
                _STATES[row.state],
                row.reason,
                row.attempt,
                row.epoch,
                row.n,
                row.worker,
                row.ready_at,
                row.started_at,
                row.finished_at,
                row.due_at,
                row.output if row.state < _FINAL else None,
                child=row.child,
                items=row.items,
                by=row.by,
            ),
        )


def whole_rows(tasks: Iterable[TaskRow]) -> Iterator[tuple[int, Key, Row]]:
    """The same with all that is stored: payloads too."""
    stored = list(tasks)
    for row, (generation, key, made) in zip(stored, machine_rows(stored), strict=True):
        made.output, made.artifact = row.output, artifact_of(row.artifact)
        made.error = error_of(row.error)
        made.inputs = None if row.inputs is None else filled_of(row.inputs)
        yield generation, key, made


def value_of(stored: StoredValue) -> Value:
    """A stored value as expressions see it; an artifact is not loaded."""
    return Value(
        output_of(stored.output, artifact_of(stored.artifact)),
        error_of(stored.error),
        stored.reason,
        stored.child,
        None if stored.inputs is None else filled_of(stored.inputs),
    )


def value_of_row(row: Row) -> Value:
    """The same for a row that this very batch writes."""
    return Value(output_of(row.output, row.artifact), row.error, row.reason, row.child, row.inputs)


def output_of(output: bytes | None, artifact: Artifact | None) -> Json | Artifact:
    if artifact is not None:
        return artifact
    return None if output is None else _decode(output)
