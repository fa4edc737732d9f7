"""Batches written to PostgreSQL: one statement, sent once, whose parts read the same arrays and the same fence.

    fence   the rows of `parts` whose epoch is still the batch's, and whose counter stands just before it, locked; fewer than
            batches: nothing below writes anything
    moved   offset and counter of the parts
    …       one common table expression per kind of row that the batches hold

A statement is a transaction of its own, so an engine that is stopped in the middle leaves none open. Its text is compiled
once per combination of kinds (a handful in practice) and prepared by the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    LargeBinary,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg
from sqlalchemy.sql.schema import Table
from sqlalchemy.types import TypeEngine

from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.store import Batch
from headrace.engine.ports.waits import WaitRow
from headrace.engine.store import rows, tables
from headrace.engine.store.checksums import checksum
from headrace.engine.store.writes import EMPTY, INBOX_LOCK, START, inbox_values

_as_json = msgspec.json.Encoder().encode
_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_KEY = ("run", "generation", "task", "map")
_KEPT = frozenset(
    ("inputs", "inputs_crc", "child", "items", "generations", "generations_crc", "version", "plan")
)
_TIMER = (*_KEY, "kind", "part", "due_at")
_RUN = rows.RUN_BEGUN
_INBOX = ("part", "run", "kind", "body", "body_crc", "at")


@dataclass(frozen=True, slots=True)
class Statement:
    """A compiled statement, the names of its arguments in order, and the values of those that never change."""

    text: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]


def prepare(batches: Sequence[Batch]) -> tuple[Statement, list[Any]]:
    """The statement for these batches and its arguments. It answers with the parts that still were theirs: fewer than
    there are batches means that nothing was written."""
    values: dict[str, Any] = _columns(
        "part_",
        tables.parts,
        ("part", "epoch", "seq", "next_offset"),
        [(b.part, b.epoch, b.seq, b.next_offset) for b in batches],
    )
    values["expected"] = len(batches)
    kinds = []
    for kind, (names, read) in _KINDS.items():
        found = [row for batch in batches for row in read(batch)]
        if kind == "cached":  # several runs may keep the same at once, and a statement writes a row only once
            found = list({row[:2]: row for row in found}.values())
        if found:
            values.update(_columns(kind, _TABLES[kind], names, found))
            plain = kind == "task" and all(values[f"task_{name}"] in _NOTHING for name in _RARE)
            kinds.append(PLAIN if plain else kind)
    statement = _statement(tuple(kinds))
    values = {**statement.constants, **values}
    return statement, [values[name] for name in statement.names]


def _columns(
    kind: str, table: Table, names: Sequence[str], found: Sequence[Sequence[Any]]
) -> dict[str, str | list[Any]]:
    """The values of each column, as `_given` binds them."""
    return {
        f"{kind}_{name}": _bound(table.c[name].type, values)
        for name, values in zip(names, zip(*found, strict=True), strict=True)
    }


def _bound(type_: TypeEngine[Any], values: Sequence[Any]) -> str | list[Any]:
    """An array, or the text of one, which costs the driver a tenth. Of a column that is null everywhere nothing is sent:
    `unnest` fills shorter arrays up with nulls."""
    if values.count(None) == len(values):
        return [] if isinstance(type_, LargeBinary) else "{}"
    if isinstance(type_, LargeBinary):
        return list(values)
    body = _as_json(values)
    if b"\\" in body:  # JSON escapes more than arrays do
        return "{" + ",".join(["null" if value is None else _quoted(value) for value in values]) + "}"
    return f"{{{body[1:-1].decode()}}}"


def _quoted(value: str) -> str:
    """Text of PostgreSQL has no NUL: one in a stranger's message must not keep the batch from being written."""
    escaped = value.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ordered(values: dict[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(values[name] for name in names)


_RARE = ("reason", "artifact", "error", "child", "items", "by")
PLAIN = "plain"
"""The kind of task runs whose rare columns are all empty, which is most batches: those columns are not named."""

_NOTHING: tuple[str | list[Any], ...] = ("{}", [])
"""How a column without values is bound."""

_KINDS: dict[str, tuple[tuple[str, ...], Callable[[Batch], Iterable[tuple[Any, ...]]]]] = {
    "task": (rows.TASK_WRITTEN, lambda b: map(rows.task_values, b.tasks)),
    "run": (rows.RUN_UPDATED, lambda b: map(rows.update_values, b.runs)),
    "history": (
        ("run", "seq", "at", "body", "body_crc"),
        lambda b: ((*row, checksum(row.body)) for row in b.history),
    ),
    "cleared": ((*_KEY, "kind"), lambda b: b.cleared),
    "timer": (_TIMER, lambda b: ((*t[:5], b.part, t.due_at) for t in b.timers)),
    "done": (("id",), lambda b: ((id_,) for id_ in b.inbox_done)),
    "posted": (_INBOX, lambda b: (_ordered(inbox_values(row), _INBOX) for row in b.inbox_new)),
    "begun": (_RUN, lambda b: (_ordered(rows.run_values(run), _RUN) for run in b.runs_new)),
    "cached": (
        ("project", "key", "output", "artifact", "output_crc", "expires_at"),
        lambda b: ((*c[:4], checksum(c.output, c.artifact), c.expires_at) for c in b.cache),
    ),
    "dead": (rows.LETTER, lambda b: map(rows.letter_values, b.dead)),
    "poison": (PoisonRow._fields, lambda b: b.poison),
    "waited": (_KEY, lambda b: b.waited),
    "wait": (WaitRow._fields, lambda b: [*chain.from_iterable(b.waits.values())]),
}
"""Of each kind of row: the columns, and the rows of a batch."""


# the statement -------------------------------------------------------------------------------------------------

Condition = ColumnElement[bool]


@cache
def _statement(kinds: tuple[str, ...]) -> Statement:
    p = tables.parts.c
    given = _given("part_", tables.parts, ("part", "epoch", "seq", "next_offset"))
    fence = (
        select(p.part)
        .join_from(
            tables.parts,
            given,
            and_(p.part == given.c.part, p.epoch == given.c.epoch, p.seq == given.c.seq - 1),
        )
        .order_by(p.part)
        .with_for_update(of=tables.parts)
        .cte("fence")
    )
    ours = select(func.count(fence.c.part)).scalar_subquery() == bindparam("expected", type_=BigInteger)
    moved = (
        update(tables.parts)
        .where(p.part == given.c.part, p.part.in_(select(fence.c.part)), ours)
        .values(seq=given.c.seq, next_offset=func.coalesce(given.c.next_offset, p.next_offset))
        .cte("moved")
    )
    writes = [moved]
    held = _all_held(_inbox_locks(kinds, ours)) if {"posted", "begun"} & set(kinds) else ours
    for kind in kinds:
        writes += _written(kind, kinds, ours, held)
    compiled = select(fence.c.part).add_cte(*writes).compile(dialect=_DIALECT)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Statement(str(compiled), tuple(compiled.positiontup or ()), constants)


def _written(kind: str, kinds: tuple[str, ...], ours: Condition, held: Condition) -> list[CTE]:
    """The expressions that write one kind of row, where `ours` holds; `held`: so do the locks of the inboxes."""
    if kind == PLAIN:
        names = tuple(name for name in rows.TASK_WRITTEN if name not in _RARE)
        kind = "task"
    else:
        names = _KINDS[kind][0]
    given = _given(kind, _TABLES[kind], names)
    if kind in ("task", "timer", "cached"):
        return [_upserted(given, _TABLES[kind], names, ours).cte(f"{kind}_written")]
    if kind == "history":
        return [_inserted(given, _TABLES[kind], names, ours).cte("history_written")]
    if kind == "run":
        return [_updated_runs(given, ours)]
    if kind == "cleared":
        return [_cleared_timers(given, ours, renewed="timer" in kinds)]
    if kind == "done":
        return [delete(tables.inbox).where(tables.inbox.c.id == given.c.id, ours).cte("done_written")]
    if kind == "posted":
        return [_inserted(given, tables.inbox, names, ours, held).cte("posted_written")]
    if kind == "begun":
        return _begun_runs(given, ours, held)
    if kind == "poison":
        written = _inserted(given, tables.poison, names, ours).on_conflict_do_nothing()
        return [written.cte("poison_written")]
    if kind == "waited":
        w = tables.waits.c
        ended = delete(tables.waits).where(*(w[name] == given.c[name] for name in _KEY), ours)
        return [ended.cte("waited_written")]
    if kind == "wait":
        begun = _inserted(given, tables.waits, names, ours)
        changed = {name: begun.excluded[name] for name in rows.WAIT_CHANGED}
        again = begun.on_conflict_do_update(index_elements=rows.WAIT_KEY, set_=changed)
        return [again.cte("wait_written")]
    return [_dead_letters(given, ours)]


_TABLES = {
    "task": tables.task_runs,
    "run": tables.runs,
    "history": tables.history,
    "cleared": tables.timers,
    "timer": tables.timers,
    "done": tables.inbox,
    "posted": tables.inbox,
    "begun": tables.runs,
    "cached": tables.cache,
    "dead": tables.dead_letters,
    "poison": tables.poison,
    "waited": tables.waits,
    "wait": tables.waits,
}


def _given(kind: str, table: Table, names: Sequence[str]) -> TableValuedAlias:
    """Arrays that are bound (`_bound`), as a relation with the types of the table's columns, and the place of each row."""
    types: dict[str, TypeEngine[Any]] = {name: table.c[name].type.dialect_impl(_DIALECT) for name in names}
    arrays = (_array(f"{kind}_{name}", types[name]) for name in names)
    columns = (column(name, types[name]) for name in names)
    rows_given = func.unnest(*arrays).table_valued(*columns, with_ordinality="ordinal")
    return rows_given.render_derived(name=f"{kind}_given")


def _array(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(type_, LargeBinary):
        return bindparam(name, type_=ARRAY(type_))
    return cast(bindparam(name, type_=Text), ARRAY(type_))


def _inserted(given: FromClause, table: Table, names: Sequence[str], *where: Condition) -> postgresql.Insert:
    query = select(*(given.c[name] for name in names)).where(*where).order_by(given.c.ordinal)
    return postgresql.insert(table).from_select(list(names), query)


def _upserted(given: FromClause, table: Table, names: Sequence[str], ours: Condition) -> postgresql.Insert:
    statement = _inserted(given, table, names, ours)
    keys = [c.name for c in table.primary_key]
    new = statement.excluded
    changed: dict[str, Any] = {
        name: func.coalesce(new[name], table.c[name]) if name in _KEPT else new[name]
        for name in names
        if name not in keys
    }
    changed |= {c.name: null() for c in table.columns if c.name not in (*names, *_KEPT)}  # what is not sent
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _updated_runs(given: FromClause, ours: Condition) -> CTE:
    r = tables.runs.c
    changed: dict[str, Any] = {
        name: func.coalesce(given.c[name], r[name]) if name in _KEPT else given.c[name]
        for name in rows.RUN_UPDATED
        if name != "no"
    }
    return update(tables.runs).where(r.no == given.c.no, ours).values(changed).cte("run_written")


def _cleared_timers(given: FromClause, ours: Condition, *, renewed: bool) -> CTE:
    """A timer that the same batch sets again is left alone: one statement may change a row only once."""
    t = tables.timers.c
    key = and_(*(t[name] == given.c[name] for name in _KEY))
    where = [key, or_(given.c.kind.is_(None), t.kind == given.c.kind), ours]
    if renewed:
        new = _given("timer", tables.timers, _TIMER)
        same = and_(*(t[name] == new.c[name] for name in (*_KEY, "kind")))
        where.append(~exists(select(literal_column("1")).select_from(new).where(same)))
    return delete(tables.timers).where(*where).cte("cleared_written")


def _begun_runs(given: FromClause, ours: Condition, held: Condition) -> list[CTE]:
    """Children that do not exist yet, each with its `start` command."""
    r = tables.runs.c
    runs = _inserted(given, tables.runs, _RUN, ours).on_conflict_do_nothing()
    begun = runs.returning(r.no, r.part, r.created_at).cte("begun_written")
    start = select(
        begun.c.part,
        begun.c.no,
        literal(START),
        literal(EMPTY),
        literal(checksum(EMPTY), BigInteger),
        begun.c.created_at,
    )
    starts = postgresql.insert(tables.inbox).from_select(list(_INBOX), start.where(held).order_by(begun.c.no))
    return [begun, starts.cte("begun_starts")]


def _inbox_locks(kinds: tuple[str, ...], ours: Condition) -> CTE:
    """Takes the inbox locks of all parts that get a command, as `writes.post` does: in the order of the parts, as everyone
    does who takes several."""
    given = [_given(kind, _TABLES[kind], _KINDS[kind][0]) for kind in ("posted", "begun") if kind in kinds]
    targets = union(*(select(relation.c.part).where(ours) for relation in given)).subquery("targets")
    parts = select(targets.c.part).order_by(targets.c.part).subquery("locked_parts")
    return select(func.pg_advisory_xact_lock_shared(INBOX_LOCK, parts.c.part).label("held")).cte(
        "inbox_locks"
    )


def _all_held(locks: CTE) -> Condition:
    """True, once the locks are held: a condition on no row, evaluated before any row gets its id."""
    return select(func.count(locks.c.held)).scalar_subquery() >= 0


def _dead_letters(given: FromClause, ours: Condition) -> CTE:
    names = _KINDS["dead"][0]
    project = select(tables.runs.c.project).where(tables.runs.c.no == given.c.run).scalar_subquery()
    query = select(*(given.c[name] for name in names), project).where(ours)
    statement = postgresql.insert(tables.dead_letters).from_select([*names, "project"], query)
    return statement.on_conflict_do_nothing().cte("dead_written")
