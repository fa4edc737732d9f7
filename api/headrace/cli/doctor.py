"""`headrace doctor`: looks at everything a deployment stands on, and says what to do."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status
from headrace.cli.here import go
from headrace.cli.output import print_json, printable, say
from headrace.cli.where import HERE, Where

if TYPE_CHECKING:
    from headrace.cli.findings import Finding
    from headrace.cli.settings import Settings


def doctor(
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """Check all that runs stand on, and say what to do.

    Of a cluster: database, topics and offsets on Kafka, Redis, engines, workers, and what waits for somebody. Embedded: the
    file and its disk. Nothing is changed. The exit status is 1 when there is a problem, and 3 when a service cannot be
    reached; advice leaves it 0.
    """
    found = go(_looked(where.settings()))
    levels = Counter[str](each.level for each in found)
    if json:
        print_json({"schema": 1, "findings": [each._asdict() for each in found], "levels": levels})
    else:
        _tell(found, levels)
    if levels["unreachable"]:
        return Status.SERVICE
    return Status.RUN_FAILED if levels["problem"] else Status.OK


async def _looked(settings: Settings) -> list[Finding]:
    """Everything that can be looked at is, whatever else is out of reach."""
    found: list[Finding] = []
    offsets: dict[int, int] = {}
    if settings.on_postgres:
        offsets = await _database(settings, found)
    else:
        await _file(settings, found)
    if settings.kafka:
        await _kafka(settings, offsets, found)
    if settings.redis_url is not None:
        await _redis(settings, found)
    return found


async def _database(settings: Settings, found: list[Finding]) -> dict[int, int]:
    from headrace.cli import findings
    from headrace.engine.ports.store import StoreUnavailable
    from headrace.engine.store import check
    from headrace.engine.store.checkup import postgres

    try:
        await check(settings.database)
        facts = await postgres(settings.database)
    except StoreUnavailable as error:
        found.append(findings.Finding("database", "unreachable", str(error)))
        return {}
    found += findings.of_database(facts, cluster=bool(settings.kafka))
    return dict(facts.offsets)


async def _file(settings: Settings, found: list[Finding]) -> None:
    from headrace.cli import findings
    from headrace.engine.ports.store import StoreUnavailable
    from headrace.engine.store import check
    from headrace.engine.store.checkup import file

    path = Path(settings.database.removeprefix("sqlite:///"))
    try:
        await check(settings.database)
        facts = await file(path)
    except StoreUnavailable as error:
        found.append(findings.Finding("database", "unreachable", str(error)))
        return
    found += findings.of_file(facts, str(path), time.time())


async def _kafka(settings: Settings, offsets: dict[int, int], found: list[Finding]) -> None:
    from headrace.cli import findings
    from headrace.engine.broker.kafka.checkup import kafka
    from headrace.engine.ports.broker import BrokerUnavailable

    try:
        facts = await kafka(settings.kafka_settings, len(offsets) or None)
    except BrokerUnavailable as error:
        found.append(findings.Finding("kafka", "unreachable", str(error)))
        return
    found += findings.of_broker(facts, offsets)


async def _redis(settings: Settings, found: list[Finding]) -> None:
    from headrace.cli import findings
    from headrace.engine.cache.redis.checkup import redis

    found += findings.of_cache(await redis(str(settings.redis_url), settings.redis_prefix))


def _tell(found: list[Finding], levels: Counter[str]) -> None:
    areas = max(len(each.area) for each in found)
    words = max(len(each.level) for each in found)
    for each in found:
        print(printable(f"{each.area:{areas}}  {each.level:{words}}  {each.says}"))
        if each.do is not None:
            print(printable(f"{'':{areas}}  {'':{words}}  {each.do}"))
    wrong = levels["problem"] + levels["unreachable"]
    say(f"{wrong} {'problem' if wrong == 1 else 'problems'} found." if wrong else "No problem found.")
