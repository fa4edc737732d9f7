"""What anyone may write, as functions over a SQLAlchemy connection: each runs in one transaction of the caller's.

Two callers at once are told apart by unique indexes alone: the loser's insert does nothing, and it then reads what the
winner wrote. What is asked with every run is built once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache as once
from typing import Any

from sqlalchemy import BindParameter, Connection, Insert, bindparam, func, insert, select, update
from sqlalchemy.sql.dml import ReturningInsert

from headrace.engine.ports.acts import Act
from headrace.engine.ports.store import Created, InboxRow, KeyTaken, NewRun, VersionRow
from headrace.engine.store import auditing, reads, rows, tables
from headrace.engine.store.checksums import checksum

START = "start"
EMPTY = b"{}"

_R = tables.runs.c
_PROJECT: BindParameter[str] = bindparam("project")
_FOUND = select(_R.no, _R.id)
_SAME_CALL = _FOUND.where(_R.id == bindparam("id"))
_SAME_REQUEST = _FOUND.where(_R.project == _PROJECT, _R.idempotency == bindparam("idempotency"))
_SAME_KEY = (
    _FOUND.where(
        _R.project == _PROJECT,
        _R.workflow == bindparam("workflow"),
        _R.key == bindparam("key"),
        _R.finished_at.is_(None),
    )
    .order_by(_R.no)
    .limit(1)
)
_POST = insert(tables.inbox).returning(tables.inbox.c.id)


@once
def insert_absent(dialect: str, table: Any) -> Insert:
    """An insert that does nothing when any unique key is taken."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table).on_conflict_do_nothing()


@once
def _begin(dialect: str) -> ReturningInsert[Any]:
    """Answers with the number and the id of each run that was not there."""
    return insert_absent(dialect, tables.runs).returning(_R.no, _R.id)


def inbox_values(row: InboxRow) -> dict[str, Any]:
    """The columns of a command; its id is counted by the database."""
    values = row._asdict()
    del values["id"]
    return {**values, "body_crc": checksum(row.body)}


INBOX_LOCK = 0x48454144  # the class of the advisory locks of inboxes; the object is the part


def post(connection: Connection, row: InboxRow) -> int:
    """Insert a command; returns its id.

    PostgreSQL counts ids before it commits them, so a reader could see 6, go on after 6 and never see 5. Whoever inserts
    holds the part's lock in shared mode until it has committed, and the reader waits for it once (`reads.inbox`).
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock_shared(INBOX_LOCK, row.part)))
    return int(connection.execute(_POST, inbox_values(row)).scalar_one())


def post_all(connection: Connection, rows: Sequence[InboxRow]) -> list[int]:
    """Insert commands; returns their ids in the order given. Locks are taken in the order of the parts, as everybody does."""
    if connection.dialect.name != "sqlite":
        for part in sorted({row.part for row in rows}):
            connection.execute(select(func.pg_advisory_xact_lock_shared(INBOX_LOCK, part)))
    query = insert(tables.inbox).returning(tables.inbox.c.id, sort_by_parameter_order=True)
    return list(connection.scalars(query, [inbox_values(row) for row in rows]))


def register(connection: Connection, version: VersionRow) -> VersionRow:
    """A new version of the workflow, or the existing one of the same plan with its description and tags renewed."""
    dialect = connection.dialect.name
    v = tables.versions.c
    named = {"project": version.project, "name": version.name}
    connection.execute(insert_absent(dialect, tables.workflows), {**named, "created_at": version.created_at})
    if dialect != "sqlite":  # there, the transaction is the only writer already
        w = tables.workflows.c
        connection.execute(
            select(w.name).where(w.project == version.project, w.name == version.name).with_for_update()
        )
    connection.execute(
        insert_absent(dialect, tables.plans),
        {"plan": version.plan, "document": version.document, "document_crc": checksum(version.document)},
    )
    described: Mapping[str, Any] = {"description": version.description, "tags": json.dumps(version.tags)}
    same_name = (v.project == version.project, v.name == version.name)
    number = connection.scalar(
        update(tables.versions)
        .where(*same_name, v.plan == version.plan)
        .values(described)
        .returning(v.version)
    )
    if number is None:
        number = 1 + (connection.scalar(select(func.max(v.version)).where(*same_name)) or 0)
        row = {
            **named,
            **described,
            "version": number,
            "plan": version.plan,
            "created_at": version.created_at,
        }
        connection.execute(insert(tables.versions), row)
    stored = reads.version(connection, version.project, version.name, number)
    assert stored is not None
    return stored


def create_run(connection: Connection, run: NewRun, on_conflict: str, act: Act | None = None) -> Created:
    """The run and its `start` command; or the run that has its id, idempotency key or business key already. The act is noted
    about whichever it is."""
    earlier = _same_call(connection, run)
    if earlier is not None:
        return earlier
    if act is not None:
        auditing.claim(connection, act)
    created = _created(connection, run, on_conflict)
    if act is not None:
        auditing.note(connection, act, act.object.replace(run.id, created.id))
    return created


def _same_call(connection: Connection, run: NewRun) -> Created | None:
    """What an earlier try of the same call has made, whose answer was lost."""
    no = connection.scalar(_SAME_CALL, {"id": run.id})
    return None if no is None else Created(no, run.id, False)


def _created(connection: Connection, run: NewRun, on_conflict: str) -> Created:
    values = rows.run_values(run)
    while True:
        existing = _same_call(connection, run) or _existing(connection, run, on_conflict)
        if existing is not None:
            return existing
        no = connection.scalar(_begin(connection.dialect.name), values)
        if no is not None:
            break
    post(connection, InboxRow(0, run.part, no, START, EMPTY, run.created_at))
    return Created(no, run.id, False)


def create_runs(connection: Connection, runs: Sequence[NewRun]) -> list[Created]:
    """Many runs without a business key, with their `start` commands. Those of which an id or an idempotency key is there
    already are left out of the answer. In the order of the unique keys, so that two who create the same do not wait in a ring."""
    values = [rows.run_values(run) for run in sorted(runs, key=lambda run: (run.idempotency or "", run.id))]
    found = connection.execute(_begin(connection.dialect.name), values)
    numbers = {row.id: row.no for row in found}
    begun = sorted((run for run in runs if run.id in numbers), key=lambda run: run.part)
    if begun:
        if connection.dialect.name != "sqlite":
            for part in dict.fromkeys(run.part for run in begun):
                connection.execute(select(func.pg_advisory_xact_lock_shared(INBOX_LOCK, part)))
        starts = (InboxRow(0, run.part, numbers[run.id], START, EMPTY, run.created_at) for run in begun)
        connection.execute(insert(tables.inbox), [inbox_values(row) for row in starts])
    return [Created(numbers[run.id], run.id, False) for run in begun]


def _existing(connection: Connection, run: NewRun, on_conflict: str) -> Created | None:
    if run.idempotency is not None:
        same = {"project": run.project, "idempotency": run.idempotency}
        row = connection.execute(_SAME_REQUEST, same).first()
        if row is not None:
            return Created(row.no, row.id, True)
    if run.key is not None:
        live = {"project": run.project, "workflow": run.workflow, "key": run.key}
        row = connection.execute(_SAME_KEY, live).first()
        if row is not None:
            if on_conflict == "reject":
                raise KeyTaken(run.key, row.id)
            return Created(row.no, row.id, True)
    return None
