"""Users and API tokens. What of them is secret comes here as a hash."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, func, or_, select, tuple_, update

from headrace.engine.ports.access import EVERY_PROJECT, Role, Token, User, UserChanged
from headrace.engine.ports.acts import Act
from headrace.engine.store import auditing, tables
from headrace.engine.store.writes import insert_absent

_U, _T = tables.users.c, tables.tokens.c
_USER = select(*(_U[name] for name in User._fields))
_TOKEN = select(*(_T[name] for name in Token._fields))


def user(connection: Connection, name: str) -> User | None:
    """The user of that name."""
    row = connection.execute(_USER.where(_U.name == name)).first()
    return None if row is None else _user(row)


def users(connection: Connection, project: str | None, after: str | None, limit: int | None) -> list[User]:
    """By name, those behind `after`; of a project, those alone who have a role in it or in every one."""
    query = _USER.order_by(_U.name).limit(limit)
    if after is not None:
        query = query.where(_U.name > after)
    if project is not None:
        place = func.instr if connection.dialect.name == "sqlite" else func.strpos
        named = [
            f"{before}{json.dumps(name)}: " for name in (project, EVERY_PROJECT) for before in ("{", ", ")
        ]
        query = query.where(or_(*(place(_U.roles, text) > 0 for text in named)))
    return [_user(row) for row in connection.execute(query)]


def _user(row: Any) -> User:
    roles = {project: Role[word.upper()] for project, word in json.loads(row.roles).items()}
    return User._make(row)._replace(roles=roles)


@cache
def _put_user(dialect: str) -> Insert:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        into: Any = sqlite.insert(tables.users)
    else:
        from sqlalchemy.dialects import postgresql

        into = postgresql.insert(tables.users)
    changed = {name: into.excluded[name] for name in User._fields if name != "name"}
    statement: Insert = into.on_conflict_do_update(index_elements=["name"], set_=changed)
    return statement


def put_user(connection: Connection, user: User, before: User | None = None, new: bool = False) -> None:
    """The user as they are now to be, new or not. Raises UserChanged when the one who is there is not `before`, or, for a `new`
    one, when there is one."""
    values = _values(user)
    if new:
        query = insert_absent(connection.dialect.name, tables.users).returning(_U.name)
        done = connection.execute(query, values).scalar()
    elif before is not None:
        same = (_U[name].is_not_distinct_from(value) for name, value in _values(before).items())
        changed = update(tables.users).where(*same).values(values)
        done = connection.execute(changed.returning(_U.name)).scalar()
    else:
        connection.execute(_put_user(connection.dialect.name), values)
        return
    if done is None:
        raise UserChanged(user.name)


def _values(user: User) -> dict[str, Any]:
    # as `users` looks for projects in it
    roles = json.dumps({project: role.word for project, role in user.roles.items()}, sort_keys=True)
    return {**user._asdict(), "roles": roles}


def token(connection: Connection, digest: str) -> Token | None:
    """The token of that hash, whatever became of it."""
    row = connection.execute(_TOKEN.where(_T.digest == digest)).first()
    return None if row is None else _token(row)


def tokens(
    connection: Connection,
    project: str,
    id: str | None,
    before: tuple[float, str] | None,
    limit: int | None,
) -> list[Token]:
    """Newest first, those before the one created then with that id; or the one with `id` alone."""
    query = _TOKEN.where(_T.project == project).order_by(_T.created_at.desc(), _T.id.desc()).limit(limit)
    if id is not None:
        query = query.where(_T.id == id)
    if before is not None:
        query = query.where(tuple_(_T.created_at, _T.id) < before)
    return [_token(row) for row in connection.execute(query)]


def _token(row: Any) -> Token:
    return Token._make(row)._replace(role=Role[row.role.upper()])


def put_token(connection: Connection, token: Token) -> None:
    """A new token. One of that name which has expired makes room: it counts as revoked from then on. Raises ValueError when a live
    one has the name, or the id or the hash is there already."""
    expired = (_T.project == token.project, _T.name == token.name, _T.revoked_at.is_(None))
    connection.execute(
        update(tables.tokens)
        .where(*expired, _T.expires_at <= token.created_at)
        .values(revoked_at=_T.expires_at)
    )
    values = {**token._asdict(), "role": token.role.word}
    query = insert_absent(connection.dialect.name, tables.tokens).returning(_T.id)
    if connection.execute(query, values).scalar() is None:
        raise ValueError(f'project {token.project} has a live token named "{token.name}"')


def revoke_token(connection: Connection, project: str, id: str, at: float, act: Act) -> bool:
    """Whether there was one to revoke; only then is the act noted."""
    auditing.claim(connection, act)
    query = update(tables.tokens).where(_T.project == project, _T.id == id, _T.revoked_at.is_(None))
    found = connection.execute(query.values(revoked_at=at).returning(_T.id)).scalar() is not None
    if found:
        auditing.note(connection, act)
    return found
