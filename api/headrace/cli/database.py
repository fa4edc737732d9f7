"""`headrace db upgrade|check|restored`: the schema of the database, and what a copy of it needs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import go
from headrace.cli.output import print_json, say
from headrace.cli.settings import mask_password
from headrace.cli.where import HERE, Where, prepare

MOST_PARTS = 4096
Json = Annotated[bool, Parameter(help="For programs.")]


def upgrade(
    *,
    parts: Annotated[
        int | None,
        Parameter(
            help="Over how many parts a new PostgreSQL database spreads its runs [16]; fixed from then on."
        ),
    ] = None,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Bring the schema up to date.

    Engines may go on working meanwhile. Safe to repeat, to interrupt, and to run twice at once. On PostgreSQL it also makes
    the coming weeks of the history, as engines do daily.
    """
    from headrace.engine.store import upgrade as bring_up

    if parts is not None and not 1 <= parts <= MOST_PARTS:
        raise Stop(f"--parts is from 1 to {MOST_PARTS}.")
    settings = where.settings()
    if settings.database_url is None:
        prepare(settings.home)
    revision = go(bring_up(settings.database, parts))
    return _told(settings.database, revision, json)


def check(*, json: Json = False, where: Where = HERE) -> int:
    """Whether the schema is up to date.

    The exit status is 3 when it is not, and the message says what is missing and what to do. Nothing is changed.
    """
    from headrace.engine.store import check as look

    settings = where.settings()
    return _told(settings.database, go(look(settings.database)), json)


def restored(*, json: Json = False, where: Where = HERE) -> int:
    """Prepare a database that was restored from a copy.

    Before the first engine starts on it: workers and Kafka know what came after the copy, and must not take the one for the
    other. Runs go on from where the copy has them; what ended since runs again. Safe to repeat. PostgreSQL only: a SQLite file
    needs nothing.
    """
    from headrace.engine.store import restored as leap

    settings = where.settings()
    go(leap(settings.database))
    if json:
        print_json({"schema": 1, "database": mask_password(settings.database), "restored": True})
    else:
        say(
            f"{mask_password(settings.database)} is ready: engines may start, and go on from where the copy stands."
        )
    return Status.OK


def _told(url: str, revision: str, json: bool) -> int:
    from headrace.engine.store import speaks

    spoken = speaks()
    if json:
        ranges = {what: {"oldest": first, "newest": last} for what, (first, last) in spoken.items()}
        print_json({"schema": 1, "database": mask_password(url), "revision": revision, "speaks": ranges})
    else:
        say(f"{mask_password(url)} has the schema {revision}, which is current.")
        said = ", ".join(
            f"{what} {first}" if first == last else f"{what} {first} to {last}"
            for what, (first, last) in spoken.items()
        )
        say(f"This Headrace works with {said}.")
    return Status.OK
