"""`headrace topics ensure|describe`: the topics that engines, workers and the API need on Kafka, and what they carry."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import go
from headrace.cli.output import print_json, print_table
from headrace.cli.settings import Settings
from headrace.cli.where import HERE, Where


def ensure(
    *,
    queues: Annotated[str, Parameter(help="Queues to make topics for, with commas between.")] = "default",
    parts: Annotated[int | None, Parameter(help="Partitions of job-status [what the database says].")] = None,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """Make the topics that are missing; say what is wrong with others.

    Topics that exist are never changed. Workers make the topics of their queues themselves where they may; name queues
    here when they may not. The exit status is 3 when a topic cannot be used, and the message says what to do.
    """
    from headrace.engine.broker.kafka.topics import ensure as make

    settings = where.settings()
    kafka = settings.kafka_settings
    names = [word.strip() for word in queues.split(",") if word.strip()]
    ensured = go(make(kafka, _parts(settings, parts), names))
    problems = [each for each in ensured if each.problem is not None]
    if json:
        print_json(
            {"schema": 1, "kafka": list(kafka.bootstrap), "topics": [asdict(each) for each in ensured]}
        )
    else:
        print_table(
            ("topic", "partitions", "replicas", "state"),
            [
                (
                    each.name,
                    each.partitions,
                    each.replicas,
                    "unusable" if each.problem else "made" if each.created else "there",
                )
                for each in ensured
            ],
            empty="",
        )
    if problems:
        raise Stop(
            "\n  ".join(str(each.problem) for each in problems),
            status=Status.SERVICE,
        )
    return Status.OK


def describe(
    *,
    format: Annotated[
        Literal["asyncapi", "json-schema"],
        Parameter(help="asyncapi: topics and messages, as YAML; json-schema: the messages alone [asyncapi]."),
    ] = "asyncapi",
) -> int:
    """All topics and their messages, for programs that take part."""
    if format == "asyncapi":
        from headrace.engine.broker.asyncapi import text
    else:
        from headrace.engine.broker.kafka.schema import text
    sys.stdout.write(text())
    return Status.OK


def _parts(settings: Settings, given: int | None) -> int:
    """The parts of the database, which the partitions of job-status must be. Raises Stop."""
    if given is not None:
        if given < 1:
            raise Stop("--parts is at least 1.")
        return given
    if settings.database_url is None:
        raise Stop(
            "job-status gets a partition for each part of the database, and HEADRACE_DATABASE_URL names none.",
            hint="Set it, or give --parts.",
            status=Status.SERVICE,
        )

    async def ask() -> int:
        from headrace.engine.store import open_store

        store = await open_store(settings.database)
        try:
            return await store.parts()
        finally:
            await store.close()

    return go(ask())
