"""What anyone may read, as functions over a SQLAlchemy connection: the same statements for SQLite and PostgreSQL.

A function runs in one transaction of the caller's, so that several statements see one state of the database. What is asked
often is built once, when the module is read: to build a statement costs more than to execute it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache as once
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    column,
    func,
    join,
    select,
    text,
    true,
)

from headrace.engine.ports.store import (
    HistoryRow,
    InboxRow,
    Loaded,
    RowDamaged,
    RunRow,
    StoredValue,
    TaskRow,
    Timer,
    VersionNote,
    VersionRow,
)
from headrace.engine.store import rows, tables
from headrace.engine.store.checksums import checksum, verify
from headrace.engine.store.partitions import EARLIER

T = TypeVar("T")
log = logging.getLogger("headrace.store")

CHUNK = 1000  # values bound by one statement
RunKey = tuple[int, int, int, int]


class PlanDamaged(RowDamaged):
    """A stored workflow document does not match its checksum. Concerns the runs of that plan only."""

    def __init__(self, plan: str) -> None:
        super().__init__(0, "plan")
        self.plan = plan
        self.args = (
            f"plan {plan}: its stored document is damaged (its checksum differs). Other plans are not touched.",
        )


# workflows -----------------------------------------------------------------------------------------------------

_V, _P, _R, _H = tables.versions.c, tables.plans.c, tables.runs.c, tables.history.c
_PROJECT: BindParameter[str] = bindparam("project")
_NAME: BindParameter[str] = bindparam("name")
_NO: BindParameter[int] = bindparam("no")
VERSION = select(*rows.VERSION_COLUMNS, _P.document_crc).join_from(
    tables.versions, tables.plans, _V.plan == _P.plan
)
NOTE = select(*(_V[name] for name in VersionNote._fields))
_OF_WORKFLOW = VERSION.where(_V.project == _PROJECT, _V.name == _NAME)
_NEWEST = _OF_WORKFLOW.order_by(_V.version.desc()).limit(1)
_NUMBERED = _OF_WORKFLOW.where(_V.version == _NO)
_PLAN = select(_P.document, _P.document_crc).where(_P.plan == bindparam("plan"))


def version_row(row: Any) -> VersionRow:
    *fields, crc = row
    found = VersionRow._make(fields)
    if checksum(found.document) != crc:
        raise PlanDamaged(found.plan)
    return found._replace(tags=tuple(json.loads(row.tags)))


def version_note(row: Any) -> VersionNote:
    return VersionNote._make(row)._replace(tags=tuple(json.loads(row.tags)))


def version(connection: Connection, project: str, name: str, number: int | None) -> VersionRow | None:
    """That version of a workflow, or its newest."""
    asked = {"project": project, "name": name}
    query, given = (_NEWEST, asked) if number is None else (_NUMBERED, {**asked, "no": number})
    row = connection.execute(query, given).first()
    return None if row is None else version_row(row)


def versions(connection: Connection, project: str, name: str | None) -> list[VersionNote]:
    """Every version of one workflow or of all, by name, oldest first."""
    query = NOTE.where(_V.project == project).order_by(_V.name, _V.version)
    if name is not None:
        query = query.where(_V.name == name)
    return [version_note(row) for row in connection.execute(query)]


def plan(connection: Connection, digest: str) -> bytes | None:
    """The canonical document of that hash. Raises PlanDamaged."""
    row = connection.execute(_PLAN, {"plan": digest}).first()
    if row is None:
        return None
    document: bytes = row.document
    if checksum(document) != row.document_crc:
        raise PlanDamaged(digest)
    return document


# runs ----------------------------------------------------------------------------------------------------------

RUN = select(*rows.RUN_COLUMNS)
_RUN = RUN.where(_R.no == _NO)
_ASKED_FOR = RUN.where(_R.project == _PROJECT, _R.idempotency == bindparam("idempotency"))
_RUNS: BindParameter[Any] = bindparam("runs", expanding=True)
_EXISTING = select(_R.no).where(_R.no.in_(_RUNS))
_CHILDREN = RUN.where(_R.parent_run == _NO).order_by(_R.no)
_LIVE = select(_R.no).where(_R.part == bindparam("part"), _R.finished_at.is_(None)).order_by(_R.no)
_BEGUN = select(_R.created_at - EARLIER).where(_R.no == _NO).scalar_subquery()
_HISTORY = (
    select(_H.run, _H.seq, _H.at, _H.body, _H.body_crc)
    .where(_H.run == _NO, _H.seq > bindparam("after"), _H.at >= func.coalesce(_BEGUN, 0.0))
    .order_by(_H.seq)
)
_PAGE_OF_HISTORY = _HISTORY.limit(bindparam("most", type_=Integer))
WHOLE_ID = 36
"""Characters of a run's id."""


def run(connection: Connection, no: int) -> RunRow | None:
    """The run, whole and checked. Raises RowDamaged."""
    row = connection.execute(_RUN, {"no": no}).first()
    return None if row is None else rows.run_row(row, check=True)


def run_asked_for(connection: Connection, project: str, idempotency: str) -> RunRow | None:
    """The run of that idempotency key, whole and checked. Raises RowDamaged."""
    row = connection.execute(_ASKED_FOR, {"project": project, "idempotency": idempotency}).first()
    return None if row is None else rows.run_row(row, check=True)


def existing(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Those that are runs."""
    return [
        found for chunk in _chunks(numbers) for found in connection.scalars(_EXISTING, {"runs": list(chunk)})
    ]


def listed(connection: Connection, query: Select[Any], **given: Any) -> list[RunRow]:
    """The runs that a query over RUN finds. Not checked, so that one that is damaged does not hide the others."""
    return [rows.run_row(row, check=False) for row in connection.execute(query, given)]


def runs_of(connection: Connection, project: str, numbers: Sequence[int]) -> list[RunRow]:
    """Those of these numbers that are runs of the project."""
    query = RUN.where(_R.project == project)
    return [row for chunk in _chunks(numbers) for row in listed(connection, query.where(_R.no.in_(chunk)))]


def find_runs(connection: Connection, project: str, prefix: str, limit: int = 10) -> list[RunRow]:
    """Runs whose id begins with `prefix`, newest first. An id holds digits, a to f and dashes. Who gives a whole one means that run,
    which is checked. Raises RowDamaged."""
    wanted = RUN.where(_R.project == project, _R.id >= prefix, _R.id < prefix + "g")
    if len(prefix) == WHOLE_ID:
        return [rows.run_row(row, check=True) for row in connection.execute(wanted)]
    return listed(connection, wanted.order_by(_R.no.desc()).limit(limit))


def children(connection: Connection, no: int) -> list[RunRow]:
    """The runs that task runs of this one have started, oldest first."""
    return listed(connection, _CHILDREN, no=no)


def live_runs(connection: Connection, part: int) -> list[int]:
    """Numbers of the part's runs that have not finished, in order."""
    return list(connection.scalars(_LIVE, {"part": part}))


def history(connection: Connection, no: int, after: int, limit: int | None = None) -> list[HistoryRow]:
    """A run's history after `after`, in order, at most `limit` rows. Raises RowDamaged."""
    found = []
    asked = {"no": no, "after": after}
    query, given = (_HISTORY, asked) if limit is None else (_PAGE_OF_HISTORY, {**asked, "most": limit})
    for *fields, crc in connection.execute(query, given):
        row = HistoryRow._make(fields)
        verify(no, f"history row {row.seq}", crc, row.body)
        found.append(row)
    return found


# task runs -----------------------------------------------------------------------------------------------------

_TASK_KEY = (
    tables.task_runs.c.run,
    tables.task_runs.c.generation,
    tables.task_runs.c.task,
    tables.task_runs.c.map,
)
_TASKS = (
    select(*(tables.task_runs.c[name] for name in rows.TASK_WRITTEN))
    .where(tables.task_runs.c.run == _NO)
    .order_by(*_TASK_KEY)
)
_LOADED_RUNS = RUN.where(_R.no.in_(_RUNS))
_LOADED_TASKS = select(*rows.LOADED_COLUMNS).where(tables.task_runs.c.run.in_(_RUNS)).order_by(*_TASK_KEY)
_LOADED_TIMERS = select(*(tables.timers.c[name] for name in Timer._fields)).where(
    tables.timers.c.run.in_(_RUNS)
)


def task_rows(connection: Connection, no: int) -> list[TaskRow]:
    """Every task run of the run, whole and checked. Raises RowDamaged."""
    return [rows.task_row(row) for row in connection.execute(_TASKS, {"no": no})]


def load(connection: Connection, numbers: Sequence[int]) -> list[Loaded]:
    """Runs with what their machines need, in the order asked for; unknown ones are left out. Raises RowDamaged."""
    found: dict[int, Loaded] = {}
    for chunk in _chunks(numbers):
        begun = []
        for row in connection.execute(_LOADED_RUNS, {"runs": list(chunk)}):
            found[row.no] = Loaded(rows.run_row(row, check=True), [], [])
            if row.seq or row.started_at is not None:
                begun.append(row.no)
        if not begun:  # of a run that nothing was decided about there is nothing else
            continue
        asked = {"runs": begun}
        for row in connection.execute(_LOADED_TASKS, asked):
            task = TaskRow._make(row)
            found[task.run].tasks.append(task)
        for row in connection.execute(_LOADED_TIMERS, asked):
            found[row.run].timers.append(Timer._make(row))
    return [found[no] for no in numbers if no in found]


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def stored_values(asked: FromClause) -> Select[Any]:
    """What is stored for the task runs whose keys are in the relation `asked`, with the checksums."""
    t = tables.task_runs
    same = and_(*(asked.c[key.name] == key for key in _TASK_KEY))
    return select(*rows.VALUE_COLUMNS, t.c.result_crc, t.c.inputs_crc).select_from(join(asked, t, same))


@once
def _values() -> Select[Any]:
    from sqlalchemy.dialects.postgresql import ARRAY  # a tenth of what SQLAlchemy costs to import

    arrays = (bindparam(key.name, type_=ARRAY(key.type)) for key in _TASK_KEY)
    columns = (column(key.name, key.type) for key in _TASK_KEY)
    return stored_values(func.unnest(*arrays).table_valued(*columns, name="asked").render_derived())


def values(connection: Connection, keys: Sequence[RunKey]) -> list[StoredValue]:
    """What is stored for those task runs; missing ones are left out. PostgreSQL only. Raises RowDamaged."""
    asked = {key.name: list(values) for key, values in zip(_TASK_KEY, zip(*keys, strict=True), strict=True)}
    return [rows.stored_value(row) for row in connection.execute(_values(), asked)]


_C = tables.cache.c
_CACHED = select(_C.key, _C.output, _C.artifact, _C.output_crc).where(
    _C.project == _PROJECT, _C.key.in_(bindparam("keys", expanding=True)), _C.expires_at > bindparam("now")
)


def cached(
    connection: Connection, project: str, keys: Sequence[str], now: float
) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Unexpired entries. A damaged one is no entry: the work is done again."""
    found = {}
    for chunk in _chunks(keys):
        for row in connection.execute(_CACHED, {"project": project, "keys": list(chunk), "now": now}):
            if checksum(row.output, row.artifact) == row.output_crc:
                found[row.key] = (row.output, row.artifact)
            else:
                log.warning("A cached result is damaged and is not used: %s", row.key)
    return found


# commands ------------------------------------------------------------------------------------------------------


def inbox_of(part: Any, after: Any) -> Select[Any]:
    """The commands for the part with ids above `after`, in order, each with its checksum."""
    i = tables.inbox.c
    columns = [i[name] for name in InboxRow._fields]
    return select(*columns, i.body_crc).where(i.part == part, i.id > after).order_by(i.id)


_WAITING = inbox_of(bindparam("part"), 0).where(
    tables.inbox.c.run == bindparam("run"), tables.inbox.c.kind == bindparam("kind")
)


def waiting_for(connection: Connection, part: int, run: int, kind: str) -> list[InboxRow]:
    """The commands of one kind for one run."""
    return inbox_rows(connection.execute(_WAITING, {"part": part, "run": run, "kind": kind}))


def unapplied(connection: Connection, kind: str, most: int) -> int:
    """How many commands of a kind there are in all parts, counted up to `most`."""
    some = select(tables.inbox.c.id).where(tables.inbox.c.kind == kind).limit(most).subquery()
    return int(connection.scalar(select(func.count()).select_from(some)) or 0)


@once
def _inboxes() -> Select[Any]:
    from sqlalchemy.dialects.postgresql import ARRAY

    i = tables.inbox.c
    asked = func.unnest(
        bindparam("parts", type_=ARRAY(i.part.type)), bindparam("after", type_=ARRAY(i.id.type))
    ).table_valued(column("part", i.part.type), column("after", i.id.type), name="asked")
    asked = asked.render_derived()
    of_part = inbox_of(asked.c.part, asked.c.after).limit(bindparam("most", type_=Integer)).lateral("found")
    return select(*of_part.c).select_from(asked.join(of_part, true())).order_by(of_part.c.part, of_part.c.id)


def inboxes(connection: Connection, after: Mapping[int, int], limit: int) -> list[InboxRow]:
    """Commands for several parts with ids above `after`, at most `limit` of each, by part and id. PostgreSQL only."""
    asked = {"parts": list(after), "after": list(after.values()), "most": limit}
    return inbox_rows(connection.execute(_inboxes(), asked))


def inbox_rows(found: Iterable[Sequence[Any]]) -> list[InboxRow]:
    """The rows of `inbox_of`, checked.

    A damaged one is left out and logged, for whatever it would do to its run, it must not stop the others.
    """
    sound = []
    for *fields, crc in found:
        row = InboxRow._make(fields)
        if checksum(row.body) == crc:
            sound.append(row)
        else:
            log.error("Command %s (%s) for run %s is damaged and is not applied.", row.id, row.kind, row.run)
    return sound


SNAPSHOT = "SELECT CAST(pg_current_snapshot() AS text)"


def snapshot(connection: Connection) -> str:
    """What PostgreSQL shows to a transaction that begins now, in its own words."""
    return str(connection.scalar(text(SNAPSHOT)))


_PART = tables.parts.c
_PART_STATE = select(_PART.part, _PART.epoch, _PART.seq).where(
    _PART.part.in_(bindparam("parts", expanding=True))
)


def part_state(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Of each part its epoch and its counter."""
    found = connection.execute(_PART_STATE, {"parts": list(numbers)})
    return {row.part: (row.epoch, row.seq) for row in found}
