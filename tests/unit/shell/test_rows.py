"""Decisions as rows and rows as what machines take: nothing is lost on the way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.decision import DeadLetter, Decision, Row, RunChange, Value
from headrace.engine.core.evaluation import Artifact, Filled, Hole, Secret
from headrace.engine.core.events import Error
from headrace.engine.core.keys import Key
from headrace.engine.core.run import Generation
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Priority
from headrace.engine.ports.store import RunRow, StoredValue, TaskRow
from headrace.engine.shell import rows

ARTIFACT = Artifact("file:x", "sha256:1", 40_000)
ERROR = Error("KeyError", "x", ("KeyError", "LookupError"), 3, None, "task_failed", False)
FULL = Row(
    TaskState.RETRYING,
    "task_failed",
    2,
    3,
    4,
    "w1",
    1.0,
    2.0,
    3.0,
    4.0,
    b"[1]",
    ARTIFACT,
    ERROR,
    Filled({"with": {"a": 1}}),
    "child",
    7,
    "ann",
)


def test_a_row_goes_to_its_columns_and_back() -> None:
    (written,) = rows.task_rows(5, Decision(rows={Key(1, 2): FULL}, generation=3))
    assert isinstance(written, TaskRow)
    assert written[:5] == (5, 3, 1, 2, 4)
    assert type(written.state) is int
    assert json.loads(written.artifact or b"") == {"uri": "file:x", "digest": "sha256:1", "size": 40_000}
    ((generation, key, back),) = rows.machine_rows([written])
    assert (generation, key) == (3, Key(1, 2))
    for name in Row.__dataclass_fields__:
        if name not in ("output", "artifact", "error", "inputs"):
            assert getattr(back, name) == getattr(FULL, name), name


def test_a_stored_value_is_what_the_row_said() -> None:
    (written,) = rows.task_rows(5, Decision(rows={Key(1, 2): FULL}))
    columns = {name: getattr(written, name) for name in StoredValue._fields}
    value = rows.value_of(StoredValue(**columns))
    assert value == rows.value_of_row(FULL) == Value(ARTIFACT, ERROR, "task_failed", "child", FULL.inputs)


def test_an_empty_row_stores_nothing_but_its_state() -> None:
    (written,) = rows.task_rows(5, Decision(rows={Key(0): Row()}))
    assert [value for value in written if value is not None] == [5, 1, 0, 0, 0, 0, 0, 0]


HOLE = Hole(("with", 0, "k"), ("Bearer ", Secret("token"), ARTIFACT))


@pytest.mark.parametrize(
    "filled",
    [
        Filled({}),
        Filled(None),
        Filled([1, [2]]),
        Filled({"with": {"k": None}}, (HOLE, Hole((), (Secret("a"),)))),
    ],
)
def test_inputs_come_back_with_their_holes_and_hold_no_secret(filled: Filled) -> None:
    assert rows.filled_of(rows.filled_bytes(filled)) == filled


texts = st.text(max_size=5)


@given(
    st.recursive(
        texts | st.integers(-5, 5) | st.none(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    ),
    st.lists(
        st.tuples(st.lists(texts | st.integers(0, 9)), st.lists(texts | st.builds(Secret, texts), min_size=1))
    ),
)
def test_any_inputs_come_back(value: object, holes: list[tuple[list[str | int], list[str | Secret]]]) -> None:
    filled = Filled(value, tuple(Hole(tuple(path), tuple(parts)) for path, parts in holes))
    assert rows.filled_of(rows.filled_bytes(filled)) == filled


def test_a_run_change_and_its_generations() -> None:
    change = RunChange(RunState.RUNNING, None, 2, 1.0, None, None, None, False)
    made = [Generation(2, (Key(1), Key(2, 3)), {"x": 1})]
    update = rows.run_update(9, change, made)
    assert (update.no, update.state, update.generation) == (9, 1, 2)
    assert rows.generations_of(update.generations) == made
    assert rows.run_update(9, change, None).generations is None
    assert rows.generations_of(None) == []


def test_a_dead_letter_keeps_the_error() -> None:
    letter = rows.dead_letter(9, 2, 5.0, DeadLetter(Key(1, 2), 3, ERROR))
    assert letter[:6] == (9, 2, 1, 2, 3, 5.0)
    assert rows.error_of(letter.error) == ERROR


def run_row(**changed: object) -> RunRow:
    row = RunRow(
        1, "id", "default", "w", 2, "sha256:x", 0, 1, None, 1, False, b'{"a":1}', b'{"kind":"manual"}',
        None, None, None, 0, "high", 10.0, 86_400.0 * 2, None, None, None, None, None, None, None, 0,
    )  # fmt: skip
    return row._replace(**changed)  # type: ignore[arg-type]


def test_run_info_takes_the_day_from_the_trigger_or_else_from_utc() -> None:
    info = rows.run_info(run_row())
    assert (info.params, info.trigger, info.date, info.priority, info.event) == (
        {"a": 1},
        "manual",
        "1970-01-03",
        Priority.HIGH,
        None,
    )
    cron = rows.run_info(run_row(trigger=b'{"kind":"cron","date":"1970-01-02"}', event=b'{"at":1}'))
    assert (cron.trigger, cron.date, cron.event) == ("cron", "1970-01-02", {"at": 1})
