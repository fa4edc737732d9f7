"""A batch written to SQLite: one call on the writer's thread, few steps, text compiled once.

Python's module binds None and bytes slowly (it looks for an adapter, 0.35 µs a value, half of what a row costs). A row of task_runs
has a dozen empty columns, so rows are sorted by which columns they fill and the empty ones are left out of the
statement; bytes go in as bytearray, which is bound directly. Task runs that came to the same state mostly fill the same columns, and
are looked at a column at a time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import CTE, BigInteger, bindparam, column, delete, func, insert, select, tuple_, update
from sqlalchemy import values as values_of
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql.schema import Table

from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.store import Batch, InboxRow, NewRun, RunUpdate, StoredValue, TaskRow, TimerKey
from headrace.engine.ports.waits import WaitRow
from headrace.engine.store import rows, tables
from headrace.engine.store.checksums import checksum
from headrace.engine.store.reads import inbox_of, inbox_rows, stored_values
from headrace.engine.store.texts import ManyRows, Text
from headrace.engine.store.writes import EMPTY, START, inbox_values, insert_absent

_KEY = ("run", "generation", "task", "map")
_START = ("part", "run", "kind", "body", "body_crc", "at")
_KEPT = frozenset(("inputs", "inputs_crc", "child", "items"))  # an empty one leaves what is stored
_PAYLOADS = itemgetter(*map(TaskRow._fields.index, ("output", "artifact", "error", "inputs")))
_state = attrgetter("state")
_GOING_ON = ("no", "generation", "state", "reason", "started_at", "paused")
_going_on = attrgetter(*_GOING_ON)
_beyond = attrgetter("finished_at", "output", "artifact", "generations", "version", "plan")


def _nullable(table: Table, names: Sequence[str]) -> tuple[int, ...]:
    """The places of the columns that may be empty."""
    return tuple(place for place, name in enumerate(names) if table.c[name].nullable)


_TASK_NULLABLE = {
    len(names): _nullable(tables.task_runs, names) for names in (TaskRow._fields, rows.TASK_WRITTEN)
}
_RUN_NULLABLE = _nullable(tables.runs, rows.RUN_BEGUN)
_NOTHING_BEYOND = (None,) * 6


def lost(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[int]:
    """The parts whose epoch is no longer that of their batch, or that do not stand just before it. Holds until the transaction
    ends."""
    state = _fence()
    found = []
    for batch in batches:
        row = connection.execute(state.text, (batch.part,)).fetchone()
        if row != (batch.epoch, batch.seq - 1):
            found.append(batch.part)
    return found


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Everything of the batch, in the transaction of the caller."""
    advance = _advance()
    values: dict[str, Any] = {"next": batch.next_offset, "seq_": batch.seq, "part_": batch.part}
    connection.execute(advance.text, advance.bind(values))
    if batch.tasks:
        _write_tasks(connection, batch.tasks)
    if batch.runs:
        _write_runs(connection, batch.runs)
    if batch.history:
        _plain(tables.history).execute(
            connection, [(*row[:3], bytearray(row.body), checksum(row.body)) for row in batch.history]
        )
    if batch.cleared:
        _clear(connection, batch.cleared)
    if batch.timers:
        _upsert(tables.timers).execute(connection, [(*t[:5], batch.part, t.due_at) for t in batch.timers])
    if batch.inbox_done:
        connection.execute(_done().text, (json.dumps(batch.inbox_done),))
    if batch.inbox_new:
        _post(connection, [inbox_values(row) for row in batch.inbox_new])
    if batch.runs_new:
        begin_runs(connection, batch.runs_new)
    if batch.cache:
        _upsert(tables.cache).execute(
            connection, [(*c[:4], checksum(c.output, c.artifact), c.expires_at) for c in batch.cache]
        )
    if batch.dead:
        dead = _dead()
        connection.executemany(
            dead.text,
            [dead.bind(dict(zip(rows.LETTER, rows.letter_values(d), strict=True))) for d in batch.dead],
        )
    if batch.waited:
        _ended_waits().execute(connection, batch.waited)
    if batch.waits:
        begun = chain.from_iterable(batch.waits.values())
        _begun_waits().execute(connection, [(*row[:-1], bytearray(row.body)) for row in begun])
    if batch.poison:
        poison = _poison()
        connection.executemany(poison.text, [poison.bind(row._asdict()) for row in batch.poison])


def begin_runs(connection: sqlite3.Connection, new: Sequence[NewRun]) -> dict[str, int]:
    """Runs that do not exist yet, each with its `start` command. Returns the numbers of those that were made, by id."""
    made: dict[str, int] = {}
    columns = list(zip(*(rows.run_values(run).values() for run in new), strict=True))
    for filled, alike in _alike(columns, _RUN_NULLABLE):
        made.update(_begun(filled).fetch(connection, alike))
    body_crc = checksum(EMPTY)
    starts = []
    for run in {run.id: run for run in new}.values():
        no = made.get(run.id)
        if no is not None:
            starts.append((run.part, no, START, EMPTY, body_crc, run.created_at))
    _started().execute(connection, starts)
    return made


def inbox(connection: sqlite3.Connection, part: int, after: int, limit: int) -> list[InboxRow]:
    """Commands for the part with ids above `after`, in order."""
    query = _inbox()
    cursor = connection.execute(query.text, query.bind({"part_": part, "after": after}))
    try:
        return inbox_rows(cursor.fetchmany(limit))
    finally:
        cursor.close()


def values(connection: sqlite3.Connection, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
    """What is stored for those task runs; missing ones are left out. Raises RowDamaged."""
    return [rows.stored_value(row) for row in _values().fetch(connection, keys)]


# rows by the columns they fill ---------------------------------------------------------------------------------


def _alike(
    columns: Sequence[tuple[Any, ...]], nullable: Iterable[int]
) -> Iterator[tuple[bytes, list[tuple[Any, ...]]]]:
    """Rows, given as columns, by which of them they fill: those columns alone, ready to be bound. Most rows of a batch are alike,
    and whole columns tell; `nullable`: the places of those that may be empty in one row and not in the next."""
    nothing = (None,) * len(columns[0])
    filled = [column != nothing for column in columns]
    written = [column for column, there in zip(columns, filled, strict=True) if there]
    if any(filled[place] and None in columns[place] for place in nullable):
        for shape in _shapes(map(_bindable, zip(*columns, strict=True))):
            yield shape.filled, shape.rows
    else:
        yield bytes(filled), list(zip(*map(_bindable_column, written), strict=True))


def _bindable(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple([bytearray(value) if type(value) is bytes else value for value in row])


def _bindable_column(column: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(bytearray, column)) if type(column[0]) is bytes else column


class _Shape:
    """Rows that fill the same columns, on their way to one statement."""

    def __init__(self, row: Sequence[Any]) -> None:
        self.filled = bytes([value is not None for value in row])
        self.take = itemgetter(*(place for place, filled in enumerate(self.filled) if filled))
        self.empty = row.count(None)
        self.rows: list[tuple[Any, ...]] = []


def _shapes(rows: Iterable[tuple[Any, ...]]) -> Iterable[_Shape]:
    shapes: dict[bytes, _Shape] = {}
    for row in rows:
        empty = row.count(None)
        for shape in shapes.values():  # a batch has a handful
            if shape.empty == empty:
                filled = shape.take(row)
                if None not in filled:  # so all that is empty is where it is in the others
                    shape.rows.append(filled)
                    break
        else:
            shape = _Shape(row)
            shapes[shape.filled] = shape
            shape.rows.append(shape.take(row))
    return shapes.values()


def _filled(names: Sequence[str], shape: bytes) -> list[str]:
    return [name for name, filled in zip(names, shape, strict=True) if filled]


# task runs -----------------------------------------------------------------------------------------------------


def _write_tasks(connection: sqlite3.Connection, tasks: Sequence[TaskRow]) -> None:
    for _, same in groupby(sorted(tasks, key=_state), _state):
        columns = list(zip(*same, strict=True))
        if _PAYLOADS(columns) != ((None,) * len(columns[0]),) * 4:
            whole = map(TaskRow._make, zip(*columns, strict=True))
            columns = list(zip(*map(rows.task_values, whole), strict=True))  # and the checksums
        for filled, alike in _alike(columns, _TASK_NULLABLE[len(columns)]):
            _upsert_tasks(filled.ljust(len(rows.TASK_WRITTEN), b"\0")).execute(connection, alike)


@cache
def _upsert_tasks(shape: bytes) -> ManyRows:
    """The upsert of rows that fill the columns whose place in `shape` is not zero."""
    names = _filled(rows.TASK_WRITTEN, shape)
    statement = upsert(tables.task_runs).values({name: bindparam(name) for name in names})
    new = statement.excluded
    changed = {
        name: func.coalesce(new[name], tables.task_runs.c[name]) if name in _KEPT else new[name]
        for name in rows.TASK_WRITTEN
        if name not in _KEY and not (name in _KEPT and name not in names)
    }
    return ManyRows(statement.on_conflict_do_update(index_elements=_KEY, set_=changed))


# runs ----------------------------------------------------------------------------------------------------------


def _write_runs(connection: sqlite3.Connection, updates: Sequence[RunUpdate]) -> None:
    """A run that goes on has nothing in the columns of its end. They stay as they are, and with them the indexes by which
    ended runs are found: a third of the time. Where that turns out wrong, because a rerun begins, all is written."""
    whole: list[RunUpdate] = []
    going_on: list[RunUpdate] = []
    for run in updates:
        (going_on if _beyond(run) == _NOTHING_BEYOND else whole).append(run)
    before = connection.total_changes
    _go_on().execute(connection, [_going_on(run) for run in going_on])
    if connection.total_changes - before < len(going_on):
        whole += going_on
    _update_runs().execute(connection, [rows.update_values(run) for run in whole])


# statements ----------------------------------------------------------------------------------------------------


def _binds(table: Table) -> dict[str, Any]:
    return {c.name: bindparam(c.name) for c in table.columns}


@cache
def _fence() -> Text:
    p = tables.parts.c
    return Text(select(p.epoch, p.seq).where(p.part == bindparam("part_")))


@cache
def _advance() -> Text:
    p = tables.parts.c
    return Text(
        update(tables.parts)
        .where(p.part == bindparam("part_"))
        .values(
            next_offset=func.coalesce(bindparam("next", type_=BigInteger), p.next_offset),
            seq=bindparam("seq_"),
        )
    )


@cache
def _plain(table: Table) -> ManyRows:
    return ManyRows(insert(table).values(_binds(table)))


@cache
def _upsert(table: Table) -> ManyRows:
    statement = upsert(table).values(_binds(table))
    keys = [c.name for c in table.primary_key]
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return ManyRows(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def _given(name: str, names: Sequence[str]) -> CTE:
    """Rows that are bound, as a relation."""
    row: tuple[Any, ...] = tuple(bindparam(column_name) for column_name in names)
    return values_of(*(column(column_name) for column_name in names), name=name).data([row]).cte(name)


@cache
def _values() -> ManyRows:
    return ManyRows(stored_values(_given("asked", _KEY)))


@cache
def _go_on() -> ManyRows:
    new = _given("new", _GOING_ON)
    r = tables.runs.c
    same = (r.no == new.c.no, r.generation == new.c.generation, r.finished_at.is_(None))
    changed: dict[str, Any] = {name: new.c[name] for name in _GOING_ON[2:]}
    return ManyRows(update(tables.runs).where(*same).values(changed))


@cache
def _update_runs() -> ManyRows:
    new = _given("new", rows.RUN_UPDATED)
    r = tables.runs.c
    kept = ("generations", "generations_crc", "version", "plan")
    changed: dict[str, Any] = {
        name: func.coalesce(new.c[name], r[name]) if name in kept else new.c[name]
        for name in rows.RUN_UPDATED
        if name != "no"
    }
    return ManyRows(update(tables.runs).where(r.no == new.c.no).values(changed))


@cache
def _cleared(by_kind: bool) -> ManyRows:
    names = (*_KEY, "kind") if by_kind else _KEY
    gone = _given("gone", names)
    t = tables.timers.c
    return ManyRows(delete(tables.timers).where(tuple_(*(t[name] for name in names)).in_(select(gone))))


@cache
def _done() -> Text:
    each = func.json_each(bindparam("ids")).table_valued("value", name="done")
    return Text(delete(tables.inbox).where(tables.inbox.c.id.in_(select(each.c.value))))


@cache
def _posted() -> Text:
    return Text(insert(tables.inbox).values({n: b for n, b in _binds(tables.inbox).items() if n != "id"}))


@cache
def _begun(shape: bytes) -> ManyRows:
    statement = insert_absent("sqlite", tables.runs).values(
        {name: bindparam(name) for name in _filled(rows.RUN_BEGUN, shape)}
    )
    return ManyRows(statement.returning(tables.runs.c.id, tables.runs.c.no))


@cache
def _started() -> ManyRows:
    return ManyRows(insert(tables.inbox).values({name: bindparam(name) for name in _START}))


@cache
def _inbox() -> Text:
    return Text(inbox_of(bindparam("part_"), bindparam("after")))


@cache
def _dead() -> Text:
    project = select(tables.runs.c.project).where(tables.runs.c.no == bindparam("run")).scalar_subquery()
    given: dict[str, Any] = {name: bindparam(name) for name in rows.LETTER}
    statement = upsert(tables.dead_letters).values({**given, "project": project})
    return Text(statement.on_conflict_do_nothing())


@cache
def _poison() -> Text:
    given: dict[str, Any] = {name: bindparam(name) for name in PoisonRow._fields}
    return Text(insert_absent("sqlite", tables.poison).values(given))


@cache
def _ended_waits() -> ManyRows:
    gone = _given("gone", _KEY)
    w = tables.waits.c
    return ManyRows(delete(tables.waits).where(tuple_(*(w[name] for name in _KEY)).in_(select(gone))))


@cache
def _begun_waits() -> ManyRows:
    statement = upsert(tables.waits).values({name: bindparam(name) for name in WaitRow._fields})
    changed = {name: statement.excluded[name] for name in rows.WAIT_CHANGED}
    return ManyRows(statement.on_conflict_do_update(index_elements=rows.WAIT_KEY, set_=changed))


def _clear(connection: sqlite3.Connection, keys: Sequence[TimerKey]) -> None:
    whole = [key[:4] for key in keys if key.kind is None]
    kinds = [key for key in keys if key.kind is not None]
    _cleared(False).execute(connection, whole)
    _cleared(True).execute(connection, kinds)


def _post(connection: sqlite3.Connection, commands: Sequence[dict[str, Any]]) -> None:
    statement: Text = _posted()
    connection.executemany(statement.text, [statement.bind(command) for command in commands])
