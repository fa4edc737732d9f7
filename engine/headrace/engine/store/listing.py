"""Runs and workflows that are looked for: filtered, a page at a time, and counted."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, cast, exists, func, or_, select

from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow, VersionNote
from headrace.engine.store import reads, tables


def list_runs(
    connection: Connection,
    project: str,
    *,
    workflow: str | None,
    state: int | None,
    tag: str | None,
    created_after: float | None,
    created_before: float | None,
    text: str | None,
    before: int | None,
    limit: int,
) -> list[RunRow]:
    """Newest first, below the run number `before`. A state says whether the run has ended, too, which an index knows."""
    r = tables.runs.c
    query = select(r.no).where(r.project == project)
    if workflow is not None:
        query = query.where(r.workflow == workflow)
    if state is not None:
        ended = r.finished_at.is_not(None) if RunState(state).final else r.finished_at.is_(None)
        query = query.where(r.state == state, ended)
    if tag is not None:
        query = query.where(_tagged(connection, r.tags, tag))
    if created_after is not None:
        query = query.where(r.created_at >= created_after)
    if created_before is not None:
        query = query.where(r.created_at < created_before)
    if text is not None:
        query = query.where(or_(*(func.substr(c, 1, len(text)) == text for c in (r.workflow, r.id, r.key))))
    if before is not None:
        query = query.where(r.no < before)
    page = query.order_by(r.no.desc()).limit(
        limit
    )  # numbers alone are sorted where an index does not give the order
    return reads.listed(connection, reads.RUN.where(r.no.in_(page)).order_by(r.no.desc()))


def _tagged(connection: Connection, tags: ColumnElement[str], tag: str) -> ColumnElement[bool]:
    """Whether a JSON array of texts holds the tag."""
    if connection.dialect.name == "sqlite":
        each = func.json_each(tags).table_valued("value")
        return exists(select(1).select_from(each).where(each.c.value == tag))
    from sqlalchemy.dialects.postgresql import JSONB

    return cast(tags, JSONB).contains([tag])


def count_runs(connection: Connection, project: str, since: float) -> dict[int, int]:
    """By state: runs that live, and those that ended at `since` or later."""
    r = tables.runs.c
    # The project is not to be looked up in an index: that of all its runs would win over those of the few.
    counted = select(r.state, func.count()).where(r.project.concat("") == project).group_by(r.state)
    found: dict[int, int] = {}
    for which in (r.finished_at.is_(None), r.finished_at >= since):
        found.update((state, count) for state, count in connection.execute(counted.where(which)))
    return found


def count_tasks(connection: Connection, project: str, most: int) -> dict[int, int]:
    """By state: task runs of the newest generation of live runs, the first `most` rows that are met."""
    r, t = tables.runs.c, tables.task_runs.c
    met = (
        select(t.state)
        .select_from(tables.runs.join(tables.task_runs, (t.run == r.no) & (t.generation == r.generation)))
        .where(r.finished_at.is_(None), r.project.concat("") == project)  # the project: as above
        .limit(most)
        .subquery()
    )
    counted = select(met.c.state, func.count()).group_by(met.c.state)
    return {row.state: row[1] for row in connection.execute(counted)}


def newest_versions(
    connection: Connection,
    project: str,
    *,
    tag: str | None,
    text: str | None,
    after: str | None,
    limit: int,
) -> list[VersionNote]:
    """The newest version of each workflow, by name, above the name `after`."""
    v, other = tables.versions.c, tables.versions.alias("other").c
    newest = select(func.max(other.version)).where(other.project == v.project, other.name == v.name)
    query = reads.NOTE.where(v.project == project, v.version == newest.scalar_subquery())
    if after is not None:
        query = query.where(v.name > after)
    if tag is not None:
        query = query.where(_tagged(connection, v.tags, tag))
    if text is not None:
        find = func.instr if connection.dialect.name == "sqlite" else func.strpos
        query = query.where(
            or_(*(find(func.lower(c), func.lower(text)) > 0 for c in (v.name, v.description)))
        )
    return [reads.version_note(row) for row in connection.execute(query.order_by(v.name).limit(limit))]
