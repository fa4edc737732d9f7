"""`headrace workers list`: who executes tasks, as the engines have heard."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from headrace.cli.here import go, reading
from headrace.cli.output import instant, print_json, print_table
from headrace.cli.where import HERE, Where


def list_(
    *,
    queue: Annotated[str | None, Parameter(help="Only those that listen to this queue.")] = None,
    all: Annotated[bool, Parameter(help="Also those that have not been heard of late.")] = False,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """The workers that engines hear.

    Each says every two seconds that it is there; engines note it in the database.
    """
    return go(_list(where, queue, all, json))


async def _list(where: Where, queue: str | None, everyone: bool, json: bool) -> int:
    from headrace.engine.shell.roster import FRESH_SECONDS

    async with reading(where.settings()) as store:
        now = (await store.survey()).now
        found = await store.workers()
    entries: list[dict[str, Any]] = []
    for worker in found:
        alive = worker.seen_at >= now - FRESH_SECONDS
        if (alive or everyone) and (queue is None or queue in worker.queues):
            state = "gone" if not alive else "draining" if worker.draining else "alive"
            entry = {**worker._asdict(), "seen_at": instant(worker.seen_at), "state": state}
            del entry["draining"]
            entries.append(entry)
    if json:
        print_json({"items": entries, "next": None})
        return 0
    print_table(
        ("worker", "state", "queues", "labels", "kinds", "slots", "held", "seen"),
        (
            (
                *(entry[name] for name in ("id", "state", "queues")),
                [f"{name}={value}" for name, value in sorted(entry["labels"].items())],
                *(entry[name] for name in ("kinds", "slots", "held", "seen_at")),
            )
            for entry in entries
        ),
        empty="No worker is heard. headrace worker starts one.",
    )
    return 0
