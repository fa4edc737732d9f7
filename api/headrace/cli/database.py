"""`headrace db upgrade|check`: the schema of the database."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status
from headrace.cli.here import go
from headrace.cli.output import print_json, say
from headrace.cli.settings import mask_password
from headrace.cli.where import HERE, Where, prepare

Json = Annotated[bool, Parameter(help="For programs.")]


def upgrade(*, json: Json = False, where: Where = HERE) -> int:
    """Bring the schema up to date.

    Safe to repeat, to interrupt, and to run twice at once.
    """
    from headrace.engine.store import upgrade as bring_up

    settings = where.settings()
    if settings.database_url is None:
        prepare(settings.home)
    revision = go(bring_up(settings.database))
    return _told(settings.database, revision, json)


def check(*, json: Json = False, where: Where = HERE) -> int:
    """Whether the schema is up to date.

    The exit status is 3 when it is not, and the message says what to do. Nothing is changed.
    """
    from headrace.engine.store import check as look

    settings = where.settings()
    return _told(settings.database, go(look(settings.database)), json)


def _told(url: str, revision: str, json: bool) -> int:
    if json:
        print_json({"schema": 1, "database": mask_password(url), "revision": revision})
    else:
        say(f"{mask_password(url)} has the schema {revision}, which is current.")
    return Status.OK
